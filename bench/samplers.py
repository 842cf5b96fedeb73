"""What a sampler's step costs beside the network, ours and diffusers'.

    python bench/samplers.py
"""
import torch
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.sampling import ddim, ddpm
from dpm_nb.schedule import linear
from rounds import ROUNDS, installed, rounds, row, show

SHAPE = 16, 3, 32, 32
OUT = torch.randn(SHAPE)


def network(x, t): return OUT                                   # a network that costs nothing


def ours(sampler, T, **options):
    def walk():
        for _ in sampler(GaussianDiffusion(linear(T)), network, SHAPE, **options): pass
    return walk


def theirs(kind, T):
    import diffusers
    scheduler = getattr(diffusers, kind)(T, beta_start=1e-4, beta_end=0.02, clip_sample=False)
    scheduler.set_timesteps(T)
    @torch.no_grad()
    def walk():
        x = torch.randn(SHAPE)
        for t in scheduler.timesteps: x = scheduler.step(network(x, t), t, x).prev_sample
    return walk


def rows(short=False):
    T, found = 20 if short else 1000, []
    for name, sampler, kind, options in (("ddpm", ddpm, "DDPMScheduler", {}), ("ddim", ddim, "DDIMScheduler", {"steps": T})):
        ways = {"dpm-nb": ours(sampler, T, **options)}
        if installed("diffusers"): ways["diffusers"] = theirs(kind, T)
        found.append(row(f"{T} steps of {name} beside the network", rounds(ways, 1 if short else ROUNDS)))
    return found


if __name__ == "__main__": show(rows())
