"Runs notebooks top to bottom in a real kernel and stores their outputs: `run`, or `run 02 03_gaussian`."
import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbdev.clean import nbdev_clean

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/"nbs"
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS = re.compile(r"\d+%\||\d+(it| strides) \[")
WARNED_AT = re.compile(r"^\S+\.py:\d+: (?=\w+Warning)", re.M)
COST = re.compile(r"^A run takes (\d+) (s|minutes) and (\d+\.\d) GB on two cores\.$", re.M)
PEAK = """try:
    import resource, sys
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*(1 if sys.platform == "darwin" else 1024))
except ImportError:
    import psutil
    print(psutil.Process().memory_info().peak_wset)"""
PLAYER = re.compile(r"_anim_img([0-9a-f]{32})")
# The first code cell of every notebook that computes. In a checkout, and where `dpm-nb lab` copied the chapters, it does nothing.
INSTALL = """#| The package and its look, where they are missing
#| hide
import os
from importlib.util import find_spec

if not all(map(find_spec, ["dpm_nb", "altair", "vl_convert", "sympy", "pytest"])):
    get_ipython().run_line_magic("pip", 'install --quiet "dpm-nb[book]"')
if not os.path.exists("matplotlibrc"):
    import dpm_nb
    os.environ.setdefault("MATPLOTLIBRC", f"{dpm_nb.__path__[0]}/nbs")"""


class Client(NotebookClient):
    "Runs a notebook in a kernel. What a widget shows at first goes to its cell as a plain picture."
    def handle_comm_msg(self, outs, msg, cell_index): "A page has no kernel that widgets could talk to."


def chosen(names):
    "The notebooks whose file names begin with one of `names`; all of them where there are none."
    paths = sorted(p for p in NBS.glob("*.ipynb") if p.name[0] not in "_.")
    unknown = [n for n in names if not any(p.name.startswith(n) for p in paths)]
    if unknown: sys.exit(f"No notebook in nbs/ begins with {', '.join(unknown)}")
    return [p for p in paths if not names or p.name.startswith(tuple(names))]


def wanted(output):
    "Widgets are dead without a kernel, and a finished progress bar says nothing."
    if output.output_type == "stream": return output.name != "stderr" or not PROGRESS.search(output.text)
    return WIDGET not in output.get("data", {})


def portable(text):
    "`text` without the paths of this machine."
    return WARNED_AT.sub("", text).replace(f"{ROOT}{os.sep}", "").replace(str(Path.home()), "~")


def same_every_run(html, seed):
    "Matplotlib names each animation at random; name it after its cell, so that a rerun is no change."
    for i, name in enumerate(dict.fromkeys(PLAYER.findall(html))): html = html.replace(name, f"{seed}_{i}")
    return html


def tidy(cell):
    "Keep of a cell's outputs what belongs in the book."
    cell.outputs = [o for o in cell.outputs if wanted(o)]
    for o in cell.outputs:
        if o.output_type == "stream": o.text = portable(o.text)
        data = o.get("data", {})
        for kind in [k for k in data if k.startswith("text/")]: data[kind] = portable(data[kind])
        if "text/html" in data: data["text/html"] = same_every_run(data["text/html"], cell.id)


def cost(text, seconds, size):
    "`text`, whose line on what a run takes is mended where it is off by more than a third."
    said = COST.search(text)
    if not said: return text
    near = lambda a, b: 3*a < 4*b and 3*b < 4*a
    if near(int(said[1])*(60 if said[2] == "minutes" else 1), seconds) and near(float(said[3]), size): return text
    whole = f"{seconds/60:.0f} minutes" if seconds > 100 else f"{max(1, round(seconds)):.0f} s"
    return text.replace(said[0], f"A run takes {whole} and {size:.1f} GB on two cores.")


def run(path, timeout):
    "Execute the notebook at `path`, tidy and clean it, and write it back."
    nb = nbformat.read(path, as_version=4)
    nb.cells.append(nbformat.v4.new_code_cell(PEAK))
    start = time.perf_counter()
    Client(nb, kernel_name="python3", timeout=timeout, resources={"metadata": {"path": str(NBS)}}, coalesce_streams=True,
           store_widget_state=False, extra_arguments=["--log-level=ERROR"]).execute()
    seconds, size = time.perf_counter() - start, int(nb.cells.pop().outputs[0].text)/1e9
    for cell in nb.cells:
        if cell.cell_type == "code": tidy(cell)
        else: cell.source = cost(cell.source, seconds, size)
    nbformat.write(nb, path)
    nbdev_clean.__wrapped__(str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["run"])
    parser.add_argument("names", nargs="*", help="beginnings of file names; default: all notebooks")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for one cell")
    args = parser.parse_args()
    os.chdir(ROOT)
    failed = []
    for path in chosen(args.names):
        start = time.perf_counter()
        try: run(path, args.timeout)
        except CellExecutionError as e:
            failed.append(path.name)
            print(e, file=sys.stderr)
        print(f"{time.perf_counter()-start:7.1f} s  {path.name}{' FAILED, not written' if path.name in failed else ''}", flush=True)
    if failed: sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__": main()
