"A mistake meets one sentence that names the argument, the value and what is allowed."
import re
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, strategies as st

from dpm_nb.binomial import BinomialDiffusion, bit_oracle
from dpm_nb.bound import path_bound, to_bits, vlb
from dpm_nb.chain import GridDensity, on_grid
from dpm_nb.core import rng
from dpm_nb.data import gaussian, ring, two_bumps
from dpm_nb.estimate import vlb_estimate
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.likelihood import dequantise, flow, log_likelihood, log_likelihood_estimate
from dpm_nb.nets import MLP, UNet, time_embedding
from dpm_nb.oracle import Oracle, distance
from dpm_nb.sampling import ddim, ddpm, sample, timesteps
from dpm_nb.schedule import Schedule, cosine, inverse_time, linear, make_schedule, sigmoid
from dpm_nb.training import fit, load_run, train

nan, inf = float("nan"), float("inf")
d = GaussianDiffusion(linear(10))
x = torch.zeros(4, 2)
bumps = on_grid(two_bumps())
flips = BinomialDiffusion(linear(10))
silent = lambda x, t: torch.zeros_like(x)
still = lambda x, t: 0*x
quiet = dict(steps=1, progress=False, plot=False)



class Exploding(torch.nn.Linear):
    def forward(self, x, t): return super().forward(x)*1e30


class Coins(GaussianDiffusion):
    discrete = True


