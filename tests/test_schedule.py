"Schedules against 50-digit arithmetic, and laws that hold for any beta."
import warnings
from functools import partial

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.testing import assert_close

from dpm_nb.core import at
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import Schedule, cosine, inverse_time, linear, make_schedule, schedules, sigmoid

CAP = mp.mpf(999)/1000


def beta_linear(T):
    return [min(CAP, (mp.mpf(1)/10 + (mp.mpf(199)/10*i/(T-1) if T > 1 else mp.mpf(199)/10))/T) for i in range(T)]


def beta_cosine(T):
    s = mp.mpf(0.008)
    f = [mp.cos((mp.mpf(t)/T + s)/(1+s)*mp.pi/2)**2 for t in range(T+1)]
    return [min(CAP, 1 - f[t]/f[t-1]) for t in range(1, T+1)]


def beta_sigmoid(T):
    logistic = [1/(1+mp.exp(-(mp.mpf(-3) + mp.mpf(6)*t/T))) for t in range(T+1)]
    left = [logistic[T]-v for v in logistic]
    return [min(CAP, 1 - left[t]/left[t-1]) for t in range(1, T+1)]


def beta_inverse_time(T):
    return [mp.mpf(1)/(T-t+1) for t in range(1, T+1)]


def reference(beta):
    "alpha, alpha_bar, 1-alpha_bar, posterior variance and log SNR for t = 1..T, to 50 digits."
    kept, rows = mp.mpf(1), []
    for b in beta:
        before, kept = kept, kept*(1-b)
        snr = mp.log(kept/(1-kept)) if kept else -mp.inf
        rows.append((1-b, kept, 1-kept, (1-before)/(1-kept)*b, snr))
    return zip(*rows)


def posterior(s):
    "Weights of x_t and of x_0 in the posterior's mean, and its variance, for t = 1..T."
    one, t = torch.ones(s.T, 1, dtype=torch.float64), torch.arange(1, s.T+1)
    d = GaussianDiffusion(s, "x0")
    x0, xt = d.q_posterior(0*one, one, t), d.q_posterior(one, 0*one, t)
    return xt.mean.flatten(), x0.mean.flatten(), xt.variance.expand_as(one).flatten()


def worst(got, want):
    "The largest relative error; where the truth is 0 (log SNR half-way, the variance at t=1), the absolute one must be a thousand times smaller."
    error = lambda g, w: 0 if g == w else abs(mp.mpf(g)-w)/(abs(w) if abs(w) > 1e-40 else 1e-3)
    return max(float(error(g, w)) for g, w in zip(got.tolist(), want))


@pytest.mark.parametrize("T", [1, 2, 3, 10, 100, 1000, 10_000])
@pytest.mark.parametrize("name", schedules)
def test_twelve_digits(name, T):
    with mp.workdps(50), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        s = schedules[name](T)
        want = reference({"linear": beta_linear, "cosine": beta_cosine, "sigmoid": beta_sigmoid,
                          "inverse_time": beta_inverse_time}[name](T))
        got = s.alpha, s.alpha_bar, s.beta_bar, posterior(s)[2], s.log_snr
        for what, g, w in zip(("alpha", "alpha_bar", "1-alpha_bar", "posterior variance", "log SNR"), got, want):
            assert worst(g[-T:], w) < 1e-12, what


betas = st.lists(st.floats(1e-12, 1., exclude_min=True), min_size=1, max_size=60)


@settings(deadline=None)
@given(betas)
def test_laws_for_any_beta(beta):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        s = Schedule(beta)
    T = len(beta)
    assert s.T == T and all(len(v) == T+1 and v.dtype == torch.float64 for v in (s.beta, s.alpha, s.alpha_bar, s.beta_bar, s.log_snr))
    assert s.beta[0] == 0 and s.alpha_bar[0] == 1 and s.beta_bar[0] == 0
    assert (s.alpha_bar.diff() <= 0).all() and (s.beta_bar.diff() >= 0).all()
    assert_close(s.alpha_bar[1:], s.alpha_bar[:-1]*s.alpha[1:], rtol=1e-9, atol=1e-300)
    assert_close(s.alpha_bar + s.beta_bar, torch.ones(T+1, dtype=torch.float64), rtol=1e-15, atol=1e-15)
    assert_close(s.log_snr.sigmoid(), s.alpha_bar, rtol=1e-12, atol=1e-300)
    w_t, w_0, var = posterior(s)
    assert var[0] == 0 and w_t[0] == 0 and abs(w_0[0] - 1) < 1e-15
    assert (var >= 0).all() and (var <= s.beta[1:]*(1+1e-12)).all()


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 3))
def test_index_picks_each_examples_own_time(times, extra_axes):
    v, x = torch.arange(51, dtype=torch.float64), torch.ones(len(times), *[2]*extra_axes)
    got = at(v, torch.tensor(times), x)*x
    for row, t in zip(got, times): assert_close(row, torch.full_like(row, t))
    assert_close(at(v, times[0], x)*x, torch.full_like(x, times[0]))


