"The binomial family behind the loops that were written for any family, and laws that need many samples."
import ast
import inspect
import math

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.testing import assert_close
from test_sampling import operations

from dpm_nb import sampling, training
from dpm_nb.binomial import BinomialDiffusion, Bits, bit_oracle
from dpm_nb.core import Diffusion, rng
from dpm_nb.data import heartbeat, heartbeats
from dpm_nb.engine import fit
from dpm_nb.nets import MLP, UNet
from dpm_nb.sampling import ddim, ddpm, record, sample
from dpm_nb.schedule import cosine, inverse_time, linear
from dpm_nb.training import diffusion_loss, train

quiet = dict(progress=False, plot=False, device="cpu")


def exact_heartbeat_loss(d):
    "Nats for each bit that the exact denoiser pays on the heartbeat, and their standard error."
    t = torch.arange(1, d.schedule.T+1).repeat_interleave(200)
    loss = d.loss(bit_oracle(d, heartbeats()), heartbeat(len(t), generator=rng(3)), t, generator=rng(4))
    return loss.mean().item(), loss.std().item()/len(t)**0.5


def test_a_small_network_learns_the_heartbeat_and_its_samples_beat():
    d = BinomialDiffusion(linear(50))
    torch.manual_seed(0)
    run = fit(d, MLP(20, 64), heartbeat(2000, generator=rng(0)), steps=500, lr=3e-3, ema=0.99, **quiet)
    best, error = exact_heartbeat_loss(d)
    t = torch.arange(1, 51).repeat_interleave(200)
    with torch.no_grad(): learned = d.loss(run.ema, heartbeat(len(t), generator=rng(3)), t, generator=rng(4)).mean().item()
    assert best - 4*error < learned < 1.25*best
    x = sample(d, run.ema, (500, 20), generator=rng(9))
    assert x.dtype == torch.float32 and set(x.unique().tolist()) == {0., 1.}
    hits = (x[:, None] == heartbeats()).all(-1)
    assert hits.any(1).float().mean() > 0.95 and hits.any(0).all()


@pytest.mark.parametrize("predicts", ["logit", "x0"])
def test_with_the_exact_denoiser_every_phase_comes_back_equally_often(predicts):
    d = BinomialDiffusion(linear(200), predicts)
    x = sample(d, bit_oracle(d, heartbeats()), (4000, 20), "ddpm", rng(0))
    hits = (x[:, None] == heartbeats()).all(-1).float().mean(0)
    assert hits.sum() > 0.99
    assert (hits - 0.2).abs().max() < 0.01 + 4*(0.16/4000)**0.5


def test_ancestral_samples_follow_the_models_own_law():
    "All states of three bits, pushed through the model's steps, against a count of its samples."
    d, x = BinomialDiffusion(linear(6, end=30.)), (torch.arange(8)[:, None] >> torch.arange(3) & 1).double()
    model = lambda x, t: torch.sin(2*x @ torch.tensor([[1., 2, 0], [0, 1, -1], [3, 0, 1]]).to(x)) + t[:, None]/6
    p = torch.full((8,), 1/8, dtype=torch.float64)
    for t in range(6, 0, -1): p = p @ Bits(logits=d.p_step(model, x, t).logits[:, None]).log_prob(x).sum(-1).exp()
    assert_close(p.sum().item(), 1.)
    n = 40_000
    got = sample(d, model, (n, 3), generator=rng(1)).double() @ torch.tensor([1., 2, 4], dtype=torch.float64)
    share = torch.bincount(got.long(), minlength=8)/n
    assert ((share - p).abs() < 4*(p*(1-p)/n).sqrt()).all()


