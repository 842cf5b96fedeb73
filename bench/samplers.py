"""Microseconds that a sampler's step costs beside the network, ours and diffusers', side by side in one process.

    pip install diffusers && python bench/samplers.py
"""
import statistics
import time

import torch
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.sampling import ddim, ddpm
from dpm_nb.schedule import linear

SHAPE, STEPS, ROUNDS = (16, 3, 32, 32), 1000, 7
OUT = torch.randn(SHAPE)


def network(x, t): return OUT                                   # a network that costs nothing


def ours(sampler, **options):
    def run():
        for _ in sampler(GaussianDiffusion(linear(STEPS)), network, SHAPE, **options): pass
    return run


def theirs(kind, **options):
    import diffusers
    scheduler = getattr(diffusers, kind)(STEPS, beta_start=1e-4, beta_end=0.02, clip_sample=False)
    scheduler.set_timesteps(STEPS)
    @torch.no_grad()
    def run():
        x = torch.randn(SHAPE)
        for t in scheduler.timesteps: x = scheduler.step(network(x, t), t, x, **options).prev_sample
    return run


def main():
    loops = {"ddpm": ours(ddpm), "ddim": ours(ddim, steps=STEPS)}
    try: loops |= {"diffusers ddpm": theirs("DDPMScheduler"), "diffusers ddim": theirs("DDIMScheduler")}
    except ImportError: print("diffusers is not installed: our side alone")
    times = {name: [] for name in loops}
    for _ in range(ROUNDS):                                     # in turn, so that a busy moment hits all alike
        for name, loop in loops.items():
            start = time.perf_counter()
            loop()
            times[name].append((time.perf_counter() - start)/STEPS*1e6)
    for name, t in times.items(): print(f"{name:>15}: {statistics.median(t):7.1f} us a step (fastest {min(t):.1f})")


if __name__ == "__main__": main()
