"What a step of a sampler costs, and laws that need many samples."
import inspect

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from dpm_nb import sampling
from dpm_nb.core import rng
from dpm_nb.gaussian import VIEWS, GaussianDiffusion
from dpm_nb.sampling import ddim, ddpm, sample
from dpm_nb.schedule import linear


class Operations(TorchDispatchMode):
    "The names of all tensor operations, one list for each step of a loop."
    def __init__(self):
        super().__init__()
        self.steps = [[]]

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        self.steps[-1].append(op.overloadpacket.__name__)
        return op(*args, **(kwargs or {}))


def operations(loop):
    with Operations() as count:
        for _ in loop: count.steps.append([])
    return count.steps[1:-1]                                    # the first holds the preparation, the last is empty


@pytest.mark.parametrize("predicts", VIEWS)
@pytest.mark.parametrize("clip", [None, (-1, 1)])
def test_ddpm_takes_at_most_ten_operations_a_step(predicts, clip):
    steps = operations(ddpm(GaussianDiffusion(linear(20), predicts, clip=clip), lambda x, t: x, (4, 2)))
    assert len(steps) == 19 and max(map(len, steps)) <= 10
    assert all("_local_scalar_dense" not in ops for ops in steps)
    assert all(sum("randn" in op for op in ops) == 1 for ops in steps[:-1])
    assert not any("rand" in op or "normal" in op for op in steps[-1]), "noise at t=1"


@pytest.mark.parametrize("predicts", VIEWS)
def test_ddim_takes_at_most_six_operations_a_step_and_draws_nothing(predicts):
    steps = operations(ddim(GaussianDiffusion(linear(20), predicts), lambda x, t: x, (4, 2), steps=10))
    assert len(steps) == 9 and max(map(len, steps)) <= 6
    assert not any("rand" in op or "_local_scalar_dense" in op for ops in steps for op in ops)


@pytest.mark.parametrize("variance", ["beta", "posterior"])
def test_data_of_unit_variance_come_back(variance):
    "The exact denoiser of N(0, I); with variance beta each step keeps the variance at 1, with the posterior's it shrinks by a known factor."
    d = GaussianDiffusion(linear(50), "x0", variance)
    exact = lambda x, t: d.schedule.alpha_bar[t].sqrt()[:, None].to(x)*x
    var = 1.
    for t in range(50, 0, -1):
        p = d.p_step(exact, torch.ones(1, 1, dtype=torch.float64), t)
        var = float(p.mean**2*var + (p.variance if t > 1 else 0))
    x = sample(d, exact, (100_000, 1), generator=rng(0)).double()
    assert abs(x.mean()) < 4*(var/1e5)**0.5
    assert abs(x.var()/var - 1) < 4*(2/1e5)**0.5
    if variance == "beta": assert_close(var, 1 - d.schedule.beta[1].item())      # the noise that t=1 does not add


def test_one_seed_one_sample_and_the_start_is_an_argument():
    d, model = GaussianDiffusion(linear(30)), lambda x, t: 0.1*x
    for method in sampling.samplers:
        one, two = (sample(d, model, (3, 2), method, rng(1)) for _ in range(2)) if method == "ddpm" else (
            sample(d, model, (3, 2), method, rng(1), steps=10) for _ in range(2))
        assert_close(one, two, rtol=0, atol=0)
    xT = torch.randn(3, 2, generator=rng(2))
    assert_close(sample(d, model, None, "ddim", xT=xT, steps=10), sample(d, model, (3, 2), "ddim", xT=xT, steps=10))


def test_sampling_records_no_gradients_and_leaves_grad_mode_alone():
    d, net = GaussianDiffusion(linear(5)), torch.nn.Linear(2, 2)
    for t, x in ddpm(d, lambda x, t: net(x), (3, 2)):
        assert not x.requires_grad and torch.is_grad_enabled()


def test_the_samplers_know_no_family():
    assert "gaussian" not in inspect.getsource(sampling).split("def start")[0]
