"The bound through the package: one step, one family or the other, pictures, networks, and its cost in calls."
import itertools
import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from dpm_nb.binomial import BinomialDiffusion, bit_oracle
from dpm_nb.bound import path_bound, prior_terms, step_terms, vlb
from dpm_nb.core import Diffusion, Family, draw, rng, to_real
from dpm_nb.data import digits, heartbeat, heartbeats
from dpm_nb.estimate import vlb_estimate
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP, UNet
from dpm_nb.schedule import cosine, inverse_time, linear

silent = lambda x, t: torch.zeros_like(x)
points = torch.randn(40, 3, generator=rng(0))


@pytest.mark.parametrize("variance", ["beta", "posterior"])
def test_one_step_leaves_both_ends(variance):
    d = GaussianDiffusion(linear(1), "x0", variance)
    b = vlb(d, silent, points, decoder="continuous", generator=rng(1))
    assert b.steps.shape == (0, 40) and b.prior.shape == b.decoder.shape == (40,)
    assert_close(b.total, b.prior + b.decoder)
    got = vlb_estimate(d, silent, points, passes=4, decoder="continuous", generator=rng(2))
    assert math.isfinite(got.mean) and got.stderr >= 0


def test_every_example_meets_every_time_once():
    seen = []
    def model(x, t):
        seen.append(t)
        return x*0
    d = GaussianDiffusion(cosine(7), "x0")
    vlb(d, model, points, decoder="continuous", batch=11)
    assert_close(torch.cat(seen).bincount(minlength=8), torch.tensor([0] + [40]*7))


@pytest.mark.parametrize("passes", [16, 33])
def test_an_estimate_spends_what_it_may(passes):
    seen = 0
    def model(x, t):
        nonlocal seen
        seen += len(x)
        return x*0
    vlb_estimate(GaussianDiffusion(cosine(100), "x0"), model, points, passes=passes, decoder="continuous")
    assert passes - 1 < seen/40 <= passes


@pytest.mark.parametrize("f", [vlb, path_bound, vlb_estimate])
def test_nan_is_no_number(f):
    "In the loop values are not read, since that would wait on an accelerator; the last look must find what is wrong."
    options = {} if f is path_bound else {"decoder": "continuous"}
    with pytest.raises(ValueError, match="the model's output must be finite, got NaN"):
        f(GaussianDiffusion(cosine(5), "x0"), lambda x, t: x*math.nan, points, **options)


def test_seeds_repeat():
    d = GaussianDiffusion(cosine(20), "x0")
    whole = dict(decoder="continuous")
    for f in (lambda g: vlb(d, silent, points, generator=g, **whole).total, lambda g: path_bound(d, silent, points, generator=g),
              lambda g: torch.tensor(vlb_estimate(d, silent, points, passes=16, generator=g, **whole)[:2])):
        before = torch.get_rng_state()
        assert_close(f(rng(3)), f(rng(3)), rtol=0, atol=0)
        assert not torch.equal(f(rng(3)), f(rng(4)))
        assert torch.equal(before, torch.get_rng_state()), "the process's own stream moved"
        torch.manual_seed(5)
        one = f(None)
        torch.manual_seed(5)
        assert_close(f(None), one, rtol=0, atol=0)                                      # without one it draws from there


def test_batches_change_nothing_but_the_noise_order():
    d = GaussianDiffusion(cosine(9), "x0")
    whole, sizes = dict(decoder="continuous"), (40, 7)
    one, many = (vlb(d, silent, points, generator=rng(1), batch=batch, **whole) for batch in (10**6, 40))
    assert_close(one.steps, many.steps)
    one, many = (path_bound(d, lambda x, t: 0.5*x, points, generator=rng(1), batch=batch) for batch in sizes)
    assert_close(one, many)
    one, many = (vlb_estimate(d, silent, points, passes=16, generator=rng(1), batch=batch, **whole)[:2] for batch in sizes)
    assert_close(one, many)


