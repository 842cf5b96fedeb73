"The bound through the package: one step, one family or the other, pictures, networks, and its cost in calls."
import itertools
import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from dpm_nb.binomial import BinomialDiffusion, bit_oracle
from dpm_nb.bound import decoder_terms, path_bound, prior_terms, step_terms, vlb
from dpm_nb.core import rng, to_real
from dpm_nb.data import digits, heartbeat, heartbeats
from dpm_nb.estimate import vlb_estimate
from dpm_nb.gaussian import VIEWS, GaussianDiffusion, Prediction
from dpm_nb.nets import MLP, UNet
from dpm_nb.schedule import Schedule, cosine, inverse_time, linear

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


def terms(d, model, x0, eps):
    "L_0 of the first example, L_{t-1} of the t-th: one draw each, with the noise that is given."
    t = torch.arange(1, d.schedule.T+1)
    last, _ = decoder_terms(d, model, x0[:1], "continuous", eps[:1])
    rest, _ = step_terms(d, model, x0[1:], t[1:], eps[1:])
    return t, torch.cat([last, rest])


@pytest.mark.parametrize("make", [linear, cosine])
@pytest.mark.parametrize("predicts", VIEWS)
@pytest.mark.parametrize("variance", ["beta", "posterior"])
def test_the_bounds_weight_makes_the_loss_T_times_the_bounds_terms(make, predicts, variance):
    "Up to what no network can change: the price of the two variances, which the true x_0 pays too."
    d = GaussianDiffusion(make(40), predicts, variance)
    x0, eps = torch.randn(2, 40, 3, dtype=torch.float64, generator=rng(1))
    says = lambda x0_hat: lambda x, t: Prediction(x0_hat(x, t), x, d.schedule, t.long(), "x0").view(predicts)
    guess = says(lambda x, t: 0.5*torch.tanh(x) + t[:, None]/100)
    t, cost = terms(d, guess, x0, eps)
    truth = torch.cat([decoder_terms(d, says(lambda x, t: x0[:1]), x0[:1], "continuous", eps[:1])[0],
                       step_terms(d, says(lambda x, t: x0[1:]), x0[1:], t[1:], eps[1:])[0]])
    assert_close(d.loss(guess, x0, t, eps, weight="bound")*3/40, cost - truth, rtol=1e-7, atol=1e-9)
    assert_close(d.loss_weight(t, "bound")*d.loss(guess, x0, t, eps), d.loss(guess, x0, t, eps, weight="bound"))


@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_for_a_learned_variance_the_loss_is_T_times_the_cross_entropy(predicts):
    "That is the bound's term and the posterior's entropy, which no network can change; at t=1 it is L_0 itself."
    d = GaussianDiffusion(linear(40), predicts, "learned")
    x0, eps = torch.randn(2, 40, 3, dtype=torch.float64, generator=rng(1))
    model = lambda x, t: torch.cat([torch.tanh(x), torch.sin(5*x)], 1)
    t, cost = terms(d, model, x0, eps)
    entropy = d.q_posterior(d.q_sample(x0, t, eps), x0, t).entropy().sum(1)
    entropy[0] = 0
    assert_close(d.loss(model, x0, t, eps, weight="bound")*3/40, cost + entropy, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weight", ["simple", "bound"])
def test_the_loss_of_bits_is_T_times_the_bounds_terms(weight):
    d = BinomialDiffusion(linear(40))
    x0 = (torch.rand(40, 3, generator=rng(1)) < 0.5).double()
    eps, model = torch.rand(40, 3, dtype=torch.float64, generator=rng(2)), lambda x, t: 2*torch.cos(3*x.cumsum(1))
    t, cost = terms(d, model, x0, eps)
    assert_close(d.loss(model, x0, t, eps, weight=weight)*3/40, cost)


@pytest.mark.parametrize("f", [vlb, path_bound, vlb_estimate])
def test_a_chain_that_forgets_all_before_its_end(f):
    "alpha_bar is 0 at t = 2 and 3: nothing is known there, and nothing is lost."
    d = GaussianDiffusion(Schedule([0.5, 1., 1.]), "v", "beta")
    options = {} if f is path_bound else {"decoder": "continuous"}
    got = f(d, silent, points, generator=rng(0), **options)
    number = torch.as_tensor(got.total if f is vlb else got.mean if f is vlb_estimate else got)
    assert number.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_data_of_any_precision_are_scored_in_float64(dtype):
    d, x = GaussianDiffusion(cosine(9), "x0"), points.to(dtype)
    for f in (vlb, path_bound):
        options = {} if f is path_bound else {"decoder": "continuous"}
        one, two = (f(d, lambda x, t: 0.5*x, v, generator=rng(0), **options) for v in (x, x.double()))
        one, two = (v.total if f is vlb else v for v in (one, two))
        assert one.dtype == torch.float64
        assert_close(one, two, **dict(rtol=0, atol=0))


def test_conditions_reach_the_model_with_their_example():
    "In every form of the bound, in batches that mix examples and times."
    d, y = GaussianDiffusion(cosine(9), "x0"), torch.arange(40.)
    x = y[:, None].expand(40, 3)/20 - 1
    def knows(xt, t, y): return (y/20 - 1).double()[:, None].expand_as(xt)          # the row itself
    for batch in (7, 1000):
        for f in (vlb, path_bound, vlb_estimate):
            options = {} if f is path_bound else {"decoder": "continuous"}
            right, wrong = (f(d, knows, x, v, generator=rng(0), batch=batch, **options) for v in (y, y.flip(0)))
            right, wrong = (float(v.total.mean() if f is vlb else v.mean() if f is path_bound else v.mean) for v in (right, wrong))
            assert right < wrong - 1
