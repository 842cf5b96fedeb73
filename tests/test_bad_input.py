"A mistake meets one sentence that names the argument, the value and what is allowed."
import re

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch.testing import assert_close
from torch.utils.data import Dataset, TensorDataset

from dpm_nb.binomial import BinomialDiffusion, bit_oracle
from dpm_nb.bound import path_bound, to_bits, vlb
from dpm_nb.chain import GridDensity, on_grid
from dpm_nb.core import rng
from dpm_nb.data import gaussian, ring, two_bumps
from dpm_nb.engine import fit
from dpm_nb.estimate import vlb_estimate
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.keep import load_run, save_run
from dpm_nb.likelihood import dequantise, flow, log_likelihood, log_likelihood_estimate
from dpm_nb.nets import MLP, UNet, time_embedding
from dpm_nb.oracle import Oracle, distance
from dpm_nb.sampling import ddim, ddpm, sample, timesteps
from dpm_nb.schedule import Schedule, cosine, inverse_time, linear, make_schedule, sigmoid
from dpm_nb.training import train

nan, inf = float("nan"), float("inf")
d = GaussianDiffusion(linear(10))
x = torch.zeros(4, 2)
bumps = on_grid(two_bumps())
flips = BinomialDiffusion(linear(10))
silent = lambda x, t: torch.zeros_like(x)
still = lambda x, t: 0*x
quiet = dict(steps=1, progress=False, plot=False, device="cpu")
whole = dict(decoder="continuous")
labelled = MLP(2, 8, classes=3)
labels = torch.tensor([0, 1, 2, 0])
classy = fit(d, labelled, (torch.randn(4, 2), labels), **quiet)


def of_chances():
    "A run whose network gives the chance of a bit."
    run = fit(BinomialDiffusion(linear(5)), MLP(2, 8, classes=3), (torch.ones(8, 2), torch.zeros(8).long()), **quiet)
    run.d = BinomialDiffusion(linear(5), "x0")
    return run


class Exploding(torch.nn.Linear):
    def forward(self, x, t): return super().forward(x)*1e30