@pytest.mark.parametrize("net, x", [(UNet(1, (8, 8)), digits()[0][:6]), (MLP(64, 16), to_real(digits()[0][:6]).flatten(1))])
def test_networks_keep_their_precision(net, x):
    "A float32 network is asked in float32, whatever precision the data come in; the sums are float64."
    d = GaussianDiffusion(cosine(5), "v", "posterior")
    b = vlb(d, net, x, generator=rng(0))
    assert b.total.dtype == torch.float64 and not b.total.requires_grad
    again = vlb(d, net, (to_real(x) if x.dtype == torch.uint8 else x).double(), generator=rng(0))
    assert_close(b.total, again.total, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("make", [linear, inverse_time])
def test_one_bound_serves_both_families(make):
    "For bits: above the entropy of the heartbeat, and the three forms agree."
    d = BinomialDiffusion(make(30), "x0")
    model, x = bit_oracle(d, heartbeats()), heartbeat(1500, generator=rng(0))
    b, path = vlb(d, model, x, generator=rng(1)), path_bound(d, model, x, generator=rng(0))
    e = vlb_estimate(d, model, x, passes=40, generator=rng(2))
    assert (b.steps >= 0).all()
    nats = 20*math.log(2)
    se = [b.total.std()/1500**.5, path.std()/1500**.5, e.stderr*nats]
    for (one, u), (two, v) in ([(b.total.mean(), se[0]), (path.mean(), se[1])], [(path.mean(), se[1]), (e.mean*nats, se[2])]):
        assert abs(one - two) < 4*math.hypot(u, v)
    assert path.mean() > math.log(5)


def test_decoders_of_bits_are_probabilities_already():
    d = BinomialDiffusion(linear(5), "x0")
    model, x = bit_oracle(d, heartbeats()), heartbeat(50, generator=rng(0))
    assert_close(*(vlb(d, model, x, decoder=kind, generator=rng(1)).total for kind in ("discrete", "continuous")))


@pytest.mark.parametrize("make", [linear, inverse_time])
def test_three_parts_are_the_sum_over_all_paths_of_bits(make):
    "Two bits, three steps, any model: 256 paths, summed; and the bound lies above -log p(x_0) by what the paths differ."
    T, states = 3, torch.cartesian_prod(*[torch.tensor([0., 1.], dtype=torch.float64)]*2)
    d = BinomialDiffusion(make(T))
    model = lambda x, t: torch.stack([x[:, 1] - 2*x[:, 0], 1 - x[:, 0]*x[:, 1]], 1) + 0.3*t[:, None]
    log = lambda dist: torch.stack([dist.log_prob(s).sum(1) for s in states], 1)        # rows: the state that is given
    q = [None] + [log(d.q_step(states, t)) for t in range(1, T+1)]
    p = [None] + [log(d.p_step(model, states, t)) for t in range(1, T+1)]
    end, single, log_p = d.prior((1, 2)).log_prob(states).sum(1), torch.zeros(4).double(), [[] for _ in states]
    for a, b, c, e in itertools.product(range(4), repeat=4):
        forward, back = q[1][a, b] + q[2][b, c] + q[3][c, e], p[1][b, a] + p[2][c, b] + p[3][e, c] + end[e]
        single[a] += forward.exp()*(forward - back)
        log_p[a].append(back)
    three = prior_terms(d, states)
    for t in range(1, T+1):
        reach = log(d.q_marginal(states, t)).exp()                                      # (x_0, x_t)
        for i, x0 in enumerate(states.unsqueeze(1)):
            kl = kl_divergence(d.q_posterior(states, x0.expand(4, 2), t), d.p_step(model, states, t)).sum(1)
            cost = kl if t > 1 else -d.decoder(model, states).log_prob(x0).sum(1)
            three[i] += (reach[i]*cost).sum()
    assert_close(single, three, rtol=0, atol=1e-10)
    gap = three + torch.stack([torch.stack(v).logsumexp(0) for v in log_p])
    assert (gap >= 0).all() and gap.max() > 1e-3
