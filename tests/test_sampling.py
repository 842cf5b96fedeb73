"What a step of a sampler costs, laws that need many samples, times and starts of all kinds, and samples of a run."
import inspect

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from dpm_nb import sampling
from dpm_nb.binomial import BinomialDiffusion
from dpm_nb.core import rng
from dpm_nb.engine import fit
from dpm_nb.gaussian import VIEWS, GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.sampling import ddim, ddpm, record, sample, timesteps, walk
from dpm_nb.schedule import Schedule, cosine, linear


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
    "The exact denoiser of N(0, I): variance beta keeps the variance at 1, the posterior's shrinks it by a known factor."
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


# times

@pytest.mark.parametrize("eta", [0., 0.5, 1.])
@pytest.mark.parametrize("beta", [[.5, 1., 1.], [1.], [1., 1., 1.], [.5, 1., .5]])
@pytest.mark.parametrize("predicts", ["v", "x0", "u"])
def test_strides_over_a_chain_that_forgets_all(beta, eta, predicts):
    "Where alpha_bar is 0 before T nothing is kept of x_T; a perfect model still lands on the data."
    d = GaussianDiffusion(Schedule(beta), predicts)
    data = torch.tensor([[1., -2.], [3., .5]])
    def model(x, t):
        a, b = (v[t].sqrt().float()[:, None] for v in (d.schedule.alpha_bar, d.schedule.beta_bar))
        eps = (x - a*data)/b
        return {"v": a*eps - b*data, "x0": data, "u": eps - data}[predicts]
    for steps in {1, len(beta)}:
        for _, x in ddim(d, model, (2, 2), rng(0), steps=steps, eta=eta): assert x.isfinite().all()
        assert_close(x, data)
    assert sample(d, lambda x, t: 0*x, (2, 2), generator=rng(0)).isfinite().all()


def test_the_times_themselves_may_be_given():
    d, model = GaussianDiffusion(linear(1000)), lambda x, t: 0.1*x
    xT, times = torch.randn(3, 2, generator=rng(2)), timesteps(1000, 10)
    want = sample(d, model, None, "ddim", xT=xT, steps=10)
    for form in (times, tuple(times), torch.tensor(times), range(1000, -1, -100)):
        assert_close(sample(d, model, None, "ddim", xT=xT, steps=form), want, rtol=0, atol=0)
    asked = []
    def listens(x, t):
        asked.append(t)
        return model(x, t)
    seen = [t for t, _ in ddim(d, listens, xT=xT, steps=[901, 801, 1, 0])]
    assert seen == [801, 1, 0] and [t.tolist() for t in asked] == [[901]*3, [801]*3, [1]*3]
    every = [x for _, x in ddim(d, model, xT=xT, steps=[1000, 400, 20, 0])]                # a walk in two parts is one walk
    part = [x for _, x in ddim(d, model, xT=xT, steps=[1000, 400, 0])][0]
    assert_close(part, every[0], rtol=0, atol=0)


def test_mistakes_meet_the_caller_at_the_call():
    "Not at the first step: nothing here is ever asked for one."
    d, zero, x = GaussianDiffusion(linear(10)), lambda x, t: 0*x, torch.zeros(4, 2)
    for sampler in (ddpm, ddim):
        for wrong in (dict(model="unet"), dict(d=linear(10)), dict(shape=4), dict(shape=None), dict(xT=x*float("nan")), dict(y=3),
                      dict(generator=0)):
            given = dict(d=d, model=zero, shape=(4, 2), generator=rng(0)) | ({"steps": 5} if sampler is ddim else {}) | wrong
            with pytest.raises((TypeError, ValueError), match="must"): sampler(**given)
        with pytest.raises(TypeError): sampler(d)
    with pytest.raises((TypeError, ValueError)): walk(d, zero, (4, 2), [2, 1, 0], 5)


# starts, precisions and devices

@pytest.mark.parametrize("dtype, want", [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)])
@pytest.mark.parametrize("method", ["ddpm", "ddim"])
def test_a_sample_has_its_networks_precision_at_least_single(dtype, want, method):
    d, options = GaussianDiffusion(cosine(10), "v"), dict(steps=5) if method == "ddim" else {}
    net = MLP(2, 8).to(dtype)
    x = sample(d, net, (4, 2), method, rng(0), **options)
    assert x.dtype == want and x.isfinite().all()
    for given in (torch.float32, torch.float64):                            # a start that is given says it
        assert sample(d, net, None, method, xT=torch.zeros(4, 2, dtype=given), **options).dtype == given


def test_a_start_is_looked_at_and_left_alone():
    d, xT = GaussianDiffusion(cosine(10), "v"), torch.randn(4, 2, generator=rng(0))
    before = xT.clone()
    for method in sampling.samplers:
        sample(d, lambda x, t: 0.1*x, None, method, xT=xT, **({} if method == "ddpm" else {"steps": 3}))
        assert torch.equal(xT, before)
    clipped = GaussianDiffusion(cosine(10), "x0", clip=(-1, 1))
    out = torch.randn(4, 2, generator=rng(1))*3
    keep = out.clone()
    sample(clipped, lambda x, t: out, None, xT=xT)
    assert torch.equal(out, keep), "the model's own tensor was changed"


