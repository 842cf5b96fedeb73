"Training beyond the chapter: subclasses, precisions, times, conditions, streams, and what is said of the data."
import copy
import math
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.distributions import Normal
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset, TensorDataset

from dpm_nb.binomial import BinomialDiffusion
from dpm_nb.bound import vlb
from dpm_nb.core import rng
from dpm_nb.data import digits, heartbeat, swiss_roll
from dpm_nb.engine import fit
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.likelihood import flow, log_likelihood
from dpm_nb.nets import MLP, UNet
from dpm_nb.sampling import sample
from dpm_nb.schedule import cosine, linear
from dpm_nb.training import diffusion_loss, draw_times, plot_losses, train

d, flips = GaussianDiffusion(linear(100)), BinomialDiffusion(linear(100))
noise = torch.randn(500, 2, generator=rng(0))
labels = torch.arange(500) % 3
quiet = dict(progress=False, plot=False, device="cpu")
same = dict(rtol=0, atol=0)
loud = dict(steps=1, **quiet)


def net(*args, seed=0, **options):
    torch.manual_seed(seed)
    return MLP(*args or (2, 16), **options)


class Rows(Dataset):
    "Rows of tensors, one at a time."
    def __init__(self, *parts): self.parts = parts
    def __len__(self): return len(self.parts[0])
    def __getitem__(self, i): return tuple(p[i] for p in self.parts) if len(self.parts) > 1 else self.parts[0][i]


# a subclass stays what it is

class Wide(GaussianDiffusion):
    "A prior N(0, 2^2), which the chain never reaches."
    heard = []

    def prior(self, *args, **options):
        p = super().prior(*args, **options)
        return Normal(p.mean, 2*p.stddev, validate_args=False)

    def loss(self, *args, **options):
        self.heard.append("loss")
        return super().loss(*args, **options)

    def predict(self, *args):
        self.heard.append("predict")
        return super().predict(*args)

    def reverse(self, model):
        self.heard.append("reverse")
        return super().reverse(model)


def test_a_subclass_survives_measuring_training_and_sampling():
    wide, zero = Wide(linear(1000)), lambda x, t: 0*x
    wide.note = "mine"
    moved = wide.to("cpu")
    assert type(moved) is Wide and moved.note == "mine" and moved.schedule is not wide.schedule
    L_T = vlb(wide, zero, noise[:5], decoder="continuous").prior
    want = 2*(math.log(2) + 1/8 - 1/2)                              # KL(N(0, 1) || N(0, 4)) in two dimensions: 0.636
    assert_close(L_T, torch.full((5,), want, dtype=torch.float64), rtol=1e-4, atol=0)

    Wide.heard.clear()
    run = fit(wide, net(), noise, steps=3, **quiet)
    assert Wide.heard == ["loss"]*3 and type(run.d) is Wide
    Wide.heard.clear()
    sample(run, 2, seed=0)
    assert Wide.heard == ["reverse"]
    still = GaussianDiffusion(linear(50))
    for _ in flow(Wide(linear(50)), zero, noise[:3]): pass
    assert "predict" in Wide.heard
    one, two = (log_likelihood(v, zero, noise[:3]) for v in (still, Wide(linear(50))))
    *_, (_, end, _) = flow(still, zero, noise[:3])
    gap = Normal(0., 2.).log_prob(end).sum(1) - Normal(0., 1.).log_prob(end).sum(1)
    assert_close(two - one, gap.to(one))                            # the other prior counts at the road's end


# times

def test_each_row_of_a_batch_meets_every_time():
    "Rows in a fixed order, as a function may give them: none of them always meets the same part of the chain."
    met = []
    class Heard(GaussianDiffusion):
        def loss(self, model, x0, t, **options):
            met.append(t)
            return super().loss(model, x0, t, **options)
    rows = torch.linspace(-2, 2, 8)[:, None].expand(8, 2)
    fit(Heard(linear(1000)), net(), lambda n, generator: rows, steps=800, batch=8, uniform=1., **quiet)
    t = torch.stack(met).double()                                   # (800, 8)
    mean, error = (1 + 1000)/2, 1000/12**0.5/800**0.5
    assert ((t.mean(0) - mean).abs() < 4.5*error).all()
    assert ((t/1000 <= 0.125).double().mean(0) - 0.125).abs().max() < 4.5*(0.125*0.875/800)**0.5
    pieces = (t - 1).div(125, rounding_mode="floor").sort(1).values         # together they still cover the chain
    assert_close(pieces, torch.arange(8.).double().expand(800, 8))
    assert (t[:, 0] == t[0, 0]).double().mean() < 0.1


