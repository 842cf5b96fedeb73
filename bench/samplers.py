"""What walking down the chain costs beside the network, ours and others', and what a step asks of PyTorch.

The network costs nothing, so that all the time is the sampler's. A time is that of a whole call, from a shape to samples: the
tables of the chain exist, what is made for the walk does not. Before anything is timed, all must end at the same samples.

    python bench/samplers.py
"""
import statistics

import torch
from dpm_nb.core import rng
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.sampling import ddim, ddpm
from dpm_nb.schedule import linear
from dpm_nb.solvers import dpmpp_2m, unipc
from rounds import ROUNDS, device, installed, rounds, row, show
from torch.utils._python_dispatch import TorchDispatchMode

SHAPE = 1, 3, 32, 32
OUT = torch.randn(SHAPE, generator=rng(1)).to(device)
TRAILING = dict(timestep_spacing="trailing", final_sigmas_type="zero", solver_order=2)
SOLVERS = { # ours, diffusers' with its options and those of its step, strides, clipped, the most operations of a stride, reach
    "DDIM-50": (ddim, "DDIMScheduler", {}, {}, 50, False, 5, 6),
    "DDIM-50, clipped": (ddim, "DDIMScheduler", {}, {"use_clipped_model_output": True}, 50, True, 6, 6),
    "2M-20": (dpmpp_2m, "DPMSolverMultistepScheduler", TRAILING, {}, 20, False, 6, 8),
    "UniPC-20": (unipc, "UniPCMultistepScheduler", TRAILING, {}, 20, False, 10, 12),
}


def network(x, t, *more): return OUT                            # a network that costs nothing


class Free:
    "The same, as denoising-diffusion-pytorch asks it."
    channels, out_dim, self_condition, __call__ = 3, 3, False, staticmethod(network)


class Ops(TorchDispatchMode):
    "What PyTorch is asked to do."
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        self.ops.append(op.overloadpacket.__name__)
        return op(*args, **(kwargs or {}))


def asked(steps, of=7):
    "Tensor operations, and reads of a value by the host, in one of a walk's steps; the network's times are its own."
    with Ops() as count:
        for k, _ in zip(range(of), steps):
            if k < of-1: count.ops.clear()
    names = [op for op in count.ops if op not in ("full", "expand")]
    return len(names), names.count("_local_scalar_dense")


def ours(d, sampler, options, g=None):
    "Our walk, step by step."
    for _, x in sampler(d, network, SHAPE, g or rng(0, device), **options): yield x


@torch.no_grad()
def theirs(scheduler, n, options, g=None):
    "diffusers' walk, as its pipelines write it down."
    g = g or rng(0, device)
    scheduler.set_timesteps(n, device=device)
    x = torch.randn(SHAPE, generator=g, device=device)*scheduler.init_noise_sigma
    if scheduler.__class__.__name__[:2] == "DD": options = options | {"generator": g}
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x, **options).prev_sample
        yield x


def another(T):
    "denoising-diffusion-pytorch's walk, back in [-1, 1]."
    from denoising_diffusion_pytorch import GaussianDiffusion as Theirs
    d = Theirs(Free(), image_size=SHAPE[-1], timesteps=T, objective="pred_noise", beta_schedule="linear").to(device)
    return lambda: d.sample(SHAPE[0])*2 - 1


def last(steps):
    for x in steps: pass
    return x


def agree(ways):
    "Raise unless all ways end at the same samples."
    first, *rest = (way() for way in ways.values())
    for x in rest: torch.testing.assert_close(x, first, rtol=0, atol=2e-3*first.abs().max().item())


def beside(work, taken, peer, reach, **facts):
    "The row of our way and of one other."
    pair = {name: taken[name] for name in ("dpm-nb", peer)}
    return row(f"{work} beside {peer}", pair, [peer], reach, **facts)


def counted(walks, most):
    "What a step asks, by its way."
    found = {name: asked(steps) for name, steps in walks.items()}
    return {"operations": {k: n for k, (n, _) in found.items()}, "most": most, "waits": {k: w for k, (_, w) in found.items()}}


def down(T, n):
    "Algorithm 2, all clipped."
    d = GaussianDiffusion(linear(T), "eps", "posterior", clip=(-1, 1))
    ways, walks, seed = {"dpm-nb": lambda: last(ours(d, ddpm, {}))}, {"dpm-nb": ours(d, ddpm, {})}, lambda: torch.manual_seed(0)
    if installed("diffusers"):
        from diffusers import DDPMScheduler
        scheduler = DDPMScheduler(T, beta_start=0.1/T, beta_end=20/T)
        ways["diffusers"] = lambda: last(theirs(scheduler, T, {}))
        walks["diffusers"] = theirs(scheduler, T, {})
    if installed("denoising-diffusion-pytorch"):
        walk = another(T)
        ways["denoising-diffusion-pytorch"] = lambda: seed() and walk()
    agree(ways)
    facts, taken = counted(walks, 7), rounds(ways, n)
    rows = [beside(f"DDPM-{T}", taken, peer, reach, **told)
            for peer, reach, told in (("diffusers", 5, facts), ("denoising-diffusion-pytorch", 3, {})) if peer in ways]
    return rows or [row(f"DDPM-{T}", taken, **facts)]


def strides(name, T, n):
    "A sampler of few steps, from the same noise at the same times."
    sampler, kind, options, call, k, clip, most, reach = SOLVERS[name]
    d, scheduler = GaussianDiffusion(linear(T), clip=(-1, 1) if clip else None), None
    steps = {"steps": k}
    if installed("diffusers"):
        import diffusers
        clipped = {"clip_sample": clip} if kind == "DDIMScheduler" else {}
        scheduler = getattr(diffusers, kind)(T, beta_start=0.1/T, beta_end=20/T, **options, **clipped)
        scheduler.set_timesteps(k)
        steps = {"steps": [*(scheduler.timesteps + 1).tolist(), 0]}
    ways, walks = {"dpm-nb": lambda: last(ours(d, sampler, steps))}, {"dpm-nb": ours(d, sampler, steps)}
    if scheduler is not None:
        ways["diffusers"] = lambda: last(theirs(scheduler, k, call))
        walks["diffusers"] = theirs(scheduler, k, call)
    agree(ways)
    facts, taken = counted(walks, most), rounds(ways, n, 1 if n == 1 else 10)
    one = rounds({"dpm-nb": lambda: last(ours(d, sampler, {"steps": 1}))}, n, 1 if n == 1 else 10)
    facts["one stride"] = statistics.median(one["dpm-nb"])      # nearly all of it is what is made for the walk
    return beside(name, taken, "diffusers", reach, **facts) if scheduler is not None else row(name, taken, **facts)


def rows(short=False):
    T, n = 100 if short else 1000, 1 if short else ROUNDS
    return [*down(T, n), *(strides(name, T, n) for name in SOLVERS)]


if __name__ == "__main__": show(rows())
