"The benchmarks: each script runs, in a small form and without the libraries that are missing; the page shows what was stored."
import json
import subprocess
import sys
from contextlib import nullcontext

import pytest
from conftest import NBS, ROOT, cells
from pretend import Pretend

BENCH = ROOT/"bench"
SCRIPTS = sorted(p.stem for p in BENCH.glob("*.py") if p.stem not in ("rounds", "gpu"))
SMALL = "import json, {0}; print(json.dumps({0}.rows(short=True)))"
PAGE = cells(NBS/"benchmark.ipynb", "code")


def stored(): return json.loads((BENCH/"results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs_in_a_small_form(name):
    done = subprocess.run([sys.executable, "-c", SMALL.format(name)], cwd=BENCH, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, f"bench/{name}.py failed:\n{done.stderr[-3000:]}"
    rows = json.loads(done.stdout.splitlines()[-1])
    assert rows
    for row in rows:
        ours, *others = row["seconds"]
        assert list(row["ratio"]) == others and set(row["rival"]) <= set(others), f"{row['work']} compares {row['ratio']}"
        assert all(0 < t["min"] <= t["median"] for t in row["seconds"].values()), f"{row['work']} took {row['seconds']}"


@pytest.mark.parametrize("device, where", [("cpu", nullcontext), ("cuda", Pretend)])
def test_run_for_a_gpu_is_ready(device, where, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(BENCH)
    import gpu
    with where():
        call = "--small", "--path", str(tmp_path), "--device", device
        once = gpu.main(*call)
        again = gpu.main(*call)      # an ended run comes back
    assert once == again and 1 < once < 20
    said = capsys.readouterr().out
    assert said.startswith(device) and "4 steps of 16" in said and "unseen digits" in said


def test_what_is_stored_is_what_was_measured():
    for row in stored()["rows"]:
        ours, *others = row["seconds"]
        median = {name: t["median"] for name, t in row["seconds"].items()}
        assert others and row["ratio"] == pytest.approx({name: median[name]/median[ours] for name in others}), row["work"]
        if "limit" in row: assert row["reached"] == (median[ours] <= row["limit"]), row["work"]
        else: assert not row["reached"] or min(row["ratio"][name] for name in row["rival"]) >= row["reach"], row["work"]


def test_table_of_the_page_is_what_is_stored(monkeypatch, capsys):
    monkeypatch.chdir(NBS)
    names = {}
    for cell in PAGE:
        *body, last = cell.source.split("\nMarkdown(")
        exec("\nMarkdown(".join(body) or last, names)
        if body: assert [o["data"]["text/markdown"] for o in cell.outputs] == [eval(f"Markdown({last}", names).data]
        else: assert "".join(o.text for o in cell.outputs) == capsys.readouterr().out
    for row in stored()["rows"]:
        assert row["work"] in str([o for c in PAGE for o in c.outputs]), f"The page leaves {row['work']} out"
