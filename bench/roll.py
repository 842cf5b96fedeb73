"""smalldiffusion's own example, as it stands, and how soon `train` makes a roll as good of the same points.

    python bench/roll.py
"""
import contextlib
import io
import math
import time

import torch
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.sampling import sample
from dpm_nb.schedule import cosine
from dpm_nb.training import train
from rounds import device, installed, row, show, wait

STRIDES, SAMPLES, SEEDS, FAR = 20, 1500, 3, 0.2


def roll(n):
    "Places along their curve, n of them, in their units; their data set is 100 such."
    angle = math.pi/2 + 5*math.pi*torch.linspace(0, 1, n)
    return angle[:, None]*torch.stack([angle.cos(), angle.sin()], 1)/(5*math.pi)


POINTS = roll(100)
CENTRE, SPREAD = POINTS.mean(0), POINTS.var(0, correction=0).mean().sqrt()
unit = lambda x: (x.cpu() - CENTRE)/SPREAD                      # to mean 0 and variance 1, as our roll
CURVE = unit(roll(4000))


def theirs(seed, epochs):
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


def astray(x): return (torch.cdist(x, CURVE).amin(1) > FAR).double().mean().item()


def ours(seed, target, plans=(200, 400, 800, 1600, 3200, 6400)):
    "A plan of so many steps, then a longer one, each from the beginning, until one is as good; all of them take their time."
    d = GaussianDiffusion(cosine(1000), "v")
    for steps in plans:
        torch.manual_seed(seed)
        for run in train(d, MLP(2), unit(POINTS), steps=steps, batch=256, ema=0.99, seed=seed, device=device): pass
        x = sample(run, SAMPLES, method="ddim", steps=STRIDES, seed=seed, batch=SAMPLES, progress=False).cpu()
        if astray(x) <= target: break
    return x, steps


def timed(way, *args):
    wait(); start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()): made = way(*args)
    wait()
    return made, time.perf_counter() - start


def rows(short=False):
    peer, steps = installed("smalldiffusion") is not None, []
    taken, far, bare = ({name: [] for name in ["train"] + ["smalldiffusion"]*peer} for _ in range(3))
    def note(name, x, seconds):
        taken[name].append(seconds)
        far[name].append(astray(x))
        bare[name].append((torch.cdist(unit(POINTS), x).amin(1) > FAR).double().mean().item())
    if peer: timed(theirs, 99, 2)                               # not counted, nor is the next
    timed(ours, 99, 1., [2])
    for seed in range(1 if short else SEEDS):
        if peer: note("smalldiffusion", *timed(theirs, seed, 2 if short else 15_000))
        target = far["smalldiffusion"][-1] if peer else 1.
        (x, plan), seconds = timed(ours, seed, target, *([[2]] if short else []))
        note("train", x, seconds)
        steps.append(plan)
    found = row("the roll to the quality of smalldiffusion's own example", taken, ["smalldiffusion"], 10, far=far, bare=bare, steps=steps)
    if peer: found["reached"] &= all(a <= b for a, b in zip(far["train"], far["smalldiffusion"]))
    return [found]


if __name__ == "__main__": show(rows())
