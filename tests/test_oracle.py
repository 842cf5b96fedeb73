"The oracle through the samplers, which come after it in the book."
import pytest
import torch
from scipy.stats import kstest
from torch.testing import assert_close

from dpm_nb.core import rng, to_real
from dpm_nb.data import Mixture, digits, gaussian, ring, swiss_curve, two_bumps
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.oracle import Oracle, distance
from dpm_nb.sampling import ddpm, record, sample
from dpm_nb.schedule import cosine, linear

p = two_bumps()


def cdf(x):
    z = (torch.as_tensor(x).unsqueeze(-1) - p.means[:, 0])/p.covs[:, 0, 0].sqrt()
    return (p.weight*torch.special.ndtr(z)).sum(-1).numpy()


@pytest.mark.parametrize("make, predicts, method, options", [
    (linear, "eps", "ddpm", {}), (linear, "v", "ddpm", {}), (cosine, "v", "ddpm", {}),
    (linear, "eps", "ddim", {"steps": 200}), (cosine, "x0", "ddim", {"steps": 200}), (linear, "score", "ddim", {"steps": 500, "eta": 1.}),
])
def test_with_the_oracle_the_samplers_give_back_the_data(make, predicts, method, options):
    "Mean and variance within four standard errors, and a Kolmogorov-Smirnov test at the level of 0.1%."
    d, n = GaussianDiffusion(make(1000), predicts), 5000
    x = sample(d, Oracle(d, p), (n, 1), method=method, generator=rng(0), **options)[:, 0].double()
    fourth = (x - x.mean()).pow(4).mean()
    assert abs(x.mean() - p.mean.item()) < 4*x.std()/n**0.5
    assert abs(x.var() - p.cov.item()) < 4*((fourth - x.var()**2)/n)**0.5
    assert kstest(x.numpy(), cdf).pvalue > 1e-3


def test_the_kolmogorov_smirnov_test_has_teeth():
    "The same test refuses the wrong shares."
    d = GaussianDiffusion(linear(1000))
    other = Oracle(d, two_bumps(weight=0.4))
    x = sample(d, other, (5000, 1), method="ddim", generator=rng(0), steps=100)[:, 0].double()
    assert kstest(x.numpy(), cdf).pvalue < 1e-3


def test_no_noise_at_the_last_step():
    "One x_1, two streams, one x_0: the mean of all data that lead to x_1."
    d = GaussianDiffusion(linear(100))
    oracle = Oracle(d, p)
    (_, x1), (_, x0) = record(ddpm(d, oracle, (50, 1), generator=rng(1)), (1, 0))
    step = d.reverse(oracle)
    assert_close(step(x1, 1, rng(2)), step(x1, 1, rng(3)), rtol=0, atol=0)
    assert_close(step(x1, 1), x0, rtol=0, atol=0)
    assert_close(x0, oracle.x0(x1, 1), rtol=1e-4, atol=1e-5)


def test_the_oracle_of_a_ring_visits_every_bump():
    d, q, n = GaussianDiffusion(cosine(300), "v"), ring(), 4000
    x = sample(d, Oracle(d, q), (n, 2), method="ddpm", generator=rng(0)).double()
    near = torch.cdist(x, q.means).min(1)
    share = near.indices.bincount(minlength=8)/n
    assert (abs(share - 1/8) < 4*(1/8*7/8/n)**0.5).all()
    assert (near.values < 6*q.covs[0, 0, 0].sqrt()).all()


def test_the_oracle_of_a_data_set_copies_it():
    train = digits(True)[0][:200]
    d = GaussianDiffusion(cosine(200), "v")
    for method in ("ddpm", "ddim"):
        x = sample(d, Oracle(d, train), (40, 1, 8, 8), method=method, generator=rng(0))
        assert torch.cdist(x.flatten(1), to_real(train).flatten(1)).min(1).values.max() < 0.05


