"""smalldiffusion's own example, as it stands, and how soon `train` makes a roll as good of the same points.

    python bench/roll.py
"""
import math
import time
import contextlib
import io

import torch
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.sampling import sample
from dpm_nb.schedule import cosine
from dpm_nb.training import train
from rounds import device, installed, row, show, statistics, wait

STRIDES, SAMPLES, SEEDS, FAR = 20, 1500, 3, 0.2


def roll(n):
    "Places along their curve, n of them, in their units; their data set is 100 such."
    angle = math.pi/2 + 5*math.pi*torch.linspace(0, 1, n)
    return angle[:, None]*torch.stack([angle.cos(), angle.sin()], 1)/(5*math.pi)


POINTS = roll(100)
CENTRE, SPREAD = POINTS.mean(0), POINTS.var(0, correction=0).mean().sqrt()
unit = lambda x: (x.cpu() - CENTRE)/SPREAD                      # to mean 0 and variance 1, as our roll


def theirs(seed, epochs=15_000):
    "Their network, schedule, batch, number of steps and sampler."
    import numpy as np
    from smalldiffusion import ScheduleLogLinear, Swissroll, TimeInputMLP, samples, training_loop
    from torch.utils.data import DataLoader
    torch.manual_seed(seed)
    loader = DataLoader(Swissroll(np.pi/2, 5*np.pi, 100), batch_size=2048)
    model = TimeInputMLP(hidden_dims=(16, 128, 128, 128, 128, 16))
    schedule = ScheduleLogLinear(N=200, sigma_min=0.005, sigma_max=10)
    for state in training_loop(loader, model, schedule, epochs=epochs): state.loss.item()
    *_, x = samples(model, schedule.sample_sigmas(STRIDES), gam=2, batchsize=SAMPLES)
    return unit(x)


def ours(seed, steps=600):
    torch.manual_seed(seed)
    d = GaussianDiffusion(cosine(1000), "v")
    for run in train(d, MLP(2), unit(POINTS), steps=steps, batch=256, ema=0.99, seed=seed, device=device): pass
    return sample(run, SAMPLES, method="ddim", steps=STRIDES, seed=seed, batch=SAMPLES, progress=False).cpu()


def rows(short=False):
    ways = {"train": (ours, {"steps": 2} if short else {})}
    if installed("smalldiffusion"): ways["smalldiffusion"] = theirs, {"epochs": 2} if short else {}
    taken, far, bare = ({name: [] for name in ways} for _ in range(3))
    curve, points = unit(roll(4000)), unit(POINTS)
    for way, _ in ways.values(): way(99, 2)                     # not counted
    for seed in range(1 if short else SEEDS):
        for name, (way, size) in ways.items():
            wait(); start = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()): x = way(seed, **size)
            wait(); taken[name].append(time.perf_counter() - start)
            far[name].append((torch.cdist(x, curve).amin(1) > FAR).double().mean().item())
            bare[name].append((torch.cdist(points, x).amin(1) > FAR).double().mean().item())
    median = lambda shares: {name: statistics.median(s) for name, s in shares.items()}
    found = row("the roll to the quality of smalldiffusion's own example", taken, ["smalldiffusion"], 10,
                far=median(far), bare=median(bare))
    if not short and "smalldiffusion" in far:
        found["reached"] &= all(a <= b for a, b in zip(far["train"], far["smalldiffusion"]))
    return [found]


if __name__ == "__main__": show(rows())
