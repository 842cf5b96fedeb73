"""What all benchmarks share: ways in turn in one process, a row, a table, and the file that the site's page shows.

    make bench                    all rows of the page, into bench/results.json
    python bench/rounds.py
"""
import contextlib
import importlib
import io
import json
import os
import platform
import statistics
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ROUNDS = 7
PAGE = "imports", "training", "unet", "roll", "ema", "samplers", "bound" # whose rows the page shows, in this order
PEERS = "diffusers", "smalldiffusion", "denoising-diffusion-pytorch"
RESULTS = Path(__file__).with_name("results.json")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def installed(package):
    with contextlib.suppress(PackageNotFoundError): return version(package)


def wait():
    if device.type == "cuda": torch.cuda.synchronize()


def rounds(ways, n=ROUNDS, calls=1):
    "Seconds a call of each way, in turn, so that a busy moment hits all alike; a first round is not counted."
    taken = {name: [] for name in ways}
    for k in range(n+1):
        for name, way in ways.items():
            wait(); start = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()):     # their bars move, and nobody looks
                for _ in range(calls): way()
            wait(); taken[name] += [(time.perf_counter() - start)/calls]*(k > 0)
    return taken


def row(work, taken, rival=(), reach=None, limit=None, **facts):
    """A row of the page: `taken` begins with our way; the `rival` ways are to take at least `reach` times as long, or
    ours at most `limit` seconds; `facts` are what else the page tells."""
    taken = {name: {"min": min(t), "median": statistics.median(t)} for name, t in taken.items()}
    ours, *others = taken
    ratio = {name: taken[name]["median"]/taken[ours]["median"] for name in others}
    if limit is not None: facts |= {"limit": limit, "reached": taken[ours]["median"] <= limit}
    if reach is not None and (known := [ratio[name] for name in rival if name in ratio]):
        facts |= {"reach": reach, "reached": min(known) >= reach}
    return {"work": work, "seconds": taken, "ratio": ratio, "rival": [name for name in rival if name in ratio], **facts}


def seconds(t): return next(f"{t*k:.3g} {unit}" for k, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if t*k >= 1 or unit == "µs")


def show(rows):
    for r in rows:
        said = {True: "reached", False: "not reached"}.get(r.get("reached"), "")
        print(f"\n{r['work']}: {said}")
        for name, t in r["seconds"].items():
            times = f"{r['ratio'][name]:8.2f} x" if name in r["ratio"] else ""
            print(f"{name:>40}: {seconds(t['median']):>8} (fastest {seconds(t['min'])}){times}")
        for name, fact in r.items():
            if name not in ("work", "seconds", "ratio", "rival"): print(f"{name:>40}: {fact}")


def machine():
    "The machine and what runs on it, in words."
    info = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    chip = torch.cuda.get_device_name() if device.type == "cuda" else (models or [platform.processor() or platform.machine()])[0]
    return {"date": str(date.today()), "chip": chip, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "python": platform.python_version(), "torch": torch.__version__, **{peer: installed(peer) for peer in PEERS}}


def main():
    missing = [peer for peer in PEERS if not installed(peer)]
    if missing: sys.exit(f"{', '.join(missing)} must be installed: make bench does it")
    found = {"machine": machine(), "rows": []}
    for name in PAGE:
        rows = importlib.import_module(name).rows()
        show(rows)
        found["rows"] += rows
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__": main()
