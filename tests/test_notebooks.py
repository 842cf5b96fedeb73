"Every notebook runs top to bottom in a real kernel, once. With DPM_NB_FULL=1 the cells marked slow or gpu run too."
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from importlib.util import find_spec

import nbformat
import pytest
from conftest import CHROMIUM, IN_LAB, NBS, NOTEBOOKS, ROOT, directives, name_of
from nbclient.exceptions import CellExecutionError
from notebooks import Client

settings = ConfigParser(delimiters=["="], interpolation=None)
settings.read(ROOT/"settings.ini", encoding="utf-8")
EXTRAS = {"diffusers"} # a cell marked by one of these runs where the library is installed
SKIPPED = set() if os.environ.get("DPM_NB_FULL") else set(settings["DEFAULT"]["tst_flags"].split()) - EXTRAS
SKIPPED |= {name for name in EXTRAS if find_spec(name) is None}
COLOUR = re.compile(r"\x1b\[[\d;]*m")
AT_ONCE = min(4, os.cpu_count() or 1)


def files(): return {str(p.relative_to(ROOT)) for p in NBS.rglob("*") if "data" not in p.relative_to(NBS).parts}


def execute(path):
    "Run a notebook; gives the seconds and, where a cell fails, what it said."
    nb = nbformat.read(path, as_version=4)
    nb.cells = [c for c in nb.cells if not SKIPPED & directives(c)]
    client = Client(nb, kernel_name="python3", timeout=900, resources={"metadata": {"path": str(NBS)}})
    start, error = time.perf_counter(), None
    try: client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    except CellExecutionError: pass
    for cell in nb.cells:                                       # a widget's error stops no cell
        for o in cell.get("outputs", []):
            if o.output_type == "error": error = f"{path.name}, cell {cell.id} fails:\n{COLOUR.sub('', chr(10).join(o.traceback))}"
    return time.perf_counter() - start, error


@pytest.fixture(scope="module")
def running(request):
    "The notebooks that are asked for, some at a time, the whole runs at the end first; and the files before."
    asked = [i.callspec.params["path"] for i in request.session.items if getattr(i, "originalname", "") == "test_runs_top_to_bottom"]
    in_lab = CHROMIUM and any(i.path.name == "test_browser.py" for i in request.session.items)
    before, pool = files(), ThreadPoolExecutor(AT_ONCE)
    yield {p: pool.submit(execute, p) for p in reversed(asked) if not (in_lab and p.name in IN_LAB)}, before
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_runs_top_to_bottom(path, running, record_property):
    if path not in running[0]: pytest.skip("JupyterLab runs it in test_browser.py")
    seconds, error = running[0][path].result()
    record_property("seconds", seconds)
    if error: pytest.fail(error, pytrace=False)


def test_nothing_is_left_behind(running):
    runs, before = running
    for run in runs.values(): run.result()
    left = files() - before
    assert not left, f"The notebooks leave {', '.join(sorted(left))} behind"
