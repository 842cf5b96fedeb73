"What type checkers see: every public name, the patched methods in their classes, words as types; the stubs are those of the modules."
import ast
import inspect
import os
import shutil
import subprocess
import sys
from importlib import import_module

import pytest
import stubs
from conftest import MODULES, PACKAGE, ROOT

PROGRAM = """
import torch

from dpm_nb import GaussianDiffusion, MLP, cosine, fit, sample, show_points, swiss_roll
from dpm_nb.estimate import vlb_estimate

data = swiss_roll(2000)
d = GaussianDiffusion(cosine(T=200), predicts="v")
run = fit(d, MLP(2), data, steps=20)
xt = d.q_sample(data, 5)
guess = d.predict(run.ema, xt, 5).x0
step: torch.distributions.Normal = d.q_posterior(xt, guess, 5)
x = sample(run, 1500, method="ddim", steps=20)
show_points(x.cpu(), title=f"{vlb_estimate(d, run.ema, data).mean:.2f}, {step.mean.shape}")
"""
WRONG = """
from dpm_nb import GaussianDiffusion, cosine, swiss_roll
cosine(T="many")
d = GaussianDiffusion(cosine(), predicts="w")
d.q_smple(swiss_roll(10), 5)
d.q_sample(swiss_roll(10))
"""
CHECKERS = {"pyright": ["pyright", "--pythonpath", sys.executable], "mypy": ["mypy", "--python-executable", sys.executable]}


def test_stubs_are_those_of_the_modules():
    stored = {p.name: p.read_text(encoding="utf-8") for p in PACKAGE.glob("*.pyi")}
    new = stubs.made()
    assert stored.keys() == new.keys(), f"Run `make export`: stubs are wanted or left over: {', '.join(stored.keys() ^ new.keys())}"
    stale = [name for name in new if stored[name] != new[name]]
    assert not stale, f"{', '.join(stale)} are not what the modules say; run `make export`"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_and_method_is_seen(module):
    home = import_module(f"dpm_nb.{module}")
    tree = ast.parse((PACKAGE/f"{module}.pyi").read_text(encoding="utf-8")).body
    seen = {n.name: n for n in tree if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    said = {n.target.id for n in tree if isinstance(n, ast.AnnAssign)}
    for name in home.__all__: assert name in seen or name in said, f"{module}.pyi lacks {name}"
    for name, node in seen.items():
        found = getattr(home, name)
        if isinstance(node, ast.FunctionDef):
            assert [a.arg for a in node.args.args] == [p.name for p in inspect.signature(inspect.unwrap(found)).parameters.values()
                                                       if p.kind == p.POSITIONAL_OR_KEYWORD] or node.args.kwarg, name
            continue
        inside = {n.name for n in node.body if isinstance(n, ast.FunctionDef)} | {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
        lost = [k for k, v in vars(found).items() if callable(v) and k in vars(found) and not k.startswith("_") and k not in inside
                and getattr(v, "__module__", "").startswith("dpm_nb")]
        assert not lost, f"{module}.pyi, {name} lacks {', '.join(lost)}"
    words = {n.id for n in ast.walk(ast.Module(tree, [])) if isinstance(n, ast.Name)} & {"Count", "State", "Time", "Share", "between", "at_least"}
    assert not words - said, f"{module}.pyi holds words that are no types: {', '.join(words)}"


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_passes_a_first_program_and_finds_mistakes(checker, tmp_path):
    if not shutil.which(checker): pytest.skip(f"{checker} is not installed")
    (tmp_path/"right.py").write_text(PROGRAM)
    (tmp_path/"wrong.py").write_text(WRONG)
    (tmp_path/"pyrightconfig.json").write_text('{"typeCheckingMode": "basic", "extraPaths": ["%s"]}' % ROOT.as_posix())
    ask = lambda name: subprocess.run([*CHECKERS[checker], name], cwd=tmp_path, capture_output=True, text=True,
                                      env={**os.environ, "PYTHONPATH": str(ROOT)})
    right, wrong = ask("right.py"), ask("wrong.py")
    assert right.returncode == 0, right.stdout + right.stderr
    for line in (3, 4, 5, 6): assert f"wrong.py:{line}:" in wrong.stdout, wrong.stdout + wrong.stderr