def test_no_loop_knows_a_family():
    for module in (training, sampling):
        tree = ast.parse(inspect.getsource(module))
        froms = {n.module.split(".")[-1] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        assert not froms & {"gaussian", "binomial"} and not names & {"GaussianDiffusion", "BinomialDiffusion"}
    assert isinstance(BinomialDiffusion(linear(10)), Diffusion)


def test_pictures_of_bits_train_and_come_out_as_bits():
    d, net = BinomialDiffusion(linear(10)), UNet(1, (16, 32))
    run = fit(d, net, (torch.rand(16, 1, 8, 8, generator=rng(0)) < 0.3).float(), steps=3, batch=4, **quiet)
    states = record(ddpm(d, run.ema, (4, 1, 8, 8), rng(1)), range(10))
    assert len(states) == 10
    for _, x in states: assert x.shape == (4, 1, 8, 8) and ((x == 0) | (x == 1)).all()


@pytest.mark.parametrize("predicts", ["logit", "x0"])
def test_a_step_back_takes_at_most_ten_operations_and_waits_for_nothing(predicts):
    steps = operations(ddpm(BinomialDiffusion(linear(20), predicts), lambda x, t: x, (4, 2)))
    assert len(steps) == 19 and max(map(len, steps)) <= 10
    assert all("_local_scalar_dense" not in ops and sum("rand" in op for op in ops) == 1 for ops in steps)


def test_what_is_for_gaussians_alone_is_refused():
    for predicts in ("logit", "x0"):
        d = BinomialDiffusion(linear(10), predicts)
        with pytest.raises(TypeError, match="d must be a Gaussian diffusion"): ddim(d, lambda x, t: x, (2, 2), steps=5)
        for mistake in (lambda: diffusion_loss(d, "min_snr"), lambda: train(d, MLP(2), torch.zeros(4, 2), weight="min_snr"),
                        lambda: d.loss(lambda x, t: x, torch.zeros(4, 2), 1, weight="min_snr")):
            with pytest.raises(ValueError, match="weight must be one of 'simple', 'bound', got 'min_snr'"): mistake()


def test_a_network_that_says_nan_is_noticed():
    with pytest.raises(ValueError, match="finite"): sample(BinomialDiffusion(linear(5)), lambda x, t: x*float("nan"), (2, 3))


@pytest.mark.parametrize("make", [linear, cosine, inverse_time])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_finite_at_every_time(make, dtype):
    d, t = BinomialDiffusion(make(1000)), torch.arange(1, 1001)
    x0 = (torch.rand(1000, 7, dtype=dtype, generator=rng(0)) < 0.5).to(dtype)
    out = torch.linspace(-60, 60, 7, dtype=dtype).repeat(1000, 1).requires_grad_()
    loss = d.loss(lambda x, t: out, x0, t, generator=rng(1))
    loss.sum().backward()
    assert loss.dtype == dtype and (loss >= 0).all() and torch.isfinite(loss).all() and torch.isfinite(out.grad).all()


def test_float32_says_what_float64_says():
    d, t = BinomialDiffusion(linear(1000)), torch.arange(1, 1001)
    x0, model = heartbeat(1000, generator=rng(0)), lambda x, t: torch.cos(3*x.cumsum(1))*5
    xt = d.q_sample(x0, t, generator=rng(1))
    one, two = (kl_divergence(d.q_posterior(x, y, t), d.p_step(model, x, t)) for x, y in ((xt, x0), (xt.double(), x0.double())))
    assert_close(one.double(), two, rtol=1e-3, atol=1e-7)
    assert_close(one[0], -d.p_step(model, xt[:1], 1).log_prob(x0[:1])[0])                # the bound's last term
    for k in (0, 400, 999):                                     # one time for all, or one each
        got = d.p_step(model, xt[k:k+1], k+1).logits
        assert_close(got, d.p_step(model, xt, t).logits[k:k+1], rtol=1e-4, atol=1e-5)


def test_bits_are_a_bernoulli():
    logits = torch.tensor([[-math.inf, -2., 0., 3., math.inf]])
    ours, plain = Bits(logits=logits), Bernoulli(logits=logits[:, 1:4])
    wide = ours.expand((3, 5))
    assert isinstance(wide, Bits) and wide.sample((2,)).shape == (2, 3, 5)
    assert_close(ours.entropy()[:, 1:4], plain.entropy()); assert_close(ours.mean[:, 1:4], plain.mean)
    assert_close(Bits(probs=ours.probs).entropy(), ours.entropy())
    for v in (0., 1.): assert_close(ours.log_prob(torch.tensor(v))[:, 1:4], plain.log_prob(torch.tensor(v)))
    inner, other = Bits(logits=logits[:, 1:4]), Bits(logits=torch.tensor([[1., 1., -1.]]))
    assert_close(kl_divergence(inner, other), kl_divergence(plain, Bernoulli(logits=other.logits)))