@pytest.mark.parametrize("broken", [lambda x, t: x*float("nan"), lambda x, t: x + float("inf"), lambda x, t: torch.where(t[:, None] == 1, float("nan"), x)])
def test_a_sample_that_is_no_number_is_refused(broken):
    "On every device, and if only the last step was broken."
    d = GaussianDiffusion(linear(5))
    for call in (lambda: sample(d, broken, (2, 2)), lambda: sample(d, broken, (2, 2), "ddim", steps=5),
                 lambda: sample(BinomialDiffusion(linear(5)), lambda x, t: broken(x, t)*0, (50, 2))):
        with pytest.raises(ValueError, match="the model's output must"): call()


def test_the_states_that_are_asked_for_are_kept():
    d = GaussianDiffusion(linear(10))
    assert [t for t, _ in record(ddpm(d, lambda x, t: 0*x, (2, 2)), [9, 5, 0, 77])] == [9, 5, 0]


# samples of a run

def test_a_run_hands_on_a_condition_as_it_is():
    "A real number stays one, for each sample."
    seen = []
    class Told(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)
        def forward(self, x, t, y):
            seen.append(y)
            return self.layer(x)
    run = fit(GaussianDiffusion(linear(5)), Told(), (torch.randn(8, 2), torch.rand(8)), steps=2, batch=4, device="cpu", progress=False, plot=False)
    seen.clear()
    sample(run, 3, y=torch.tensor(.7))
    assert all(torch.equal(y, torch.full((3,), .7)) for y in seen) and seen


@pytest.mark.parametrize("method", ["ddim", "dpmpp_2m", "unipc", "heun"])
def test_a_short_chain_is_walked_in_all_its_steps_by_default(method):
    d, model = GaussianDiffusion(cosine(7), "v"), lambda x, t: 0.1*x
    xT = torch.randn(3, 2, generator=rng(0))
    assert torch.equal(sample(d, model, None, method, xT=xT), sample(d, model, None, method, xT=xT, steps=7))


def test_a_start_in_half_digits_is_walked_in_whole_ones():
    d, xT = GaussianDiffusion(linear(10)), torch.randn(3, 2, generator=rng(0))
    for low in (torch.float16, torch.bfloat16):
        assert_close(sample(d, lambda x, t: 0*x, xT=xT.to(low), generator=rng(1)),
                     sample(d, lambda x, t: 0*x, xT=xT.to(low).float(), generator=rng(1)), rtol=0, atol=0)


@pytest.fixture(scope="module")
def run():
    torch.manual_seed(0)
    x = torch.randn(200, 2, generator=rng(0))
    return fit(GaussianDiffusion(cosine(20), "v"), MLP(2, 16, classes=3), (x, torch.arange(200) % 3), steps=5, progress=False, plot=False,
               device="cpu")


def test_a_run_and_a_seed_are_a_sample(run):
    one, two, other = (sample(run, 7, seed=s) for s in (1, 1, 2))
    assert one.shape == (7, 2) and one.device == run.device
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert torch.equal(one, sample(run.d, run.ema, (7, 2), generator=rng(1)))
    parts = sample(run, 7, seed=1, batch=3)
    assert parts.shape == (7, 2) and len(parts.unique()) == 14              # no part is the same again
    before = torch.get_rng_state()
    sample(run, 2, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(sample(run, 2), sample(run, 2))                  # without a seed the process's stream says it
    torch.manual_seed(3)
    one = sample(run, 2)
    torch.manual_seed(3)
    assert torch.equal(one, sample(run, 2))


def test_a_runs_sampler_and_its_options(run):
    strides = sample(run, 4, method="ddim", steps=5, seed=1)
    assert torch.equal(strides, sample(run, 4, method=ddim, steps=timesteps(20, 5), seed=1))
    assert not torch.equal(strides, sample(run, 4, method="ddim", steps=5, seed=1, eta=1.))
    def mine(d, model, shape=None, generator=None, xT=None, y=None, warmth=1.):
        for t, x in ddpm(d, model, shape, generator, xT, y): yield t, warmth*x
    assert_close(sample(run, 4, method=mine, seed=1, warmth=2.), 2*sample(run, 4, seed=1))
    with pytest.raises(TypeError, match="mine has no option heat"): sample(run, 4, method=mine, heat=1)


@pytest.mark.parametrize("y", [2, torch.tensor([2]*5), torch.tensor([2]*5, dtype=torch.int16)])
def test_a_class_is_one_for_all_or_one_each(run, y):
    want = sample(run.d, run.ema, (5, 2), generator=rng(0), y=torch.full((5,), 2))
    assert torch.equal(sample(run, 5, y=y, seed=0), want)


@pytest.mark.parametrize("y", [np.int64(2), torch.tensor(2)])
def test_a_class_from_a_table_is_a_class(run, y):
    assert torch.equal(sample(run, 5, y=y, seed=0), sample(run, 5, y=2, seed=0))


def test_nothing_is_said_of_a_short_walk(run, capsys):
    sample(run, 3, seed=0)
    out = capsys.readouterr()
    assert not out.out and not out.err
