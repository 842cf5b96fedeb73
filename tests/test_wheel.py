"""What is shipped: the sdist, and the wheel that it builds, hold the package, its stubs and the chapters; and in an
environment of its own, far from the checkout, the wheel trains and samples, its command works, and a chapter that lies
alone in a folder brings itself what it needs.

The newest of everything is tried by `make test`. The oldest that settings.ini allows wants a second PyTorch, of 3 GB
from PyPI and five minutes: DPM_NB_LOWEST=1 asks for it, as the workflow does.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import NOT_COPIED, ROOT, run

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
ALONE = """
import sys
import nbformat
from nbclient import NotebookClient

NotebookClient(nbformat.read(sys.argv[1], as_version=4), kernel_name="python3").execute()

import altair
import dpm_nb
print(dpm_nb.__file__)
"""

settings = ConfigParser(delimiters=["="], interpolation=None)
settings.read(ROOT/"settings.ini", encoding="utf-8")
REQUIRED = dict(r.split(">=") for r in settings["DEFAULT"]["requirements"].split())
SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"


@pytest.fixture(scope="module")
def built():
    "A folder outside the checkout with sdist and wheel; it goes when the tests end: an environment with PyTorch takes gigabytes."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        folder = Path(folder).resolve()
        project = shutil.copytree(ROOT, folder/"project", ignore=NOT_COPIED)
        run(sys.executable, "-m", "build", "--outdir", folder, cwd=project)
        yield folder


@pytest.fixture(scope="module")
def wheel(built): return next(built.glob("dpm_nb-*.whl"))


@pytest.fixture(scope="module")
def newest(built, wheel):
    "The Python of an environment with the wheel, and with what runs a notebook."
    return new_environment(built/"env", wheel, "fastcore>=2", "ipykernel", "nbclient")


def names(folder, *kinds): return {p.relative_to(folder).as_posix() for kind in kinds for p in folder.glob(kind)}


@pytest.mark.slow
def test_wheel_and_sdist_hold_package_stubs_and_chapters(built, wheel):
    project = built/"project"
    chapters = names(project, "nbs/*.ipynb", "nbs/matplotlibrc")
    package = names(project, "dpm_nb/*")
    sdist, = built.glob("dpm_nb-*.tar.gz")
    with tarfile.open(sdist) as source: packed = {n.partition("/")[2] for n in source.getnames()}
    needed = {"settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", *package, *chapters}
    assert needed <= packed, f"{sdist.name} lacks {', '.join(needed - packed)}"
    held = {n for n in zipfile.ZipFile(wheel).namelist() if not n.startswith("dpm_nb-")}
    wanted = package | {f"dpm_nb/{n}" for n in chapters}
    assert {"dpm_nb/py.typed", "dpm_nb/__init__.pyi", "dpm_nb/nbs/index.ipynb"} <= held
    assert held == wanted, f"{wheel.name} differs from dpm_nb/ and the chapters in {', '.join(held ^ wanted)}"


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("twine"), reason="twine is not installed")
def test_the_index_will_take_them(built):
    run(sys.executable, "-m", "twine", "check", "--strict", *built.glob("dpm_nb-*.*"), cwd=built)


def new_environment(folder, *what):
    "An environment of its own, with what pip is asked for; gives its Python."
    venv.create(folder, with_pip=True)
    python = folder/SCRIPTS/("python.exe" if sys.platform == "win32" else "python")
    run(python, "-m", "pip", "install", "--quiet", *what, cwd=folder)
    return python


def try_out(python, away):
    "Train, sample and use the command far from the checkout; gives what the program saw."
    away.mkdir(parents=True)
    (away/"program.py").write_text(PROGRAM)
    done = subprocess.run([python, "-I", "program.py"], cwd=away, capture_output=True, text=True)
    assert done.returncode == 0, f"The program fails with the installed wheel:\n{done.stderr}"
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["shape"] == [64, 2] and seen["finite"], f"The samples are wrong: {seen}"
    assert Path(seen["package"]).is_relative_to(python.parents[1]), f"dpm_nb came from {seen['package']}"
    assert "dpm_nb.core" in seen["modules"], f"nbdev finds no symbols: {seen['modules']}"

    command = python.with_name("dpm-nb" + python.suffix)
    assert "score" in run(command, "--help", cwd=away) and "--guidance" in run(command, "sample", "--help", cwd=away)
    run(command, "lab", "book", "--copy", cwd=away)
    assert {p.name for p in (away/"book").glob("*.ipynb")} == {p.name for p in (ROOT/"nbs").glob("*.ipynb")}
    for _ in range(2): run(command, "train", "--classes", "--steps", "4", "--out", "run", cwd=away)
    run(command, "sample", "run", "--n", "4", "--steps", "3", "--label", "3", cwd=away)
    assert (away/"samples.png").exists()
    assert "95% interval" in run(command, "score", "run", "--n", "50", cwd=away)
    wrong = subprocess.run([command, "sample", "run", "--label", "three"], cwd=away, capture_output=True, text=True)
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1, wrong.stderr
    return seen


@pytest.mark.slow
def test_wheel_trains_and_samples(built, wheel, newest):
    seen = try_out(newest, built/"away")
    assert seen["fastcore"].startswith("2."), f"fastcore {seen['fastcore']} was installed beside it"
    assert wheel.name.startswith(f"dpm_nb-{seen['version']}-"), f"{wheel.name} holds version {seen['version']}"


@pytest.mark.slow
def test_a_chapter_alone_brings_what_it_needs(built, newest):
    "The package is taken away; the first cell brings the wheel and the extra `book`, and leaves nothing in the folder."
    run(newest, "-m", "pip", "uninstall", "--quiet", "--yes", "dpm-nb", cwd=built)
    away = built/"alone"
    away.mkdir()
    shutil.copy(ROOT/"nbs"/"notation.ipynb", away)
    links = f"{built} {os.environ.get('PIP_FIND_LINKS', '')}"
    seen = run(newest, "-c", ALONE, "notation.ipynb", cwd=away, PIP_FIND_LINKS=links, PYTHONPATH="").splitlines()[-1]
    assert Path(seen).is_relative_to(newest.parents[1]), f"dpm_nb came from {seen}"
    assert [p.name for p in away.iterdir()] == ["notation.ipynb"]


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("DPM_NB_LOWEST"), reason="DPM_NB_LOWEST=1 asks for it: 3 GB of a second PyTorch")
def test_the_oldest_that_is_allowed_will_do(built, wheel):
    "Beside the oldest of all, and then beside fastcore 2: torch 2.6 met it before it was out."
    oldest = [f"{name}=={version}{'.0'*(2 - version.count('.'))}" for name, version in REQUIRED.items()]
    python = new_environment(built/"oldest", wheel, *oldest)
    said = run(python, "-m", "pip", "list", "--format=freeze", cwd=built).lower()
    for r in oldest: assert re.search(rf"^{re.escape(r.lower())}(\+|$)", said, re.M), f"{r} was not installed:\n{said}"
    try_out(python, built/"away-oldest")
    run(python, "-m", "pip", "install", "--quiet", "fastcore>=2", cwd=built)
    seen = try_out(python, built/"away-oldest-2")
    assert seen["fastcore"].startswith("2."), f"fastcore {seen['fastcore']} was installed beside it"
