"An equation that is changed by hand must fail a cell of its own notebook."
import datetime
import os
import sys

import nbformat
import pytest
from conftest import CHAPTERS, ROOT, run
from mutants import (LEAST, POSSIBLE, all_mutants, chapters, code_cells, read, reasons,
                     survivors, write)

SEED = int(os.environ.get("DPM_NB_MUTANT_SEED", datetime.date.today().toordinal()))
EQUATIONS = {p.stem: found for p in CHAPTERS if (found := all_mutants(code_cells(p)))}
TODAY = list(EQUATIONS) if os.environ.get("DPM_NB_FULL") else [*EQUATIONS][SEED % 3::3]
STORED = read(ROOT)

needs_fork = pytest.mark.skipif(not POSSIBLE, reason="processes cannot fork here")
each_chapter = pytest.mark.parametrize("chapter", EQUATIONS)

TINY = '''#| exports
import math
def half(
    x: int = 5, # a default is no equation
):
    "Half of 4 is 2."
    if x < 0: raise ValueError(f"x must be at least {-1 + 1}, got {x}")
    return x/2

def root(x): return math.sqrt(x - 1)

def plot_half(x): return half(x)*3
'''
FORMS = {
    "a + b": {"a - b"},
    "a - 1": {"a + 1", "a - 2", "a"},
    "a*b": {"a/b"},
    "a//b": {"a*b"},
    "a**b": {"a*b"},
    "-a": {"a"},
    "a < b": {"a >= b"},
    "0.5*a": {"1.0*a", "0.5/a"},
    "a[t - 1]": {"a[t + 1]", "a[t - 2]", "a[t]"},
    "a[1:]": {"a[2:]", "a[:]"},
    "a[:b:-1]": {"a[::-1]", "a[:b:1]", "a[:b:-2]"},
    "(a - b).square()": {"(a + b).square()", "(a - b)"},
    "torch.log1p(a)": {"a"},
    "math.sqrt(a*b)": {"(a*b)", "math.sqrt(a/b)"},
    "a.mean(1)": {"a.sum(1)", "a.mean(2)"},
    "a.sum(-1)": {"a.mean(-1)", "a.sum(-2)"},
    "p.variance": {"p.stddev"},
    "kl_divergence(a, b)": {"kl_divergence(b, a)"},
    "torch.where(a, b, t)": {"torch.where(a, t, b)"},
    "a.shape[-1]": {"a.shape[-2]"},
    "a.clamp(min=1e-300)": set(),
    "at_least(3)": set(),
    "f(a, batch=3)": set(),
    "a.split(3)": set(),
    "a.device.type == 'cuda'": set(),
    "f'{a + 1}'": set(),
}


@needs_fork
@pytest.mark.parametrize("chapter", TODAY)
def test_two_of_today_die(chapter):
    "A third of the chapters a day, all of them with DPM_NB_FULL=1."
    print(f"To repeat: DPM_NB_MUTANT_SEED={SEED}")
    print(run(sys.executable, "tools/mutants.py", chapter, "--some", 2, "--seed", SEED, cwd=ROOT))


@each_chapter
def test_score(chapter):
    assert chapter in STORED, f"nobody tried to change {chapter}; run `make mutants`"
    stored, there = STORED[chapter], len(EQUATIONS[chapter])
    assert stored["score"] >= LEAST, f"too many mutants of {chapter} live: {stored['survivors']}"
    assert stored["died"] >= LEAST*stored["tried"]
    few = f"{chapter} has {there} mutants and only {stored['tried']} were tried; run `make mutants`"
    assert stored["tried"] >= 0.9*min(60, there - len(reasons(stored))), few


@each_chapter
def test_survivors_are_still_there(chapter):
    gone = survivors(EQUATIONS[chapter], STORED.get(chapter, {})).count(None)
    assert not gone, f"{gone} survivors of {chapter} are no longer there; run `make mutants`"


def test_no_score_is_left_over():
    assert not STORED.keys() - EQUATIONS.keys()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_changed(form, tmp_path):
    cells = [nbformat.v4.new_code_cell(f"#| export\nc = {form}  # ᾱ[1:] - 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path/"form.ipynb")
    found = {m.after.removeprefix("c = ") for m in all_mutants(code_cells(tmp_path/"form.ipynb"))}
    assert found == FORMS[form]


@pytest.fixture
def tiny(tmp_path):
    "A project whose only chapter has a law for one of its two equations."
    laws = ["#| slow\nraise SystemExit", "#| eval: false\nraise SystemExit", "print(half(3))",
            "import os, time\nif half(4) == 8: os.abort()\nassert half(4) == 2"]
    cells = [nbformat.v4.new_code_cell(source) for source in (TINY, *laws)]
    (tmp_path/"nbs").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path/"nbs"/"01_tiny.ipynb")
    return tmp_path


@needs_fork
def test_mutants_are_found_and_die(tiny):
    tool = sys.executable, ROOT/"tools"/"mutants.py", "--root", tiny
    (path,) = chapters(tiny)
    found = [m.after for m in all_mutants(code_cells(path))]
    assert found == ["return x*2", "return x/3", *(f"def root(x): return {r}" for r in
                     ("(x - 1)", "math.sqrt(x)", "math.sqrt(x + 1)", "math.sqrt(x - 2)"))]
    with pytest.raises(AssertionError, match="33.3% is less than 95%"): run(*tool, cwd=tiny)
    stored = read(tiny)
    kept = stored["01_tiny"]
    assert (kept["died"], kept["tried"], kept["score"]) == (2, 6, 0.3333)
    assert [m["after"] for m in kept["survivors"]] == found[2:]
    assert "signal 6" in run(*tool, "--some", 2, cwd=tiny)
    for m in kept["survivors"]: m["reason"] = "nobody asks for a root"
    write(tiny, stored)
    run(*tool, cwd=tiny)
    assert read(tiny)["01_tiny"] == kept | {"tried": 2, "score": 1.}
