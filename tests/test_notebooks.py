"Every notebook runs top to bottom in a real kernel. With DPM_NB_FULL=1 the cells marked slow or gpu run too."
import os
import re
from configparser import ConfigParser

import nbformat
import pytest
from conftest import NBS, NOTEBOOKS, ROOT, directives, name_of
from nbclient.exceptions import CellExecutionError
from notebooks import Client

settings = ConfigParser(delimiters=["="], interpolation=None)
settings.read(ROOT/"settings.ini", encoding="utf-8")
SKIPPED = set() if os.environ.get("DPM_NB_FULL") else set(settings["DEFAULT"]["tst_flags"].split())
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def files(): return {str(p.relative_to(ROOT)) for p in NBS.rglob("*") if "data" not in p.relative_to(NBS).parts}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_runs_top_to_bottom(path):
    nb = nbformat.read(path, as_version=4)
    nb.cells = [c for c in nb.cells if not SKIPPED & directives(c)]
    before = files()
    try: Client(nb, kernel_name="python3", timeout=900, resources={"metadata": {"path": str(NBS)}}).execute()
    except CellExecutionError as e:
        failed = next(c for c in nb.cells if c.cell_type == "code" and any(o.output_type == "error" for o in c.outputs))
        pytest.fail(f"{path.name}, cell {failed.id} fails:\n{COLOUR.sub('', str(e))}", pytrace=False)
    left = files() - before
    assert not left, f"{path.name} leaves {', '.join(sorted(left))} behind"
