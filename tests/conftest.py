"What the tests share: where things are, how notebooks are read, and a copy of the project to work on."
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/"nbs"
sys.path.insert(0, str(ROOT/"tools"))
PACKAGE = ROOT/"dpm_nb"
NOTEBOOKS = sorted(p for p in NBS.glob("*.ipynb") if p.name[0] not in "_.")
CHAPTERS = [p for p in NOTEBOOKS if p.stem != "index"]
TALK = NBS/"40_talk.ipynb" # slides: they open and end otherwise than a chapter, as test_talk asks
# JupyterLab runs these, where there is a Chromium (test_browser); a bare kernel runs the others (test_notebooks).
IN_LAB = ["00_core.ipynb", "02_schedule.ipynb", "03_gaussian.ipynb"]
CHROMIUM = os.environ.get("DPM_NB_CHROMIUM") or next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
LIVING = "application/vnd.vegalite.v5+json"
NOT_COPIED = shutil.ignore_patterns(".*", "_proc", "_docs", "build", "dist", "*.egg-info", "__pycache__", "data")


def name_of(path): return path.stem


def cells(path, kind=None):
    "The cells of a notebook, all or of one kind."
    return [c for c in nbformat.read(path, as_version=4).cells if kind in (None, c.cell_type)]


def living(path):
    "The living figures that a notebook holds, as Vega-Lite."
    return [o.data[LIVING] for c in cells(path, "code") for o in c.outputs if LIVING in o.get("data", {})]


def directives(cell):
    "The first words of a code cell's `#|` lines."
    return set(re.findall(r"^#\| ?([\w-]+)", cell.source, re.M)) if cell.cell_type == "code" else set()


def module_of(path):
    "The module that the notebook at `path` makes, or None."
    for cell in cells(path, "code"):
        if found := re.search(r"^#\|\s*default_exp\s+(\S+)", cell.source, re.M): return found[1]


MODULES = {m: p for p in NOTEBOOKS if (m := module_of(p)) and m != "__init__"}


def program(name):
    "The path of a console program of this environment."
    return str(Path(sysconfig.get_path("scripts"))/name)


def run(*command, cwd, **env):
    "Run a command that must succeed; a failure shows the end of what it printed."
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**os.environ, **env}, text=True, encoding="utf-8",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed in {cwd}:\n{done.stdout[-3000:]}"
    return done.stdout


def pytest_terminal_summary(terminalreporter):
    "How long each notebook took, since several run at the same time."
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    took = sorted((dict(r.user_properties)["seconds"], r.nodeid) for r in reports if "seconds" in dict(r.user_properties))
    if took: terminalreporter.section("seconds of each notebook")
    for seconds, test in reversed(took): terminalreporter.line(f"{seconds:7.1f} s  {test}")


@pytest.fixture
def project(tmp_path):
    "A copy of the project, free to be changed."
    return Path(shutil.copytree(ROOT, tmp_path/"project", ignore=NOT_COPIED))