class Rows(Dataset):
    def __init__(self, rows): self.rows = rows
    def __len__(self): return len(self.rows)
    def __getitem__(self, i): return self.rows[i]


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
                         "name must be one of 'linear', 'cosine', 'sigmoid', 'inverse_time', got 'quadratic'"),
    # gaussian
    "not a schedule": (lambda: GaussianDiffusion("linear"), TypeError, "schedule must be a Schedule, got 'linear'"),
    "predicts unknown": (lambda: GaussianDiffusion(linear(10), "noise"), ValueError,
                         "predicts must be one of 'eps', 'x0', 'v', 'score', 'u', got 'noise'"),
    "variance unknown": (lambda: GaussianDiffusion(linear(10), variance="fixed"), ValueError,
                         "variance must be one of 'beta', 'posterior', 'learned', got 'fixed'"),
    "clip reversed": (lambda: GaussianDiffusion(linear(10), clip=(1, -1)), ValueError, r"clip\[1\] must be"),
    "clip not a pair": (lambda: GaussianDiffusion(linear(10), clip=True), TypeError, "clip must be a pair"),
    "eps where nothing is left": (lambda: GaussianDiffusion(inverse_time(10)), ValueError, "predicts must be 'v', 'x0' or 'u' where alpha_bar_T is 0"),
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
    "one example at three times": (lambda: d.q_sample(x[:1], torch.tensor([1, 2, 3])), ValueError, r"t must have shape \(\) or \(B,\) for a batch of shape \(1, 2\), got \(3,\)"),
    "four examples at one time in a row": (lambda: d.q_sample(x, torch.tensor([1])), ValueError, r"t must have shape \(\) or \(B,\)"),
    "times in a table": (lambda: d.q_sample(x, torch.ones(4, 1, dtype=torch.long)), ValueError, r"t must have shape \(\) or \(B,\)"),
    "t a list": (lambda: d.q_sample(x, [1, 2, 3, 4]), TypeError, r"t must be a whole number of at least 1, got \[1, 2, 3, 4\]"),
    "t true": (lambda: d.q_sample(x, True), TypeError, "t must be a whole number of at least 1, got True"),
    "a single number": (lambda: d.q_sample(x[0, 0], 1), ValueError, r"x0 must have shape \(B, ...\), got \(\)"),
    "an unknown argument": (lambda: d.q_sample(x, 1, noise=x), TypeError, "noise"),
    "one argument too many": (lambda: d.q_step(x, 1, x), TypeError, "positional arguments"),
    "an argument twice": (lambda: d.q_step(x, 1, xs=x), TypeError, "multiple values"),
    "an argument forgotten": (lambda: d.q_step(x), TypeError, "'t'"),
    "a weight unknown": (lambda: d.loss_weight(1, "snr"), ValueError, "name must be one of 'simple', 'bound', 'min_snr', got 'snr'"),
    "learned width that is asked for": (lambda: GaussianDiffusion(linear(10), variance="learned").loss_weight(1, "bound"), ValueError,
                                        "variance must be 'beta' or 'posterior' to be known, got 'learned'"),
    # bound
    "reals for bytes": (lambda: vlb(d, silent, x + 0.3), ValueError, "x0 must hold 8-bit values .* got 0.3: take decoder='continuous'"),
    "bytes beyond the end": (lambda: vlb(d, silent, x + 257/127.5 - 1), ValueError, r"x0 must hold 8-bit values .* in \[-1, 1\]"),
    "decoder unknown": (lambda: vlb(d, silent, x, decoder="bytes"), ValueError, "decoder must be one of 'discrete', 'continuous', got 'bytes'"),
    "bound of integers": (lambda: vlb(d, silent, x.long()), TypeError, "x0 must hold real numbers"),
    "bound of nan": (lambda: vlb(d, silent, x*nan, **whole), ValueError, "x0 must be finite, got 8 entries"),
    "bound of nothing": (lambda: vlb(d, silent, x[:0], **whole), ValueError, r"x0 must have shape \(B, \.\.\.\), two axes or more and none empty"),
    "bound of a row": (lambda: vlb(d, silent, x[0], **whole), ValueError, r"x0 must have shape \(B, \.\.\.\)"),
    "bound without a diffusion": (lambda: vlb(linear(10), silent, x, **whole), TypeError, "d must be a Diffusion, got Schedule"),
    "bound without a model": (lambda: vlb(d, x, x, **whole), TypeError, r"model must be callable as model\(x, t\), got Tensor"),
    "bound of bits in bytes": (lambda: vlb(flips, silent, x.byte()), TypeError, "x0 must hold real numbers such as torch.float32, got torch.uint8"),
    "path batch zero": (lambda: path_bound(d, silent, x, batch=0), ValueError, "batch must be at least 1, got 0"),
    "bound batch zero": (lambda: vlb(d, silent, x, batch=0, **whole), ValueError, "batch must be at least 1, got 0"),
    "bound of a narrow model": (lambda: vlb(d, lambda x, t: x[:, :1], x, **whole), ValueError, "model must return a tensor of shape"),
    "bound of a model that returns nothing": (lambda: vlb(d, lambda x, t: None, x, **whole), ValueError, "model must return a tensor"),
    "bound of a model with nan": (lambda: vlb(d, lambda x, t: x*nan, x, **whole), ValueError, "the model's output must be finite"),
    "path of a model with nan": (lambda: path_bound(d, lambda x, t: x*nan, x), ValueError, "the model's output must be finite"),
    "path of a seed": (lambda: path_bound(d, silent, x, generator=1), TypeError, "generator must be a Generator, got 1"),
    "estimate of a model with nan": (lambda: vlb_estimate(d, lambda x, t: x*nan, x, **whole), ValueError, "the model's output must be finite"),
    "passes too few": (lambda: vlb_estimate(d, silent, x, passes=6, **whole), ValueError, "passes must be at least 7 for T=10 and 4 examples, since a pilot asks every t, got 6"),
    "passes real": (lambda: vlb_estimate(d, silent, x, passes=32., **whole), TypeError, "passes must be a whole number"),
    "estimate from one example": (lambda: vlb_estimate(d, silent, x[:1], **whole), ValueError, "x0 must hold at least 2 examples, got 1"),
    "bound of too few conditions": (lambda: vlb(d, labelled, x, labels[:2], **whole), ValueError, "y must"),
    "bound of too many conditions": (lambda: vlb(d, labelled, x, torch.cat([labels, labels]), **whole), ValueError, "y must"),
    "bound of a condition that is a number": (lambda: vlb(d, labelled, x, 1, **whole), TypeError, "y must be a Tensor, got 1"),
    "bound of a class that is none": (lambda: vlb(d, labelled, x, labels + 1, **whole), ValueError, r"y must lie in 0\.\.2"),
    "bound of a condition nobody knows": (lambda: vlb(d, MLP(2), x, labels, **whole), ValueError, "y must be None without classes"),
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
    "bits from a model beyond 1": (lambda: sample(BinomialDiffusion(linear(10), "x0"), lambda x, t: 0*x + 1.5, (40, 2)), ValueError,
                                   "the model's output must hold 0 and 1 alone"),
    "bits scored by a model beyond 1": (lambda: vlb(BinomialDiffusion(linear(10), "x0"), lambda x, t: 0*x + 1.5, x), ValueError,
                                        "the model's output must be finite, got NaN"),
    "bits trained on reals": (lambda: fit(flips, MLP(2), x + 0.3, **quiet), ValueError, "data must hold 0 and 1 alone"),
    "bits with another weight": (lambda: train(BinomialDiffusion(linear(10), "x0"), MLP(2), x, weight="min_snr"), ValueError,
                                 "weight must be one of 'simple', 'bound', got 'min_snr'"),
    "rows that are no bits": (lambda: bit_oracle(flips, x + 2, torch.ones(4)), ValueError, "rows must hold 0 and 1 alone, got 8 other values such as 2"),
    "rows of one axis": (lambda: bit_oracle(flips, x[0]), ValueError, r"rows must have shape \(K, ...\)"),
    "rows with too few shares": (lambda: bit_oracle(flips, x, torch.ones(3)), ValueError, r"weight \(K,\), none below 0, got \(4, 2\) and \[1.0, 1.0, 1.0\]"),
    "rows with a share below 0": (lambda: bit_oracle(flips, x, -torch.ones(4)), ValueError, "none below 0"),
    # oracle
    "oracle of a schedule": (lambda: Oracle(linear(10), two_bumps()), TypeError, "d must be a GaussianDiffusion, got .*Schedule"),
    "oracle of a list": (lambda: Oracle(d, [0., 1.]), TypeError, "data must be a Mixture or a tensor, got list"),
    "oracle of many mixtures": (lambda: Oracle(d, gaussian(torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2))), ValueError,
                                r"data must be one Mixture, got means \(3, 1, 2\)"),
    "oracle of whole numbers": (lambda: Oracle(d, x.long()), TypeError, "data must hold real numbers"),
    "oracle of nothing": (lambda: Oracle(d, x[:0]), ValueError, r"data must have shape \(B, ...\), two axes or more and none empty, got \(0, 2\)"),
    "oracle of one axis": (lambda: Oracle(d, x[:, 0]), ValueError, r"data must have shape \(B, ...\), two axes or more and none empty, got \(4,\)"),
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
    "MLP that gives nothing": (lambda: MLP(2, out=0), ValueError, "out must be at least 1, got 0"),
    "MLP given another length": (lambda: MLP(2)(torch.zeros(3, 5), torch.ones(3)), ValueError, r"x must have shape \(B, 2\), got \(3, 5\)"),
    "U-Net without widths": (lambda: UNet(widths=()), ValueError, "widths must"),
    "U-Net with width 0": (lambda: UNet(widths=(8, 0)), ValueError, "widths must be at least 1, got 0"),
    "U-Net with attention nowhere": (lambda: UNet(widths=(8, 8), attention=(2,)), ValueError, r"attention must hold indices into widths \(8, 8\), got 2"),
    "U-Net with attention that does not divide": (lambda: UNet(widths=(8, 6), attention=(1,)), ValueError, "widths with attention must be multiples of 4, got 6"),
    "U-Net given other channels": (lambda: UNet(3, (8,))(torch.zeros(2, 1, 8, 8), torch.ones(2)), ValueError, r"x must have shape \(B, 3, H, W\)"),
    # training
    "not a diffusion": (lambda: train("linear", MLP(2), x), TypeError, "d must be a Diffusion or Callable, got 'linear'"),
    "not a network": (lambda: train(d, silent, x), TypeError, "model must be a Module or Run, got function"),
    "no steps": (lambda: train(d, MLP(2), x, steps=0), ValueError, "steps must be at least 1"),
    "no batch": (lambda: train(d, MLP(2), x, batch=0), ValueError, "batch must be at least 1"),
    "lr negative": (lambda: train(d, MLP(2), x, lr=-1.), ValueError, "lr must be a finite number"),
    "lr text": (lambda: train(d, MLP(2), x, lr="fast"), TypeError, "lr must be a real number, got 'fast'"),
    "ema above one": (lambda: train(d, MLP(2), x, ema=1.5), ValueError, r"ema must be a finite number in \[0, 1\], got 1.5"),
    "weight unknown": (lambda: train(d, MLP(2), x, weight="snr"), ValueError, "weight must be one of 'simple', 'bound', 'min_snr', got 'snr'"),
    "data nan": (lambda: fit(d, MLP(2), x*nan, **quiet), ValueError, "data must be finite"),
    "data whole": (lambda: fit(d, MLP(2), x.long(), **quiet), TypeError, "data must hold real numbers such as torch.float32, got torch.int64"),
    "data empty": (lambda: fit(d, MLP(2), x[:0], **quiet), ValueError, r"data must have shape \(B, ...\), two axes or more and none empty, got \(0, 2\)"),
    "data one axis": (lambda: fit(d, MLP(2), x[0], **quiet), ValueError, r"data must have shape \(B, ...\), two axes or more and none empty, got \(2,\)"),
    "data a list": (lambda: fit(d, MLP(2), [1., 2.], **quiet), TypeError, "data must be a torch.Tensor, got float"),
    "data of two kinds of things": (lambda: fit(d, MLP(2), (x, x, x), **quiet), ValueError, r"data must be x or a pair \(x, y\), got 3 parts"),
    "data without parts": (lambda: fit(d, MLP(2), (), **quiet), ValueError, r"data must be x or a pair \(x, y\), got 0 parts"),
    "data of a file's name": (lambda: fit(d, MLP(2), "mnist", **quiet), TypeError, "data must be a torch.Tensor, got str"),
    "an array of whole numbers": (lambda: fit(d, MLP(2), np.zeros((4, 2), int), **quiet), TypeError, "data must hold real numbers"),
    "a Dataset without rows": (lambda: fit(d, MLP(2), Rows(()), **quiet), ValueError, "data must have a length of at least 1, got Rows"),
    "a Dataset of nan": (lambda: fit(d, MLP(2), Rows(x*nan), **quiet), ValueError, "data must be finite"),
    "a Dataset of whole numbers": (lambda: fit(d, MLP(2), Rows(x.long()), **quiet), TypeError, "data must hold real numbers"),
    "a Dataset of dicts": (lambda: fit(d, MLP(2), Rows([{"x": x[0]}]), **quiet), (TypeError, ValueError), "data must"),
    "a function that gives nan": (lambda: fit(d, MLP(2), lambda n, generator: torch.zeros(n, 2)*nan, **quiet), ValueError, "data must be finite"),
    "a function that gives nothing": (lambda: fit(d, MLP(2), lambda n, generator: None, **quiet), (TypeError, ValueError), "data must"),
    "a label too few": (lambda: fit(d, labelled, (x, labels[:3]), **quiet), ValueError, "data must hold a condition for each of 4 examples, got 3"),
    "one label for all": (lambda: fit(d, labelled, (x, torch.tensor(1)), **quiet), (TypeError, ValueError), "data must hold a condition for each of 4 examples"),
    "labels in a list": (lambda: fit(d, labelled, (x, [0, 1, 2, 0]), **quiet), ValueError, r"condition for each of 4 examples, got \[0, 1, 2, 0\]"),
    "labels above the classes": (lambda: fit(d, labelled, (x, labels + 1), **quiet), ValueError, r"y must lie in 0\.\.2"),
    "labels below 0": (lambda: fit(d, labelled, (x, labels - 2), **quiet), ValueError, r"y must lie in 0\.\.2"),
    "labels in reals": (lambda: fit(d, labelled, TensorDataset(x, labels.float()), **quiet), TypeError, r"y must hold whole numbers in 0\.\.2"),
    "labels nobody knows": (lambda: fit(d, MLP(2), (x, labels), **quiet), ValueError, "y must be None without classes"),
    "bits that are bytes": (lambda: fit(flips, MLP(2), x.byte(), **quiet), (TypeError, ValueError), "data must hold"),
    "bits that are truths, trained": (lambda: fit(flips, MLP(2), x > 0, **quiet), TypeError, "data must hold real numbers"),
    "bits that are signs, trained": (lambda: fit(flips, MLP(2), 2*x - 1, **quiet), ValueError, "data must hold 0 and 1 alone, got .* such as -1"),
    "one bit in a thousand that is none": (lambda: fit(flips, MLP(2), torch.cat([torch.zeros(1000, 2), torch.ones(1, 2)/2]), batch=2, **quiet),
                                           ValueError, "data must hold 0 and 1 alone"),
    "seed negative": (lambda: train(d, MLP(2), x, seed=-1), ValueError, "seed must be at least 0"),
    "loss not finite": (lambda: fit(d, Exploding(2, 2), x, **quiet), ValueError, "loss must stay finite, got inf at step 1"),
    # sampling
    "sampler unknown": (lambda: sample(d, silent, (2, 2), "euler"), ValueError, "method must be one of 'ddpm', 'ddim', .*'dpmpp_2m', 'unipc', got 'euler'"),
    "option unknown": (lambda: sample(d, silent, (2, 2), "ddpm", eta=1.), TypeError, "ddpm has no option eta"),
    "shape of one axis": (lambda: sample(d, silent, (2,)), ValueError, "shape must be"),
    "shape of no samples": (lambda: sample(d, silent, (0, 2)), ValueError, "shape must be at least 1, got 0"),
    "shape real": (lambda: sample(d, silent, (2, 2.)), TypeError, "shape must be a whole number"),
    "start nan": (lambda: sample(d, silent, None, xT=x*nan), ValueError, "xT must be finite"),
    "model not callable": (lambda: sample(d, "unet", (2, 2)), TypeError, "model must be callable"),
    "model nan": (lambda: sample(d, lambda x, t: x*nan, (2, 2)), ValueError, "model's output must be finite"),
    "start nan, straight": (lambda: ddpm(d, silent, xT=x*nan), ValueError, "xT must be finite"),
    "start of bits from reals": (lambda: sample(flips, silent, xT=x + 0.3), ValueError, "xT must hold 0 and 1 alone"),
    "shape a number": (lambda: sample(d, silent, 4), TypeError, r"shape must be \(B, ...\) with at least two axes, such as \(16, 2\), got 4"),
    "neither shape nor start": (lambda: ddpm(d, silent), ValueError, "shape must be .* where no xT is given, got None"),
    "seed for a generator": (lambda: ddpm(d, silent, (2, 2), 0), TypeError, "generator must be a Generator, got 0"),
    "unet for a model": (lambda: ddim(d, "unet", (2, 2)), TypeError, "model must be callable"),
    "bits by ddim": (lambda: ddim(flips, silent, (2, 2), steps=5), TypeError, "d must be a Gaussian diffusion, got BinomialDiffusion"),
    "times that rise": (lambda: ddim(d, silent, (2, 2), steps=[1, 5, 0]), ValueError, r"steps must be times that fall from at most 10 to 0, got \[1, 5, 0\]"),
    "times that repeat": (lambda: ddim(d, silent, (2, 2), steps=[5, 5, 0]), ValueError, "steps must be times that fall"),
    "times that do not end": (lambda: ddim(d, silent, (2, 2), steps=[10, 5, 1]), ValueError, "steps must be times that fall"),
    "times beyond the chain": (lambda: ddim(d, silent, (2, 2), steps=[11, 0]), ValueError, "steps must be times that fall from at most 10"),
    "times without a stride": (lambda: ddim(d, silent, (2, 2), steps=[0]), ValueError, "steps must be times that fall"),
    "no times": (lambda: ddim(d, silent, (2, 2), steps=[]), ValueError, "steps must be times that fall"),
    "times below 0": (lambda: ddim(d, silent, (2, 2), steps=[5, -1, 0]), ValueError, "steps must be at least 0, got -1"),
    "times that are reals": (lambda: ddim(d, silent, (2, 2), steps=[10., 5., 0.]), TypeError, "steps must be a whole number"),
    "times in a tensor of reals": (lambda: ddim(d, silent, (2, 2), steps=torch.tensor([9.5, 3., 0.])), (TypeError, ValueError), "steps must"),
    "no samples of a run": (lambda: sample(classy, 0), ValueError, "n must be at least 1, got 0"),
    "a shape for a run": (lambda: sample(classy, (4, 2)), TypeError, r"n must be a whole number of at least 1, got \(4, 2\)"),
    "an option a run's sampler has not": (lambda: sample(classy, 4, steps=5), TypeError, "ddpm has no option steps"),
    "a class above the run's": (lambda: sample(classy, 4, y=3), ValueError, r"y must lie in 0\.\.2"),
    "a run's generator": (lambda: sample(classy, 4, generator=rng(0)), ValueError, "generator must go to sample.d, model, shape., not to a run"),
    "strides for ddpm": (lambda: sample(classy, 4, steps=5), TypeError, "ddpm has no option steps, method='ddim' has"),
    "guidance of chances": (lambda: sample(of_chances(), 4, y=1, guidance=2.), ValueError, "guidance must be 0 or 1 where"),
    "labels in a column": (lambda: fit(d, labelled, (x, labels[:, None]), **quiet), ValueError, r"y must have shape \(\d+,\), got \(\d+, 1\)"),
    "a class below 0": (lambda: sample(classy, 4, y=-2), ValueError, r"y must lie in 0\.\.2"),
    "too few classes for a run": (lambda: sample(classy, 4, y=labels[:2]), ValueError, "y must"),
    "classes in a list": (lambda: sample(classy, 4, y=[0, 1, 2, 0]), TypeError, "y must be"),
    "a start of another number": (lambda: sample(classy, 4, xT=x[:3]), ValueError, "xT must"),
    "a run for a model": (lambda: sample(d, classy, (4, 2)), TypeError, "model must be callable as model.*got Run"),
    "a run of an objective": (lambda: sample(fit(lambda m, b, g: m(b, torch.ones(len(b))).square().mean(1), MLP(2), x, **quiet), 3), ValueError,
                              "run must know its diffusion"),
    "a seed of more than 64 bits": (lambda: sample(classy, 4, seed=2**64), ValueError, r"seed must be below 2\*\*63, got 18446744073709551616"),
    "a device that is none": (lambda: fit(d, MLP(2), x, **(quiet | {"device": "foo"})), ValueError, "device must be a name such as 'cpu' or 'cuda:1', got 'foo'"),
    "a loss in words": (lambda: fit(d, MLP(2), x, floor="a", **quiet), TypeError, "floor must"),
    "a network that cannot learn": (lambda: fit(d, MLP(2).requires_grad_(False), x, **quiet), ValueError, "model must have weights that can learn, got none"),
    "an objective of one number": (lambda: fit(lambda m, b, g: m(b, torch.ones(len(b))).square().mean(), MLP(2), x, **quiet), ValueError,
                                   r"objective must give a loss for each of \d+ examples"),
    "an objective of a row each": (lambda: fit(lambda m, b, g: m(b, torch.ones(len(b))).square(), MLP(2), x, **quiet), ValueError,
                                   r"objective must give a loss for each of \d+ examples"),
    "more strides than steps": (lambda: timesteps(10, 11), ValueError, "steps must lie in 1..10, got 11"),
    "no strides": (lambda: ddim(d, silent, (2, 2), steps=0), ValueError, "steps must be at least 1"),
    "eta above one": (lambda: ddim(d, silent, (2, 2), steps=5, eta=2), ValueError, "eta must be a finite number"),
    "not a diffusion to sample": (lambda: ddpm(linear(10), silent, (2, 2)), TypeError, "d must be a Diffusion, got Schedule"),
    # likelihood
    "not a diffusion to flow": (lambda: log_likelihood(linear(10), still, x), TypeError, "d must be a Diffusion, got Schedule"),
    "bytes do not flow": (lambda: log_likelihood(d, still, x.byte()), TypeError, "x0 must hold real numbers, got torch.uint8: spread bytes"),
    "coins do not flow": (lambda: log_likelihood(Coins(linear(10)), still, x), TypeError, "d must be a Gaussian diffusion, got Coins"),
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
    "a path of coins": (lambda: flow(Coins(linear(10)), still, x), TypeError, "d must be a Gaussian diffusion, got Coins"),
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
    d = GaussianDiffusion(linear(1000))
    for given_t in (t, torch.tensor(t), torch.full((4,), t)):
        if 1 <= t <= 1000: assert_close(d.q_step(x, given_t).stddev, d.schedule.beta[t].sqrt().float().expand(4, 2))
        else:
            with pytest.raises(ValueError, match=re.escape(str(t)) + "|at least 1"): d.q_step(x, given_t)