@given(st.integers(1, 300), st.integers(1, 2000), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_times_lie_in_1_to_T_and_are_spread_evenly(n, T, seed):
    t = draw_times(n, torch.full((T,), 1/T).double().cumsum(0), rng(seed))
    assert t.shape == (n,) and t.dtype == torch.int64 and 1 <= t.min() and t.max() <= T
    low = torch.arange(n)*T/n
    assert (t.sort().values >= low.floor()).all() and (t.sort().values <= low + T/n + 1).all()


# precision

@pytest.mark.parametrize("own, given", [("float32", "float64"), ("float64", "float32"), ("float64", "float64"), ("bfloat16", "float64")])
def test_a_network_trains_in_its_own_precision(own, given):
    own, given = getattr(torch, own), getattr(torch, given)
    asked, model = [], net().to(own)
    class Asked(GaussianDiffusion):
        def loss(self, model, x0, t, **options):
            asked.append(x0.dtype)
            return super().loss(model, x0, t, **options)
    run = fit(Asked(linear(100)), model, noise.to(given), steps=3, **quiet)
    assert asked == [own]*3 and run.losses.isfinite().all()
    wide = torch.promote_types(own, torch.float32)                  # averages in bf16 would stand still
    assert all(p.dtype == wide for p in run.ema.parameters())
    made = sample(d, run.ema, (4, 2), "ddim", steps=5, generator=rng(0))
    assert made.dtype == (torch.float64 if own == torch.float64 else torch.float32)
    assert sample(run, 4, seed=0).dtype == made.dtype


def test_arrays_as_numpy_gives_them():
    for data in (noise.double().numpy(), (noise*50 + 128).byte().numpy(), np.asfortranarray(noise.numpy())):
        run = fit(d, net(), data, steps=2, **quiet)
        assert run.losses.isfinite().all() and run.shape == (2,)
    one, two = (fit(d, net(), v, steps=5, **quiet).losses for v in (noise, noise.numpy()))
    assert_close(one, two, **same)


# conditions

FORMS = {"a pair": lambda x, y: (x, y), "a list": lambda x, y: [x, y], "arrays": lambda x, y: (x.numpy(), y.numpy()),
         "a TensorDataset": TensorDataset, "a Dataset": Rows, "a Dataset of arrays": lambda x, y: Rows(x.numpy(), y.numpy()),
         "doubles": lambda x, y: (x.double(), y), "short labels": lambda x, y: (x, y.to(torch.int16))}


@pytest.mark.parametrize("form", FORMS)
def test_a_condition_travels_with_its_row(form):
    "In whatever form: the network is asked with the label that the row had."
    x = torch.stack([labels - 1., labels - 1.], 1)*1.2
    seen = []
    class Listens(MLP):
        def forward(self, x, t, y=None):
            seen.append((x, y))
            return super().forward(x, t, y)
    class Clear(GaussianDiffusion):                                 # no noise, so that the row can be seen
        def loss(self, model, x0, t, eps=None, generator=None, weight="simple"):
            return super().loss(model, x0, t.clamp(max=1), torch.zeros_like(x0), None, weight)
    run = fit(Clear(linear(100)), Listens(2, 16, classes=3), FORMS[form](x, labels), steps=3, batch=64, drop=0, **quiet)
    assert len(seen) == 3 and run.shape == (2,)
    for x, y in seen:
        assert y.shape == (64,) and y.unique().numel() == 3
        assert_close(y.float(), x[:, 0]/1.2 + 1, rtol=0, atol=1e-2)


def test_every_form_of_the_same_data_is_the_same_run():
    losses = {form: fit(d, net(2, 16, classes=3), make(noise, labels), steps=5, **quiet).losses for form, make in FORMS.items()}
    for form, found in losses.items(): assert_close(found, losses["a pair"], rtol=1e-5, atol=1e-6, msg=form)
    assert_close(fit(d, net(), Rows(noise), steps=5, **quiet).losses, fit(d, net(), TensorDataset(noise), steps=5, **quiet).losses)


def test_a_network_learns_what_a_condition_means():
    "Two classes, two places: samples of a class lie in its place, and the bound knows the right label from the wrong one."
    y = torch.arange(2000) % 2
    x = (2*y - 1)[:, None] + 0.2*torch.randn(2000, 1, generator=rng(1))
    v = GaussianDiffusion(cosine(50), "v", "posterior")
    run = fit(v, net(1, 32, classes=2), (x, y), steps=400, batch=256, lr=5e-3, ema=0.98, **quiet)
    for k in (0, 1):
        for label in (k, torch.full((300,), k)):
            made = sample(run, 300, y=label, seed=k)
            assert abs(made.mean() - (2*k - 1)) < 0.15 and made.std() < 0.5
    mixed = sample(run, 300, y=y[:300], seed=2, batch=70)           # a label for each, over several batches
    assert ((mixed[:, 0] > 0).long() == y[:300]).float().mean() > 0.97
    right, wrong = (vlb(v, run.ema, x[:200], label[:200], decoder="continuous", generator=rng(3)).total.mean() for label in (y, 1-y))
    assert right + 2 < wrong
    lik, unlik = (log_likelihood(v, run.ema, x[:50], label[:50]).mean() for label in (y, 1-y))
    assert lik > unlik + 2


def test_a_condition_may_be_anything_that_a_network_knows():
    class Guided(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 2)
        def forward(self, x, t, y): return self.layer(torch.cat([x, y], 1))
    run = fit(d, Guided(), (noise, torch.randn(500, 3, generator=rng(1))), steps=3, **quiet)
    assert sample(run, 5, y=torch.zeros(5, 3), seed=0, batch=2).shape == (5, 2)
    by_function = fit(d, Guided(), lambda n, generator: (torch.randn(n, 2, generator=generator), torch.zeros(n, 3)), steps=3, **quiet)
    assert by_function.losses.isfinite().all()


# the loop

def test_a_mistake_touches_nothing():
    "Neither the run nor the network that it was to train."
    run = fit(d, net(), noise, steps=3, **quiet)
    before = copy.deepcopy((run.plan, run.shape, run.step, run.losses, run.generator.get_state(), run.ema.state_dict(), run.model.state_dict()))
    fresh = net().eval()
    nan = lambda n, generator: torch.zeros(n, 2)*math.nan
    for mistake in (lambda m: fit(flips, m, lambda n, generator: torch.rand(n, 2, generator=generator), steps=7, **quiet),
                    lambda m: train(GaussianDiffusion(linear(9), "v"), m, nan, steps=7), lambda m: fit(d, m, noise, steps=0),
                    lambda m: fit(d, m, noise*math.nan, **quiet), lambda m: train(d, m, noise, weight="snr")):
        for m in (run, fresh):
            with pytest.raises((TypeError, ValueError)): mistake(m)
    after = run.plan, run.shape, run.step, run.losses, run.generator.get_state(), run.ema.state_dict(), run.model.state_dict()
    assert_close(after[3:], before[3:], **same)
    assert after[:3] == before[:3] and run.d is d and not fresh.training


def test_loops_may_share_a_run():
    run = fit(d, net(), noise, steps=2, **quiet)
    loops = [train(d, run, noise, steps=n) for n in (5, 5, 1200)]
    for _ in zip(*loops[:2]): pass
    for _ in loops[2]: pass
    assert run.step == 1212 and run.losses.shape == (1212,) and (run.losses > 0).all()


@pytest.mark.parametrize("steps", [1, 3, 40, 130])
def test_the_drawn_mean_is_that_of_the_neighbours(steps):
    "Up to 25 on either side, fewer near the start, so that the curve does not lag behind a fall."
    import matplotlib.pyplot as plt
    run = fit(d, net(), noise, steps=steps, **quiet)
    ax, y = plot_losses(run), run.losses.double()
    (_, every), (at, mean) = (line.get_data() for line in ax.lines)
    assert_close(torch.as_tensor(np.asarray(every)).double(), y, **same)
    assert np.asarray(at).tolist() == list(range(1, steps+1))
    want = [y[max(0, k-1-min(k//4, 25)):k+min(k//4, 25)].mean().item() for k in range(1, steps+1)]
    assert_close(np.asarray(mean).tolist(), want)
    assert ax.get_title().startswith(f"loss {y[-50:].mean():.4g} in the last {min(steps, 50)}")
    plt.close(ax.figure)


def test_a_seed_is_a_run_and_no_other_stream_moves():
    torch.manual_seed(7)
    model, before = net(seed=7), torch.get_rng_state()
    one = fit(d, model, noise, steps=10, seed=1, **quiet)
    assert torch.equal(before, torch.get_rng_state())
    two, other = (fit(d, net(seed=7), noise, steps=10, seed=s, **quiet) for s in (1, 2))
    assert_close(one.losses, two.losses, **same)
    assert not torch.equal(one.losses, other.losses)
    on = fit(d, one, noise, steps=10, seed=1, **quiet)
    assert not torch.equal(on.losses[:10], on.losses[10:])          # going on is not the same again


def test_a_step_waits_for_nothing():
    "No value is read from the device between the first step and the last."
    class Operations(TorchDispatchMode):
        names = []
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            self.names.append(op.overloadpacket.__name__)
            return op(*args, **(kwargs or {}))
    loop = train(d, net(), noise, steps=5, device="cpu")
    next(loop)
    with Operations() as seen:
        for _ in loop: pass
    assert len(seen.names) > 100 and "_local_scalar_dense" not in seen.names


def test_an_objective_is_enough():
    "A regression, without any diffusion: the loop knows a model, a batch and a stream."
    class Line(nn.Linear): pass
    target, told = torch.tensor([[2.], [-1.]]), []
    def objective(model, batch, generator):
        told.append(generator)
        return (model(batch) - batch @ target).square().mean(1)
    torch.manual_seed(0)
    run = fit(objective, Line(2, 1), noise, steps=400, lr=0.05, ema=0.9, **quiet)
    assert_close(run.ema.weight, target.T, rtol=0, atol=0.02)
    assert isinstance(told[0], torch.Generator) and run.d is None
    with pytest.raises(ValueError, match="run must know its diffusion"): sample(run, 3)
    one = fit(diffusion_loss(d, "min_snr"), net(), noise, steps=5, **quiet)
    assert_close(one.losses, fit(d, net(), noise, steps=5, weight="min_snr", **quiet).losses, **same)


def test_networks_with_parts_that_rest_and_buffers_that_move():
    class Odd(MLP):
        def __init__(self):
            super().__init__(2, 16)
            self.first.requires_grad_(False)
            self.norm = nn.BatchNorm1d(2)
        def forward(self, x, t): return super().forward(self.norm(x), t)
    model = Odd()
    first = model.first.weight.clone()
    run = fit(d, model, noise, steps=5, **quiet)
    assert_close(run.model.first.weight, first, **same)
    assert run.model.norm.num_batches_tracked == run.ema.norm.num_batches_tracked == 5
    assert not run.ema.training and run.model.training


# what is said of the data

SCALES = {"in [0, 1]": noise.sigmoid(), "bytes as reals": noise.sigmoid()*255, "four times too large": 4*noise,
          "a hundred times too large": 100*noise,
          "far away": noise + 3, "much too small": noise/20, "all the same": noise*0 + 2, "double": 100*noise.double().numpy(),
          "with labels": (100*noise, labels)}
FINE = {"N(0, 1)": noise, "bytes": digits()[0], "pictures in [-1, 1]": digits()[0]/127.5 - 1, "a roll": swiss_roll(500, generator=rng(0)),
        "black pictures": (torch.rand(100, 1, 8, 8, generator=rng(0)) < 0.08)*2. - 1, "a bit wide": 2*noise,
        "a bit narrow": noise/3}


@pytest.mark.parametrize("name", SCALES)
def test_data_off_scale_are_spoken_of_once(name):
    data = SCALES[name]
    model = net(2, 16, classes=3) if name == "with labels" else net()
    with pytest.warns(UserWarning, match="data have mean .* and spread .*, and the chain ends at N.0, I.") as caught:
        fit(d, model, data, steps=3, batch=500, **quiet)
    assert len(caught) == 1
    x = torch.as_tensor(data[0] if isinstance(data, tuple) else data)
    mean, spread = map(float, re.search(r"mean (\S+) and spread (\S+), and", str(caught[0].message)).groups())
    assert abs(mean - x.mean()) < 0.2*x.std() + 1e-6 and abs(spread - x.std()) < 0.2*x.std() + 1e-6


@pytest.mark.parametrize("name", FINE)
def test_data_on_scale_are_not(name):
    data = FINE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(train(d, net() if data.ndim == 2 else UNet(1, (8, 8)), data, device="cpu"))
        next(train(flips, net(20, 16), heartbeat(100, generator=rng(0)), device="cpu"))
        next(train(lambda model, batch, g: model(batch[:, :2], torch.ones(len(batch))).square().mean(1), net(), 100*noise, device="cpu"))


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_small_batch_is_no_reason_to_speak(batch):
    "A single pair of numbers has hardly a mean and a spread."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(60): next(train(d, net(), noise, batch=batch, seed=seed, device="cpu"))


def test_bits_are_bits():
    bits = (noise > 0).float()
    for data in (bits.byte(), 2*bits - 1, bits/2, TensorDataset(2*bits - 1), Rows(bits + 1), bits > 0,
                 lambda n, generator: torch.full((n, 2), -1.), lambda n, generator: torch.ones(n, 2).byte()):
        with pytest.raises((TypeError, ValueError), match="data must hold"): fit(flips, net(), data, **loud)
    for data in (bits, bits.double(), bits.double().numpy()): fit(flips, net(), data, **loud)
