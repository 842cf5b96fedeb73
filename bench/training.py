"""A training step of an MLP: `train` beside a bare loop that draws, clips and averages too.

    python bench/training.py
"""
import copy

import torch
from dpm_nb.core import rng
from dpm_nb.data import swiss_roll
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.schedule import linear
from dpm_nb.training import train
from rounds import ROUNDS, device, rounds, row, show
from torch import nn

d, data = GaussianDiffusion(linear(1000)), swiss_roll(20_000, generator=rng(0)).to(device)


def bare(net, batch):
    "Algorithm 1 as one would write it down, with nothing around it."
    average = copy.deepcopy(net).requires_grad_(False)
    ours, theirs = list(net.parameters()), list(average.parameters())
    optimizer, g, step = torch.optim.AdamW(ours, 1e-3, fused=True), rng(0, device), 0
    keep, add = (v.sqrt().float().to(device) for v in (d.schedule.alpha_bar, d.schedule.beta_bar))
    while True:
        x0 = data[torch.randint(len(data), (batch,), device=device, generator=g)]
        t = torch.randint(1, 1001, (batch,), device=device, generator=g)
        eps = torch.randn(x0.shape, device=device, generator=g)
        xt = keep[t][:, None]*x0 + add[t][:, None]*eps
        loss = (net(xt, t) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ours, 1.)
        optimizer.step()
        torch._foreach_lerp_(theirs, ours, 1 - min(0.999, (1+step)/(10+step)))
        step += 1
        yield loss


def rows(short=False):
    found = []
    for batch, steps, reach in ((256, 400, 0.95), (2048, 60, 0.98)):
        torch.manual_seed(0)
        net, batch = MLP(2), 16 if short else batch
        loops = {"train": train(d, copy.deepcopy(net), data, steps=10**6, batch=batch, device=device),
                 "bare loop": bare(net.to(device), batch)}
        ways = {name: loop.__next__ for name, loop in loops.items()}
        taken = rounds(ways, 1 if short else ROUNDS, 2 if short else steps)
        found.append(row(f"training step of an MLP, batch {batch}", taken, ["bare loop"], reach))
    return found


if __name__ == "__main__": show(rows())