def test_a_file_of_another_network_is_refused_and_the_model_says_so(tmp_path):
    run = fit(d, MLP(2), x, **quiet)
    save_run(run, tmp_path/"run.pt")
    with pytest.raises(ValueError, match="model must have the layers of the run"): load_run(tmp_path/"run.pt", MLP(3), device="cpu")
    with pytest.raises(FileNotFoundError): load_run(tmp_path/"none.pt", device="cpu")


def test_what_was_learned_survives_a_later_mistake():
    net = MLP(2)
    run = fit(d, net, torch.randn(50, 2), steps=5, device="cpu", progress=False, plot=False)
    learned = [p.clone() for p in run.ema.parameters()]
    for mistake in (lambda: fit(d, run, x*nan, **quiet), lambda: fit(d, run, x, steps=0), lambda: fit(d, run, x, batch=-1, **quiet),
                    lambda: fit(d, run, torch.zeros(4, 3), **quiet), lambda: sample(d, run.ema, (2, 3))):
        with pytest.raises((ValueError, TypeError)): mistake()
    assert run.step == 5 and len(run.losses) == 5
    for p, q in zip(learned, run.ema.parameters()): assert torch.equal(p, q)
    assert run.shape == (2,) and run.d is d and sample(run, 2, seed=0).shape == (2, 2)