def test_precision_and_shape_of_the_state_are_kept():
    d = GaussianDiffusion(linear(50))
    q = gaussian(torch.zeros(6), torch.eye(6) + 0.5)
    x, t = torch.randn(5, 1, 2, 3, dtype=torch.float64, generator=rng(0)), torch.tensor([1, 2, 10, 49, 50])
    for oracle in (Oracle(d, q), Oracle(d, torch.randn(9, 1, 2, 3, generator=rng(1)))):
        fine = oracle(x, t)
        for dtype in (torch.float64, torch.float32, torch.float16):
            told = oracle(x.to(dtype), t)
            assert told.dtype == dtype and told.shape == x.shape
        assert_close(oracle(x.float(), t).double(), fine, rtol=1e-3, atol=1e-3)
        assert_close(torch.cat([oracle(x[i:i+1], t[i:i+1]) for i in range(5)]), fine)
        assert_close(oracle(x, torch.tensor(10)), oracle(x, torch.full((5,), 10)))
        assert oracle(x[:0], t[:0]).shape == (0, 1, 2, 3)


def test_memory_does_not_grow_with_batch_times_rows_times_dimensions(monkeypatch):
    "50,000 rows of 64 numbers under 2,000 states: all at once the choices alone would fill 800 MB, in blocks they fill 16."
    largest, softmax = [], torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, *dim: largest.append(x.numel()) or softmax(x, *dim))
    d = GaussianDiffusion(linear(50))
    rows = torch.randn(50_000, 64, generator=rng(0))
    Oracle(d, rows).x0(torch.randn(100, 64, generator=rng(1)), 20)
    assert max(largest) <= 2**21 and len(largest) == 3


def test_a_swiss_roll_of_many_bumps_scores_a_model():
    "The roll as 400 bumps along its curve: far from the oracle for a blank model, at 0 for the oracle itself."
    curve = swiss_curve((torch.arange(400, dtype=torch.float64) + 0.5)/400)
    roll = Mixture(torch.full((400,), 1/400), (1-0.05**2)**0.5*curve, 0.05**2*torch.eye(2))
    d = GaussianDiffusion(cosine(50), "v")
    oracle, x0 = Oracle(d, roll), roll.sample(100, rng(0))
    assert oracle.round
    blank = distance(d, lambda x, t: torch.zeros_like(x), oracle, x0, generator=rng(1))
    itself = distance(d, oracle, oracle, x0, generator=rng(1))
    assert (blank.square > 1e3*itself.square).all() and itself.bits.max() < 1e-6


def test_a_condition_travels_with_its_examples():
    "A model that obeys its condition is at distance 0 where the condition says so, whatever the order and the batch."
    d, q = GaussianDiffusion(cosine(20), "v"), ring()
    oracle, x0 = Oracle(d, q), q.sample(60, rng(0))
    y = (torch.arange(60) < 30).float()
    obeys = lambda x, t, y: oracle(x, t) + y[:, None]
    both = distance(d, obeys, oracle, x0, y, generator=rng(1), batch=7)
    none, all_ = (distance(d, obeys, oracle, x0, torch.full((60,), v), generator=rng(1)) for v in (0., 1.))
    assert none.square.max() < 1e-12
    assert_close(both.square, all_.square/2, rtol=1e-6, atol=1e-9)


def test_times_are_one_or_a_row():
    d = GaussianDiffusion(linear(10))
    oracle, x0 = Oracle(d, p), p.sample(5, rng(0))
    model = lambda x, t: torch.zeros_like(x)
    whole = distance(d, model, oracle, x0).t
    assert whole.tolist() == list(range(1, 11))
    for times in (3, [3], (3,), range(3, 4), torch.tensor(3), torch.tensor([3], dtype=torch.int16)):
        assert distance(d, model, oracle, x0, times=times).t.tolist() == [3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_states_on_another_device_than_the_oracle():
    d, x0 = GaussianDiffusion(cosine(20), "v"), ring().sample(10, rng(0))
    here, there = Oracle(d, ring()), Oracle(d.to("cuda"), ring())
    for oracle in (here, there):
        assert_close(oracle(x0.cuda(), 5).cpu(), here(x0, 5))
        far = distance(d, lambda x, t: 0*x, oracle, x0.cuda(), generator=rng(1))
        assert_close(far.bits.cpu(), distance(d, lambda x, t: 0*x, here, x0, generator=rng(1)).bits)
