"The living figures of 03_gaussian: what posterior and crowd draw is what `dpm_nb` computes."
import math
import re

import pytest
import torch
from test_living import FIGURES, MARKS, move, page, show, told
from torch.distributions import Normal
from torch.testing import assert_close

from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import Schedule

POSTERIOR, CROWD = (name for name in FIGURES if name.startswith("03_gaussian"))


def second_step(before, beta):
    "A chain whose step 2 starts where the share `before` of the signal's power is left, and has the size `beta`."
    return GaussianDiffusion(Schedule(torch.tensor([1-before, beta, .9999], dtype=torch.float64)))


def settings(page):
    "What the heading of a figure says of its sliders: a number for each letter."
    said = page.locator("svg text", has_text=" = ").first.text_content()
    return {name: told(value) for name, value in (part.split(" = ") for part in said.split(", "))}


def curves(marks, count):
    "The curves of a panel of 290 x 230 pixels, one after the other: `(curves, points, 2)`, pixels."
    drawn = torch.tensor([m[:2] for m in marks], dtype=torch.float64)
    return drawn.reshape(count, -1, 2)


@pytest.mark.parametrize("xt, x0, before, alpha", [(1.2, -1, .6, .7), (1.2, -1, .6, .99), (-.4, 1.5, .98, .3), (2.5, 2, .02, .02), (0, .7, .5, .5)])
def test_posterior_draws_two_witnesses_and_the_bell(page, xt, x0, before, alpha):
    show(page, POSTERIOR)
    for name, value in (("xt", xt), ("x0", x0), ("A", before), ("alpha", alpha)): move(page, name, value)
    assert settings(page) == {"x_t": xt, "x_0": x0, "ᾱ": before, "α_t": alpha}
    d = second_step(before, 1-alpha)
    one = lambda v: torch.tensor([[v]], dtype=torch.float64)
    data, p = d.q_marginal(one(x0), 1), d.q_posterior(one(xt), one(x0), 2)
    x = torch.linspace(-3, 3, 301, dtype=torch.float64)
    peak = lambda q: q.log_prob(x) - q.log_prob(q.mean)             # log of the bell over its height
    here = d.q_step(x[:, None], 2)
    here = (here.log_prob(one(xt)) + here.stddev.log() + math.log(2*math.pi)/2)[:, 0]
    logs = [peak(data)[0], here, peak(p)[0], peak(Normal(one(x0), p.stddev))[0]]
    floor = -(logs[0] + logs[1] - logs[2])                          # the sum's lowest point: one number, wherever asked
    assert_close(floor, floor[0].expand(301), rtol=1e-6, atol=1e-9)
    for box in ("hidden", "shown"):
        move(page, "box", box)
        shown = 3 if box == "hidden" else 4
        for view in ("bells", "-log"):
            move(page, "view", view)
            seen = page.evaluate(MARKS)
            got = curves(seen["witnesses_marks"], shown)
            for k in range(shown):
                minus_log = -logs[k] + (floor if k > 1 else 0)
                want = 230*(1 - logs[k].exp()/1.05) if view == "bells" else 230*(1 - minus_log/8)
                assert_close(got[k, :, 0], (x+3)*290/6, rtol=0, atol=1e-6)
                assert_close(got[k, :, 1], want, rtol=1e-6, atol=1e-5)
            words = [m[4] for m in seen["told_layer_1_marks"]]
            assert len(words) == shown
            step = torch.tensor([xt/alpha**.5, ((1-alpha)/alpha)**.5])
            pairs = [(data.mean, data.stddev), step, (p.mean, p.stddev), (one(x0), p.stddev)]
            for text, (mean, std) in zip(words, pairs):
                said = re.search(r": (\S+) ± (\S+)$", text)
                assert_close([told(v) for v in said.groups()], [float(mean), float(std)], rtol=0, atol=.0051)
    mean = next(m[4] for name, marks in seen.items() for m in marks if m[4] and "its mean" in m[4])
    w_t, w_0 = (told(v) for v in re.fullmatch(r"its mean is (\S+) x_t \+ (\S+) x_0", mean).groups())
    unit = [d.q_posterior(one(a), one(b), 2).mean.item() for a, b in ((1., 0.), (0., 1.))]
    assert_close([w_t, w_0], unit, rtol=0, atol=.0051)


@pytest.mark.parametrize("xt, before, beta", [(.3, .8, .5), (.3, .8, .1), (.3, .8, .02), (-1.3, .5, .3), (2, .95, .9), (0, .05, .01)])
def test_crowd_draws_the_coins_step_back(page, xt, before, beta):
    show(page, CROWD)
    for name, value in (("xt", xt), ("A", before), ("beta", beta)): move(page, name, value)
    assert settings(page) == {"β": beta, "ᾱ": before, "x_t": xt}
    seen, d = page.evaluate(MARKS), second_step(before, beta)
    s, sides = d.schedule, torch.tensor([[1.], [-1.]], dtype=torch.float64)
    bell_of = d.q_posterior(torch.full((2, 1), xt, dtype=torch.float64), sides, 2)
    bar = s.alpha_bar[2].item()
    weight = torch.tensor([1., -1.], dtype=torch.float64)*math.tanh(bar**.5*xt/(1-bar))/2 + .5
    mean = weight @ bell_of.mean[:, 0]
    std = (weight @ (bell_of.variance + bell_of.mean**2)[:, 0] - mean**2).sqrt()
    def density(u): return weight[:, None]*bell_of.log_prob(mean + std*u).exp()*std
    u = torch.linspace(-4, 4, 201, dtype=torch.float64)
    plus, minus = density(u)
    bell = Normal(0., 1.).log_prob(u).exp()
    got = curves(seen["crowd_marks"], 4)
    for k, want in enumerate((plus + minus, plus, minus, bell)):
        assert_close(got[k, :, 0], (u+4)*290/8, rtol=0, atol=1e-6)
        assert_close(got[k, :, 1], 230*(1 - want/.8), rtol=1e-7, atol=1e-5)
    _, *said, _ = [m[4] for m in seen["sides_layer_1_marks"]]
    assert_close([told(text.split("weight ")[1]) for text in said], weight.tolist(), rtol=0, atol=.0051)
    apart, = re.fullmatch(r"bells apart: (\S+) widths", seen["numbers_layer_0_marks"][0][4]).groups()
    far = (bell_of.mean[0] - bell_of.mean[1])/bell_of.stddev[0]
    assert_close(told(apart), far.item(), rtol=0, atol=.051)
    nats, = re.fullmatch(r"sum from bell: (\S+) nats", seen["numbers_layer_1_marks"][0][4]).groups()
    fine = torch.linspace(-14, 14, 28001, dtype=torch.float64)
    p = density(fine).sum(0)
    want = (p*(p.log() - Normal(0., 1.).log_prob(fine))).nan_to_num().sum()*(fine[1] - fine[0])
    assert_close(told(nats), want.item(), rtol=.006, atol=1e-12)