MISTAKES = {
    # schedule
    "T zero": (lambda: linear(0), ValueError, "T must be at least 1, got 0"),
    "T real": (lambda: cosine(10.), TypeError, "T must be a whole number"),
    "T bool": (lambda: inverse_time(True), TypeError, "T must be a whole number of at least 1, got True"),
    "T text": (lambda: sigmoid("10"), TypeError, "T must be a whole number"),
    "offset negative": (lambda: cosine(10, s=-1), ValueError, r"s must be a finite number in \[0"),
    "end before start": (lambda: sigmoid(10, 3, -3), ValueError, "end must be a finite number in"),
    "tau zero": (lambda: sigmoid(10, tau=0), ValueError, "tau must be"),
    "start not finite": (lambda: linear(10, start=nan), ValueError, "start must be a finite number"),
    "beta zero": (lambda: Schedule([0.1, 0.]), ValueError, r"beta must lie in \(0, 1\], got 0 at t=2"),
    "beta above one": (lambda: Schedule([1.5]), ValueError, r"beta must lie in \(0, 1\], got 1.5 at t=1"),
    "beta nan": (lambda: Schedule([0.1, nan]), ValueError, "beta must lie in"),
    "beta whole": (lambda: Schedule([1, 1]), TypeError, "beta must hold real numbers"),
    "beta empty": (lambda: Schedule(torch.zeros(0)), ValueError, r"beta must have shape \(T,\) with T >= 1"),
    "beta flat": (lambda: Schedule(torch.ones(2, 2)), ValueError, r"beta must have shape \(T,\)"),
    "schedule unknown": (lambda: make_schedule("quadratic"), ValueError,
                         "schedule must be one of 'linear', 'cosine', 'sigmoid', 'inverse_time', got 'quadratic'"),
    # gaussian
    "not a schedule": (lambda: GaussianDiffusion("linear"), TypeError, "schedule must be a Schedule, got 'linear'"),
    "predicts unknown": (lambda: GaussianDiffusion(linear(10), "noise"), ValueError,
                         "predicts must be one of 'eps', 'x0', 'v', 'score', got 'noise'"),
    "variance unknown": (lambda: GaussianDiffusion(linear(10), variance="fixed"), ValueError,
                         "variance must be one of 'beta', 'posterior', 'learned', got 'fixed'"),
    "clip reversed": (lambda: GaussianDiffusion(linear(10), clip=(1, -1)), ValueError, r"clip\[1\] must be"),
    "clip not a pair": (lambda: GaussianDiffusion(linear(10), clip=True), TypeError, "clip must be a pair"),
    "eps where nothing is left": (lambda: GaussianDiffusion(inverse_time(10)), ValueError, "predicts must be 'v' or 'x0'"),
    "t zero": (lambda: d.q_sample(x, 0), ValueError, "t must be at least 1, got 0"),
    "t past the end": (lambda: d.q_step(x, 11), ValueError, "t must lie in 1..10, got 11"),
    "t past the end, one of many": (lambda: d.q_marginal(x, torch.tensor([1, 2, 3, 11])), ValueError, "t must lie in 1..10, got values from 1 to 11"),
    "t real": (lambda: d.q_posterior(x, x, torch.ones(4)), TypeError, "t must hold signed integers"),
    "t a mask": (lambda: d.q_sample(x, torch.ones(4, dtype=torch.bool)), TypeError, "t must hold signed integers"),
    "t too short": (lambda: d.p_step(silent, x, torch.ones(3, dtype=torch.long)), ValueError, r"t must have shape \(\) or \(B,\)"),
    "x whole": (lambda: d.q_sample(x.long(), 1), TypeError, "x0 must hold real numbers"),
    "x bytes": (lambda: d.q_sample(x.byte(), 1), TypeError, "x0 must hold real numbers"),
    "x nan": (lambda: d.q_step(x*nan, 1), ValueError, "xs must be finite, got 8 entries"),
    "x infinite": (lambda: d.predict(silent, x+inf, 1), ValueError, "xt must be finite"),
    "x not a tensor": (lambda: d.q_marginal([1., 2.], 1), TypeError, "x0 must be a torch.Tensor, got list"),
    "x0 of another shape": (lambda: d.q_posterior(x, torch.zeros(3, 2), 1), ValueError, r"x0 must broadcast to the shape \(4, 2\), got \(3, 2\)"),
    "eps of another shape": (lambda: d.q_sample(x, 1, torch.zeros(4, 3)), ValueError, r"eps must have the batch's shape \(4, 2\)"),
    "model of another shape": (lambda: d.predict(lambda x, t: x[:, :1], x, 1), ValueError, r"model must return a tensor of shape \(4, 2\), got \(4, 1\)"),
    "model without a variance": (lambda: GaussianDiffusion(linear(10), variance="learned").p_step(silent, x, 1), ValueError,
                                 r"model must return a tensor of shape \(4, 4\), got \(4, 2\)"),
    "model returns nothing": (lambda: d.loss(lambda x, t: None, x, 1), ValueError, "model must return a tensor"),
    # bound
    "reals for bytes": (lambda: vlb(d, silent, x + 0.3), ValueError, "x0 must hold 8-bit values .* got 0.3: take decoder='continuous'"),
    "bytes beyond the end": (lambda: vlb(d, silent, x + 257/127.5 - 1), ValueError, r"x0 must hold 8-bit values .* in \[-1, 1\]"),
    "decoder unknown": (lambda: vlb(d, silent, x, "bytes"), ValueError, "decoder must be one of 'discrete', 'continuous', got 'bytes'"),
    "bound of integers": (lambda: vlb(d, silent, x.long()), TypeError, "x0 must hold real numbers"),
    "bound of nan": (lambda: vlb(d, silent, x*nan, "continuous"), ValueError, "x0 must be finite, got 8 entries"),
    "bound of nothing": (lambda: vlb(d, silent, x[:0], "continuous"), ValueError, r"x0 must have shape \(B, \.\.\.\) with B >= 1"),
    "bound of a row": (lambda: vlb(d, silent, x[0], "continuous"), ValueError, r"x0 must have shape \(B, \.\.\.\)"),
    "bound without a diffusion": (lambda: vlb(linear(10), silent, x, "continuous"), TypeError, "d must be a diffusion"),
    "bound without a model": (lambda: vlb(d, x, x, "continuous"), TypeError, r"model must be callable as model\(x, t\), got Tensor"),
    "bound of bits in bytes": (lambda: vlb(flips, silent, x.byte()), TypeError, "x0 must hold real numbers such as torch.float32, got torch.uint8"),
    "path batch zero": (lambda: path_bound(d, silent, x, batch=0), ValueError, "batch must be at least 1, got 0"),
    "bound batch zero": (lambda: vlb(d, silent, x, "continuous", batch=0), ValueError, "batch must be at least 1, got 0"),
    "bound of a narrow model": (lambda: vlb(d, lambda x, t: x[:, :1], x, "continuous"), ValueError, "model must return a tensor of shape"),
    "bound of a model that returns nothing": (lambda: vlb(d, lambda x, t: None, x, "continuous"), ValueError, "model must return a tensor"),
    "bound of a model with nan": (lambda: vlb(d, lambda x, t: x*nan, x, "continuous"), ValueError, "the model's output must be finite"),
    "path of a model with nan": (lambda: path_bound(d, lambda x, t: x*nan, x), ValueError, "the model's output must be finite"),
    "path seed": (lambda: path_bound(d, silent, x, seed=-1), ValueError, "seed must be at least 0, got -1"),
    "estimate of a model with nan": (lambda: vlb_estimate(d, lambda x, t: x*nan, x, 32, "continuous"), ValueError, "the model's output must be finite"),
    "passes too few": (lambda: vlb_estimate(d, silent, x, 6, "continuous"), ValueError, "passes must be at least 7 for T=10 and 4 examples, since a pilot asks every t, got 6"),
    "passes real": (lambda: vlb_estimate(d, silent, x, 32., "continuous"), TypeError, "passes must be a whole number"),
    "estimate from one example": (lambda: vlb_estimate(d, silent, x[:1], 32, "continuous"), ValueError, "x0 must hold at least 2 examples, got 1"),
    "bits of no dimension": (lambda: to_bits(x, 0), ValueError, "dims must be at least 1, got 0"),
    "unit zero": (lambda: to_bits(x, 2, 0.), ValueError, "unit must be a finite number"),
    # chain
    "density not normalised": (lambda: GridDensity(bumps.q/2), ValueError, "q must have integral 1 between -7 and 7, got 0.5"),
    "density negative": (lambda: GridDensity(-bumps.q), ValueError, "q must not be negative, got -0."),
    "density nan": (lambda: GridDensity(bumps.q*nan), ValueError, "q must be finite, got 701 entries"),
    "density whole": (lambda: GridDensity(torch.ones(701, dtype=torch.long)), TypeError, "q must hold real numbers"),
    "grid of two points": (lambda: GridDensity(bumps.q[:2]), ValueError, r"q must have shape \(N,\) with N at least 3, got \(2,\)"),
    "density of two axes": (lambda: GridDensity(bumps.q[None]), ValueError, r"q must have shape \(N,\) with N at least 3, got \(1, 701\)"),
    "grid of no length": (lambda: GridDensity(bumps.q, 0.), ValueError, "lim must be a finite number"),
    "grid too narrow": (lambda: on_grid(two_bumps(), 1.), ValueError, "q must have integral 1 between -1 and 1"),
    "grid of one point": (lambda: on_grid(two_bumps(), n=1), ValueError, "n must be at least 3, got 1"),
    "mixture in the plane": (lambda: on_grid(ring()), TypeError, "p must be a Mixture in one dimension"),
    "step finer than the grid": (lambda: bumps.forward(1e-4), ValueError, r"beta on this grid must be a finite number in \[0.0009, 1\], got 0.0001"),
    "step zero": (lambda: bumps.reverse(0.), ValueError, "beta on this grid must be"),
    "step above one": (lambda: bumps.gap(1.5), ValueError, "beta on this grid must be a finite number in"),
    "step text": (lambda: bumps.forward("small"), TypeError, "beta on this grid must be a real number, got 'small'"),
    "variance of a step unknown": (lambda: bumps.normal(0.1, "posterior"), ValueError, "variance must be one of 'matched', 'beta', got 'posterior'"),
    # binomial
    "bits without a schedule": (lambda: BinomialDiffusion([0.1, 1.]), TypeError, r"schedule must be a Schedule, got \[0.1, 1.0\]"),
    "bits with beta above one": (lambda: BinomialDiffusion(Schedule([0.5, 1.01])), ValueError, r"beta must lie in \(0, 1\], got 1.01 at t=2"),
    "bits predict noise": (lambda: BinomialDiffusion(linear(10), "eps"), ValueError, "predicts must be one of 'logit', 'x0', got 'eps'"),
    "bits that are halves": (lambda: flips.q_step(x + 0.5, 1), ValueError, "xs must hold 0 and 1 alone, got 8 other values such as 0.5"),
    "bits that are signs": (lambda: flips.q_sample(2*x - 1, 1), ValueError, "x0 must hold 0 and 1 alone, got 8 other values such as -1"),
    "bits that are whole numbers": (lambda: flips.q_sample(x.long(), 1), TypeError, "x0 must hold real numbers such as torch.float32, got torch.int64"),
    "bits that are truths": (lambda: flips.q_marginal(x == 0, 1), TypeError, "x0 must hold real numbers such as torch.float32, got torch.bool"),
    "bits nan": (lambda: flips.p_step(silent, x*nan, 1), ValueError, "xt must be finite, got 8 entries"),
    "bits after the end": (lambda: flips.q_posterior(x, x, 11), ValueError, "t must lie in 1..10, got 11"),
    "bits and a guess": (lambda: flips.q_posterior(x, x + 0.2, 1), ValueError, "x0 must hold 0 and 1 alone, got 8 other values such as 0.2"),
    "bits of another shape": (lambda: flips.q_posterior(x, torch.zeros(3, 2), 1), ValueError, r"x0 must broadcast to the shape \(4, 2\), got \(3, 2\)"),
    "bits with Gaussian noise": (lambda: flips.q_sample(x, 1, x - 1.5), ValueError, r"eps must lie in \[0, 1\), got values from -1.5 to -1.5"),
    "bits with noise 1": (lambda: flips.q_sample(x, 1, x + 1), ValueError, r"eps must lie in \[0, 1\), got values from 1 to 1"),
    "bits with noise of another shape": (lambda: flips.loss(silent, x, 1, torch.zeros(4, 3)), ValueError, r"eps must have the batch's shape \(4, 2\)"),
    "bits from a model of another shape": (lambda: flips.predict(lambda x, t: x[:, :1], x, 1), ValueError, r"model must return a tensor of shape \(4, 2\), got \(4, 1\)"),
    "bits from a model without an answer": (lambda: flips.reverse(lambda x, t: None)(x, 1), ValueError, "model must return a tensor"),
    "bits from a model beyond 1": (lambda: BinomialDiffusion(linear(10), "x0").p_step(lambda x, t: x + 1.5, x, 1), ValueError,
                                   r"model must return values in \[0, 1\] for predicts='x0', got 1.5 to 1.5"),
    "bits trained on reals": (lambda: fit(flips, MLP(2), x + 0.3, **quiet), ValueError, "x0 must hold 0 and 1 alone"),
    "bits with another weight": (lambda: train(BinomialDiffusion(linear(10), "x0"), MLP(2), x, weight="bound"), TypeError, "weight must be 'simple' for BinomialDiffusion"),
    "rows that are no bits": (lambda: bit_oracle(flips, x + 2, torch.ones(4)), ValueError, "rows must hold 0 and 1 alone, got 8 other values such as 2"),
    "rows of one axis": (lambda: bit_oracle(flips, x[0]), ValueError, r"rows must have shape \(K, ...\)"),
    "rows with too few shares": (lambda: bit_oracle(flips, x, torch.ones(3)), ValueError, r"weight \(K,\), none below 0, got \[1.0, 1.0, 1.0\]"),
    "rows with a share below 0": (lambda: bit_oracle(flips, x, -torch.ones(4)), ValueError, "none below 0"),
    # oracle
    "oracle of a schedule": (lambda: Oracle(linear(10), two_bumps()), TypeError, "d must be a GaussianDiffusion, got .*Schedule"),
    "oracle of a list": (lambda: Oracle(d, [0., 1.]), TypeError, "data must be a Mixture or a tensor, got list"),
    "oracle of many mixtures": (lambda: Oracle(d, gaussian(torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2))), ValueError,
                                r"data must be one Mixture, got means \(3, 1, 2\)"),
    "oracle of whole numbers": (lambda: Oracle(d, x.long()), TypeError, "data must hold real numbers"),
    "oracle of nothing": (lambda: Oracle(d, x[:0]), ValueError, r"data must have shape \(B, ...\) with B >= 1, got \(0, 2\)"),
    "oracle of one axis": (lambda: Oracle(d, x[:, 0]), ValueError, r"data must have shape \(B, ...\) with B >= 1, got \(4,\)"),
    "weights for a mixture": (lambda: Oracle(d, two_bumps(), torch.ones(2)/2), ValueError, "weight must be None for a Mixture"),
    "weights too few": (lambda: Oracle(d, x, torch.ones(3)/3), ValueError, "weight must hold 4 shares, got 3"),
    "weights with another sum": (lambda: Oracle(d, x, torch.ones(4)), ValueError, r"weight must be positive with sum 1, got \[1.0, 1.0"),
    "weights negative": (lambda: Oracle(d, x, torch.tensor([.5, .5, .5, -.5])), ValueError, "weight must be positive with sum 1"),
    "weights in a list": (lambda: Oracle(d, x, [.25]*4), TypeError, "weight must be a torch.Tensor, got list"),
    "oracle asked in other dimensions": (lambda: Oracle(d, two_bumps())(x, torch.ones(4, dtype=torch.long)), ValueError,
                                         r"xt must have shape \(B, ...\) with 1 numbers in an example, got \(4, 2\)"),
    "oracle asked past the end": (lambda: Oracle(d, x)(x, torch.full((4,), 11)), ValueError, "t must lie in 1..10, got values from 11"),
    "oracle asked at 0": (lambda: Oracle(d, x).x0(x, 0), ValueError, "t must be at least 1, got 0"),
    "noised data at 0": (lambda: Oracle(d, x).marginal(0), ValueError, "t must be at least 1, got 0"),
    "oracle asked nan": (lambda: Oracle(d, x).x0(x*nan, 1), ValueError, "xt must be finite"),
    "width learned": (lambda: distance(GaussianDiffusion(linear(10), variance="learned"), silent, Oracle(d, x), x), ValueError,
                      "variance must be 'beta' or 'posterior' to be known, got 'learned'"),
    "distance from no oracle": (lambda: distance(d, silent, silent, x), ValueError, "oracle must be an Oracle for Schedule"),
    "distance on another chain": (lambda: distance(d, silent, Oracle(GaussianDiffusion(linear(20)), x), x), ValueError, "oracle must be an Oracle for"),
    "distance past the end": (lambda: distance(d, silent, Oracle(d, x), x, times=[1, 11]), ValueError, "times must lie in 1..10"),
    "distance at no whole time": (lambda: distance(d, silent, Oracle(d, x), x, times=[1.5]), TypeError, "times must hold signed integers"),
    "distance at no time": (lambda: distance(d, silent, Oracle(d, x), x, times=[]), ValueError, "times must hold at least one time"),
    "distance at a word": (lambda: distance(d, silent, Oracle(d, x), x, times="all"), TypeError, "times must hold whole numbers, got 'all'"),
    "distance of nothing": (lambda: distance(d, silent, Oracle(d, x), x[:0]), ValueError, r"x0 must have shape \(B, ...\)"),
    # nets
    "embedding odd": (lambda: time_embedding(torch.ones(2), 7), ValueError, "dim must be even, got 7"),
    "embedding empty": (lambda: time_embedding(torch.ones(2), 0), ValueError, "dim must be at least 2, got 0"),
    "MLP of nothing": (lambda: MLP(0), ValueError, "dim must be at least 1, got 0"),
    "MLP given another length": (lambda: MLP(2)(torch.zeros(3, 5), torch.ones(3)), ValueError, r"x must have shape \(B, 2\), got \(3, 5\)"),
    "U-Net without widths": (lambda: UNet(widths=()), ValueError, "widths must"),
    "U-Net with width 0": (lambda: UNet(widths=(8, 0)), ValueError, "widths must be at least 1, got 0"),
    "U-Net with attention nowhere": (lambda: UNet(widths=(8, 8), attention=(2,)), ValueError, r"attention must hold indices into widths \(8, 8\), got 2"),
    "U-Net with attention that does not divide": (lambda: UNet(widths=(8, 6), attention=(1,)), ValueError, "widths with attention must be multiples of 4, got 6"),
    "U-Net given other channels": (lambda: UNet(3, (8,))(torch.zeros(2, 1, 8, 8), torch.ones(2)), ValueError, r"x must have shape \(B, 3, H, W\)"),
    # training
    "not a diffusion": (lambda: train("linear", MLP(2), x), TypeError, "d must be a diffusion such as"),
    "not a network": (lambda: train(d, silent, x), TypeError, "model must be a torch.nn.Module or a Run"),
    "no steps": (lambda: train(d, MLP(2), x, steps=0), ValueError, "steps must be at least 1"),
    "no batch": (lambda: train(d, MLP(2), x, batch=0), ValueError, "batch must be at least 1"),
    "lr negative": (lambda: train(d, MLP(2), x, lr=-1.), ValueError, "lr must be a finite number"),
    "lr text": (lambda: train(d, MLP(2), x, lr="fast"), TypeError, "lr must be a real number, got 'fast'"),
    "ema above one": (lambda: train(d, MLP(2), x, ema=1.5), ValueError, r"ema must be a finite number in \[0, 1\], got 1.5"),
    "weight unknown": (lambda: train(d, MLP(2), x, weight="snr"), ValueError, "weight must be one of 'simple', 'bound', 'min_snr', got 'snr'"),
    "data nan": (lambda: fit(d, MLP(2), x*nan, **quiet), ValueError, "data must be finite"),
    "data whole": (lambda: fit(d, MLP(2), x.long(), **quiet), TypeError, "data must hold real numbers such as torch.float32, got torch.int64"),
    "data empty": (lambda: fit(d, MLP(2), x[:0], **quiet), ValueError, r"data must have shape \(N, ...\) with N >= 1"),
    "data one axis": (lambda: fit(d, MLP(2), x[0], **quiet), ValueError, r"data must have shape \(N, ...\)"),
    "data a list": (lambda: fit(d, MLP(2), [1., 2.], **quiet), TypeError, "data must be a torch.Tensor, got list"),
    "seed negative": (lambda: train(d, MLP(2), x, seed=-1), ValueError, "seed must be at least 0"),
    "loss not finite": (lambda: fit(d, Exploding(2, 2), x, **quiet), ValueError, "loss must stay finite, got inf at step 1"),
    "no times": (lambda: draw_times(0, 10, rng(0)), ValueError, "n must be at least 1"),
    # sampling
    "sampler unknown": (lambda: sample(d, silent, (2, 2), "euler"), ValueError, "method must be one of 'ddpm', 'ddim', got 'euler'"),
    "option unknown": (lambda: sample(d, silent, (2, 2), "ddpm", eta=1.), TypeError, "ddpm has no option eta"),
    "shape of one axis": (lambda: sample(d, silent, (2,)), ValueError, "shape must be"),
    "shape of no samples": (lambda: sample(d, silent, (0, 2)), ValueError, "shape must be at least 1, got 0"),
    "shape real": (lambda: sample(d, silent, (2, 2.)), TypeError, "shape must be a whole number"),
    "start nan": (lambda: sample(d, silent, None, xT=x*nan), ValueError, "xT must be finite"),
    "model not callable": (lambda: sample(d, "unet", (2, 2)), TypeError, "model must be callable"),
    "model nan": (lambda: sample(d, lambda x, t: x*nan, (2, 2)), ValueError, "model's output must be finite"),
    "more strides than steps": (lambda: timesteps(10, 11), ValueError, "steps must lie in 1..10, got 11"),
    "no strides": (lambda: list(ddim(d, silent, (2, 2), steps=0)), ValueError, "steps must be at least 1"),
    "eta above one": (lambda: list(ddim(d, silent, (2, 2), steps=5, eta=2)), ValueError, "eta must be a finite number"),
    "not a diffusion to sample": (lambda: list(ddpm(linear(10), silent, (2, 2))), TypeError, "d must be a diffusion such as"),
    # likelihood
    "not a diffusion to flow": (lambda: log_likelihood(linear(10), still, x), TypeError, "d must be a Diffusion, got Schedule"),
    "bytes do not flow": (lambda: log_likelihood(d, still, x.byte()), TypeError, "x0 must hold real numbers, got torch.uint8: spread bytes"),
    "coins do not flow": (lambda: log_likelihood(Coins(linear(10)), still, x), TypeError, "d must be a Gaussian diffusion for a flow, got Coins"),
    "model cut from its gradient": (lambda: log_likelihood(d, silent, x), ValueError, "model must be differentiable in x"),
    "model nan on the way": (lambda: log_likelihood(d, lambda x, t: x*nan, x), ValueError, "the model's output must be finite"),
    "likelihood of nan": (lambda: log_likelihood(d, still, x*nan), ValueError, "x0 must be finite"),
    "likelihood of nothing": (lambda: log_likelihood(d, still, x[:0]), ValueError, r"x0 must have shape \(B, ...\)"),
    "more strides than the chain": (lambda: log_likelihood(d, still, x, steps=11), ValueError, "steps must lie in 1..10, got 11"),
    "half a stride": (lambda: log_likelihood(d, still, x, steps=0.5), TypeError, "steps must be a whole number"),
    "no probes": (lambda: log_likelihood(d, still, x, probes=0), ValueError, "probes must be at least 1, got 0"),
    "one probe for an error": (lambda: log_likelihood_estimate(d, still, x, probes=1), ValueError, "probes must be at least 2, got 1"),
    "batch of none": (lambda: log_likelihood(d, still, x, batch=0), ValueError, "batch must be at least 1, got 0"),
    "a path with more strides than the chain": (lambda: flow(d, still, x, steps=11), ValueError, "steps must lie in 1..10, got 11"),
    "a path of bytes": (lambda: flow(d, still, x.byte()), TypeError, "x0 must hold real numbers, got torch.uint8: spread bytes"),
    "a path of coins": (lambda: flow(Coins(linear(10)), still, x), TypeError, "d must be a Gaussian diffusion for a flow, got Coins"),
    "a path of nan": (lambda: flow(d, still, x*nan), ValueError, "x0 must be finite, got 8 entries"),
    "a path without a model": (lambda: flow(d, "unet", x), TypeError, "model must be callable as model"),
    "estimate of nan": (lambda: log_likelihood_estimate(d, still, x*nan), ValueError, "x0 must be finite"),
    "reals dequantised": (lambda: dequantise(x), TypeError, "x must be a tensor of torch.uint8, got torch.float32"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    call, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=message) as e: call()
    assert "\n" not in str(e.value), "one sentence"