def test_beta_does_not_depend_on_the_length_of_the_sum():
    for make in (linear, cosine, sigmoid, inverse_time):
        half = [float(make(T).alpha_bar[T//2]) for T in (100, 1000, 4000)]
        assert max(half)/min(half) < 1.1, make.__name__


def test_the_warning_comes_when_the_prior_is_not_reached_and_only_then():
    with pytest.warns(UserWarning, match="does not reach the prior.*Raise T or beta"): Schedule([0.01]*100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in schedules.values():
            for T in (1, 4, 100, 1000): make(T)
        Schedule([0.05]*100)


schedules_that_stop_early = {
    "Schedule": lambda: Schedule([0.01]*100),
    "linear": lambda: linear(100, 0.01, 2.),
    "make_schedule": lambda: make_schedule("short", 100),
}


@pytest.mark.parametrize("name", schedules_that_stop_early)
def test_the_warning_points_at_the_callers_line(name, monkeypatch):
    monkeypatch.setitem(schedules, "short", partial(linear, start=0.01, end=2.))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schedules_that_stop_early[name]()
    places = [(w.filename, w.lineno) for w in caught]
    assert places == [(__file__, schedules_that_stop_early[name].__code__.co_firstlineno)]


def test_every_kind_of_numbers_makes_the_same_schedule():
    import numpy as np
    want = [0., 0.1, 0.2, 1.]
    beta = np.array([0.1, 0.2, 1.])
    given = beta, beta[::-1].copy()[::-1], list(beta), tuple(beta.tolist()), torch.tensor(beta), torch.tensor(beta, requires_grad=True), list(torch.tensor(beta))
    for beta in given: assert Schedule(beta).beta.tolist() == want
    single = torch.tensor([0.1, 0.2, 1.])
    assert Schedule(single).beta[1:].tolist() == single.tolist(), "every digit there is"
    assert not any(v.requires_grad for v in vars(Schedule(given[5])).values() if isinstance(v, torch.Tensor))


def test_a_schedule_takes_no_part_in_what_the_caller_does_later():
    beta = torch.tensor([0.5, 0.999], dtype=torch.float64)
    s = Schedule(beta)
    beta.fill_(0.1)
    assert s.beta.tolist() == [0., 0.5, 0.999]


class Named(Schedule):
    def __init__(self, beta, colour):
        super().__init__(beta)
        self.colour, self.extra = colour, torch.ones(2)


def test_to_copies_and_a_subclass_survives():
    s = Named([0.5, 0.999], "red")
    for device in ("cpu", "meta", "mps", torch.device("cpu")):
        moved = s.to(device)
        assert type(moved) is Named and moved is not s and (moved.colour, moved.T, moved.prior_bits) == ("red", 2, s.prior_bits)
        where = "cpu" if str(device) == "mps" else str(device)
        assert {v.device.type for v in vars(moved).values() if isinstance(v, torch.Tensor)} == {where}
    assert s.beta.device.type == "cpu"
    with pytest.raises(RuntimeError): s.to("pocket")


def test_only_schedules_of_a_known_name_and_of_numbers_that_can_be():
    mistakes = {"name must be one of 'linear', 'cosine', 'sigmoid', 'inverse_time', got 'quadratic'": lambda: make_schedule("quadratic"),
                "name must be one of .*, got 3": lambda: make_schedule(3), "name must be a str, got 3": lambda: Schedule([0.999], 3),
                r"beta must hold real numbers in \(0, 1\], got 'linear'": lambda: Schedule("linear"),
                r"beta must hold real numbers in \(0, 1\], got None": lambda: Schedule(None),
                r"beta must hold real numbers in \(0, 1\], got \[\[0.1\], \[0.1, 0.2\]\]": lambda: Schedule([[0.1], [0.1, 0.2]]),
                r"beta must hold real numbers in \(0, 1\], got \[1j\]": lambda: Schedule([1j]),
                r"beta must have shape \(T,\) with T >= 1, got \(\)": lambda: Schedule(0.5),
                "end must be a finite number in": lambda: sigmoid(10, 1, 1), "tau must be a finite number in": lambda: sigmoid(10, tau=0.05)}
    for message, mistake in mistakes.items():
        with pytest.raises((ValueError, TypeError), match=message): mistake()


def test_extreme_arguments_make_a_schedule_or_one_clear_sentence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for make in (lambda: linear(3, 1e-300, 1e300), lambda: cosine(3, 1e18), lambda: cosine(3, 1e300), lambda: cosine(1, 0.),
                     lambda: sigmoid(3, -50, 50, 0.1), lambda: sigmoid(3, 49, 50, 0.1), lambda: sigmoid(1, -50, -49.9, 1e9)):
            try: beta = make().beta[1:]
            except ValueError as e: assert "beta must lie in" in str(e)
            else: assert ((beta > 0) & (beta <= 0.999)).all()
