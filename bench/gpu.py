"""Bits per dimension of MNIST in bytes on one GPU, twenty minutes in two calls: the second goes on where the first stood.

    python bench/gpu.py --data ../shared/data --path run --minutes 9
    python bench/gpu.py --data ../shared/data --path run --minutes 9
    python bench/gpu.py --small                                 # every line of it in seconds, on a CPU

The goal is 0.70 bits/dim; 0.62 is published for autoregressive transformers and 0.97 for flows."""
import argparse
import math
import time

import torch
from dpm_nb.core import pick_device, rng
from dpm_nb.data import digits, images
from dpm_nb.engine import fit
from dpm_nb.estimate import vlb_estimate
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import UNet
from dpm_nb.schedule import Schedule
from torch import nn


class Fine(nn.Module):
    "A U-Net that also hears waves of each pixel, as short as two grey levels (Kingma 2021, appendix C)."
    def __init__(self, **design):
        super().__init__()
        self.unet = UNet(5, out=1, **design)

    def forward(self, x, t):
        angle = torch.cat([x*(math.pi*2**n) for n in (6, 7)], 1)
        return self.unet(torch.cat([x, angle.sin(), angle.cos()], 1), t)


def even_in_log_snr(T, first=13., last=-7.):
    "A schedule whose log SNR falls in equal steps; its first noise is far below one grey level."
    log_alpha_bar = nn.functional.logsigmoid(torch.linspace(first, last, T, dtype=torch.float64))
    return Schedule(-torch.expm1(log_alpha_bar.diff(prepend=log_alpha_bar.new_zeros(1))), "even in log SNR")


def main(*args):
    cli = argparse.ArgumentParser()
    cli.add_argument("--data", default="../shared/data", help="where torchvision finds MNIST")
    cli.add_argument("--path", help="a folder for checkpoints; the same call goes on from there")
    cli.add_argument("--minutes", type=float, default=math.inf, help="stop after so many, and keep what was learned")
    cli.add_argument("--steps", type=int, default=12_000)
    cli.add_argument("--device", help="default: the best there is")
    cli.add_argument("--small", action="store_true", help="a few steps on digits of 8 x 8")
    ask = cli.parse_args(args or None)
    began, device = time.monotonic(), pick_device(ask.device)
    if ask.small:
        (train_x, _), (test_x, _) = digits(True), digits(False)
        design, plan = dict(widths=(8, 16)), dict(steps=4, batch=16)
    else:
        (train_x, _), (test_x, _) = (images("mnist", ask.data, train=part) for part in (True, False))
        design = dict(widths=(128, 128, 256), blocks=2, attention=(2,))
        plan = dict(steps=ask.steps, batch=256, precision="bf16" if device.type == "cuda" else None)
    d = GaussianDiffusion(even_in_log_snr(20 if ask.small else 1000), "v", "posterior", clip=(-1, 1))
    torch.manual_seed(0)
    net = Fine(**design)

    def until(run):
        if time.monotonic() - began > 60*ask.minutes: raise KeyboardInterrupt
    run = fit(d, net, train_x, **plan, lr=1e-3, ema=0.999, weight="bound", path=ask.path, watch=until, plot=False, device=device,
              progress=not ask.small)
    x, passes = (test_x[:8], 20) if ask.small else (test_x, 100)
    e = vlb_estimate(d, run.ema, x.to(device), passes=passes, generator=rng(0, device))
    print(f"{device}: {run.step} steps of {plan['batch']}, {sum(p.numel() for p in net.parameters()):,} parameters, "
          f"{(time.monotonic() - began)/60:.1f} minutes in this call")
    print(f"{e} on {len(x)} unseen digits, of which the goal is 0.70")
    return e.mean


if __name__ == "__main__": main()
