"""What a door costs: an empty one, and the chain's own, outermost and inside.

    python bench/doors.py
"""
import torch
from dpm_nb.checks import INSIDE, door
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import linear
from rounds import ROUNDS, rounds, row, show


def bare(): pass


def inside(call):
    def passed():
        with INSIDE: call()
    return passed


def rows(short=False):
    n, calls = (1, 2) if short else (ROUNDS, 3000)
    found = [row("an empty door", rounds({"without": bare, "with": door(bare)}, n, calls))]
    d, x, times = GaussianDiffusion(linear(1000)), torch.zeros(16, 2), torch.randint(1, 1001, (16,))
    step = GaussianDiffusion.q_step
    for name, t in (("one time", 3), ("a time for each example", times)):
        outer = lambda t=t: step(d, x, t)
        ways = {"without a door": lambda t=t: step.__wrapped__(d, x, t), "outermost": outer, "inside": inside(outer)}
        found.append(row(f"q_step, {name}", rounds(ways, n, calls)))
    return found


if __name__ == "__main__": show(rows())
