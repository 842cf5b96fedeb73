"""Steps of training in a second, `train` beside a bare loop that draws, clips and averages too, in one process.

    python bench/training.py
"""
import copy
import statistics
import time

import torch
from dpm_nb.core import rng
from dpm_nb.data import swiss_roll
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.schedule import linear
from dpm_nb.training import train
from torch import nn

STEPS, BATCH, ROUNDS = 300, 256, 9
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
d, data = GaussianDiffusion(linear(1000)), swiss_roll(20_000, generator=rng(0)).to(device)


def bare():
    "Algorithm 1 as one would write it down, with nothing around it."
    torch.manual_seed(0)
    net = MLP(2).to(device)
    average = copy.deepcopy(net).requires_grad_(False)
    ours, theirs = list(net.parameters()), list(average.parameters())
    optimizer, g = torch.optim.AdamW(ours, 1e-3, fused=True), rng(0, device)
    keep, add = (v.sqrt().float().to(device) for v in (d.schedule.alpha_bar, d.schedule.beta_bar))
    for k in range(STEPS):
        x0 = data[torch.randint(len(data), (BATCH,), device=device, generator=g)]
        t = torch.randint(1, 1001, (BATCH,), device=device, generator=g)
        eps = torch.randn(x0.shape, device=device, generator=g)
        xt = keep[t][:, None]*x0 + add[t][:, None]*eps
        loss = (net(xt, t) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ours, 1.)
        optimizer.step()
        torch._foreach_lerp_(theirs, ours, 1 - min(0.999, (1+k)/(10+k)))


def whole():
    "The same by `train`, which also picks times from pieces, sets the rate and keeps every loss."
    torch.manual_seed(0)
    for _ in train(d, MLP(2), data, steps=STEPS, batch=BATCH, device=device): pass


def wait():
    if device.type == "cuda": torch.cuda.synchronize()


def main():
    taken = {"bare loop": [], "train": []}
    bare(), whole()
    for _ in range(ROUNDS):                                     # in turn, so that a busy moment hits all alike
        for name, way in (("bare loop", bare), ("train", whole)):
            wait()
            start = time.perf_counter()
            way()
            wait()
            taken[name].append(time.perf_counter() - start)
    print(f"{device.type}, {torch.get_num_threads()} threads, MLP in two dimensions, batch {BATCH}")
    for name, t in taken.items(): print(f"{name:>10}: {STEPS/statistics.median(t):6.0f} steps a second (fastest {STEPS/min(t):.0f})")
    print(f"speed of train against the bare loop: {min(taken['bare loop'])/min(taken['train']):.3f}")


if __name__ == "__main__": main()
