"The wheel that the sdist builds, in an environment of its own beside fastcore 2, trains and samples far from the checkout."
import json
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import run

PROGRAM = """
import torch
from dpm_nb.engine import fit
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.sampling import sample
from dpm_nb.schedule import linear

d = GaussianDiffusion(linear(100))
result = fit(d, MLP(2), torch.randn(512, 2)*0.5, steps=50)
x = sample(d, result.ema, (64, 2))

import json
from importlib.metadata import entry_points
import dpm_nb
import fastcore

symbols, = (e.load() for e in entry_points(group="nbdev") if e.name == "dpm_nb")
print(json.dumps({"shape": list(x.shape), "finite": bool(torch.isfinite(x).all()), "package": dpm_nb.__file__,
                  "version": dpm_nb.__version__, "fastcore": fastcore.__version__, "modules": sorted(symbols["syms"])}))
"""


@pytest.fixture
def elsewhere():
    "A folder outside the checkout that goes when the test ends: an environment with PyTorch takes gigabytes."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder: yield Path(folder).resolve()


@pytest.mark.slow
def test_wheel_trains_and_samples(project, elsewhere):
    run(sys.executable, "-m", "build", "--outdir", elsewhere, cwd=project)
    sdist, = elsewhere.glob("dpm_nb-*.tar.gz")
    with tarfile.open(sdist) as source: packed = {n.partition("/")[2] for n in source.getnames()}
    needed = {"settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", "dpm_nb/py.typed"}
    assert needed <= packed, f"{sdist.name} lacks {', '.join(needed - packed)}"
    wheel, = elsewhere.glob("dpm_nb-*.whl")
    strange = [n for n in zipfile.ZipFile(wheel).namelist() if not n.startswith(("dpm_nb/", "dpm_nb-"))]
    assert not strange, f"{wheel.name} also holds {', '.join(strange)}"
    held = {n.split("/")[1] for n in zipfile.ZipFile(wheel).namelist() if n.startswith("dpm_nb/")}
    wanted = {p.name for p in (project/"dpm_nb").iterdir()}
    assert "py.typed" in held and held == wanted, f"{wheel.name} differs from dpm_nb/ in {', '.join(held ^ wanted)}"

    venv.create(elsewhere/"env", with_pip=True)
    python = elsewhere/"env"/("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", wheel, "fastcore>=2", cwd=elsewhere)

    away = elsewhere/"away"
    away.mkdir()
    (away/"program.py").write_text(PROGRAM)
    done = subprocess.run([python, "-I", "program.py"], cwd=away, capture_output=True, text=True)
    assert done.returncode == 0, f"The program fails with the installed wheel:\n{done.stderr}"
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["shape"] == [64, 2] and seen["finite"], f"The samples are wrong: {seen}"
    assert Path(seen["package"]).is_relative_to(elsewhere/"env"), f"dpm_nb came from {seen['package']}"
    assert "dpm_nb.core" in seen["modules"], f"nbdev finds no symbols: {seen['modules']}"
    assert seen["fastcore"].startswith("2."), f"fastcore {seen['fastcore']} was installed beside it"
    assert wheel.name.startswith(f"dpm_nb-{seen['version']}-"), f"{wheel.name} holds version {seen['version']}"
