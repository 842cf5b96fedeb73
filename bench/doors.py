"""Microseconds that a door costs: an empty one, and the chain's own, outermost and inside.

    python bench/doors.py
"""
import timeit

import torch
from dpm_nb.checks import INSIDE, door
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import linear

d, x, t = GaussianDiffusion(linear(1000)), torch.zeros(16, 2), torch.randint(1, 1001, (16,))


def bare(): pass


def cost(call, number=20_000): return min(timeit.repeat(call, number=number, repeat=5))/number*1e6


def main():
    empty = door(bare)
    print(f"an empty door: {cost(empty) - cost(bare):.2f} us")
    step = GaussianDiffusion.q_step
    for name, time in (("one time", 3), ("a time for each example", t)):
        alone = cost(lambda: step.__wrapped__(d, x, time), 3000)
        outer = cost(lambda: step(d, x, time), 3000)
        with INSIDE: inner = cost(lambda: step(d, x, time), 3000)
        print(f"q_step, {name}: {alone:.1f} us; its door adds {outer-alone:.1f} outermost, {inner-alone:.1f} inside")


if __name__ == "__main__": main()