@given(st.integers(-10**6, 10**6))
def test_a_time_is_taken_in_1_to_T_and_nowhere_else(t):
    for given_t in (t, torch.tensor(t), torch.tensor([t])):
        if 1 <= t <= 1000: assert check_time(given_t, 1000, x) is given_t or check_time(given_t, 1000, x) == t
        else:
            with pytest.raises(ValueError, match=re.escape(str(t)) + "|at least 1"): check_time(given_t, 1000, x)


def test_a_file_of_another_network_is_refused_and_the_model_says_so(tmp_path):
    run = fit(d, MLP(2), x, device="cpu", **quiet)
    run.save(tmp_path/"run.pt")
    with pytest.raises(ValueError, match="model must have the layers of the run"): load_run(tmp_path/"run.pt", MLP(3), "cpu")
    with pytest.raises(FileNotFoundError): load_run(tmp_path/"none.pt", MLP(2), "cpu")


def test_weights_other_than_simple_need_a_gaussian_prediction():
    bits = SimpleNamespace(schedule=linear(10), predicts="bits")
    assert loss_weight(bits, "simple") is None
    with pytest.raises(ValueError, match="d.predicts must be one of 'eps', 'score', 'x0', 'v', got 'bits'"): loss_weight(bits, "bound")


def test_what_was_learned_survives_a_later_mistake():
    net = MLP(2)
    run = fit(d, net, torch.randn(50, 2), steps=5, device="cpu", progress=False, plot=False)
    learned = [p.clone() for p in run.ema.parameters()]
    for mistake in (lambda: fit(d, run, x*nan, **quiet), lambda: fit(d, run, x, steps=0), lambda: fit(d, run, x, batch=-1, **quiet),
                    lambda: fit(d, run, torch.zeros(4, 3), **quiet), lambda: sample(d, run.ema, (2, 3))):
        with pytest.raises((ValueError, TypeError)): mistake()
    assert run.step == 5 and len(run.losses) == 5
    for p, q in zip(learned, run.ema.parameters()): assert torch.equal(p, q)
