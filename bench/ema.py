"""The average of 152 tensors of weights, moved by one step.

    python bench/ema.py
"""
import copy

from dpm_nb.nets import UNet
from dpm_nb.training import ema_update
from rounds import ROUNDS, device, installed, rounds, row, show
from torch import nn

N = 152


def rows(short=False):
    net = UNet(1, widths=(32, 64), blocks=3, attention=(1,)).to(device)
    weights = nn.ParameterList(list(net.parameters())[:N])
    average, model = list(copy.deepcopy(weights).requires_grad_(False)), list(weights)
    ways = {"ema_update": lambda: ema_update(average, model, 0.999, 10_000)}
    if installed("diffusers"):
        from diffusers.training_utils import EMAModel
        one, many = EMAModel(model, 0.999), EMAModel(model, 0.999, foreach=True)
        ways |= {"diffusers": lambda: one.step(model), "diffusers, foreach=True": lambda: many.step(model)}
    if installed("ema-pytorch"):                                # what denoising-diffusion-pytorch averages with
        from ema_pytorch import EMA
        lucid = EMA(weights, beta=0.999, update_every=1, update_after_step=0)
        ways["denoising-diffusion-pytorch"] = lucid.update
    taken = rounds(ways, 1 if short else ROUNDS, 2 if short else 100)
    return [row(f"EMA of {N} tensors", taken, ["diffusers"], 5, numbers=sum(p.numel() for p in model))]


if __name__ == "__main__": show(rows())
