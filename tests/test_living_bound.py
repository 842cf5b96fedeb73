"The staircase of 06_bound: what it draws after its sliders moved is what `dpm_nb` computes of a coin's chain."
import math
import re

import pytest
import torch
from conftest import NBS
from torch.testing import assert_close

from dpm_nb.bound import decoder_terms, prior_terms, step_terms, vlb
from dpm_nb.core import at, rng
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import Schedule
from test_living import FIGURES, MARKS, move, page, show

STAIRCASE = next(name for name in FIGURES if name.startswith("06_bound"))
STOPS = [(8, -2), (32, -2), (128, -2), (3, -3), (20, -1), (50, 0)]
NOISE = torch.linspace(-9, 9, 721, dtype=torch.float64)
CHANCE = (-NOISE**2/2).exp()/math.sqrt(2*math.pi)*(NOISE[1] - NOISE[0])


class Faces(torch.distributions.Bernoulli):
    "The law of a face x_0 = -1 or 1."
    def log_prob(self, x0): return super().log_prob((1 + x0)/2)


class Coin(GaussianDiffusion):
    "The chain of a coin, whose last step names a face."
    def decoder(self, model, x1): return Faces((1 + self.predict(model, x1, 1).x0)/2)


def chain(n, low):
    "The stops of the figure, largest SNR first, their chain, and the coin's perfect network."
    snr = torch.logspace(math.log10(20), low, n, dtype=torch.float64)
    bar = torch.cat([torch.ones(1).double(), snr/(1 + snr)])
    s = Schedule(1 - bar[1:]/bar[:-1])
    return snr, Coin(s, "x0", "posterior"), lambda x, t: torch.tanh(at(s.alpha_bar.sqrt()/s.beta_bar, t, x)*x)


def computed(d, net):
    "L_0, L_1, ..., L_T of the coin in bits, and the error at each stop."
    eps = NOISE[:, None]
    x0, parts, errors = torch.ones_like(eps), [], []
    for t in range(1, d.schedule.T+1):
        at_t = torch.full((len(eps),), t)
        term = decoder_terms(d, net, x0, "continuous", eps) if t == 1 else step_terms(d, net, x0, at_t, eps)
        parts.append(term[0] @ CHANCE)
        errors.append((x0 - net(term[1], at_t))[:, 0]**2 @ CHANCE)
    return torch.stack([*parts, prior_terms(d, x0[:1])[0]])/math.log(2), torch.stack(errors)


@pytest.mark.filterwarnings("ignore:.*does not reach the prior")
@pytest.mark.parametrize("n, low", STOPS)
def test_staircase_draws_the_bound_of_a_coin(page, n, low):
    show(page, STAIRCASE)
    move(page, "n", n)
    move(page, "low", low)
    seen = page.evaluate(MARKS)
    snr, d, net = chain(n, low)
    parts, errors = computed(d, net)
    marks = lambda name, *columns: torch.tensor([[float(m[i]) for i in columns] for m in seen[name]], dtype=torch.float64)
    across = lambda s: s*300/8
    want = torch.stack([across(snr[1:]), 220*(1 - errors[1:]), across(snr[:-1] - snr[1:])], 1)
    assert_close(marks("stairs_marks", 0, 1, 2), want, rtol=1e-9, atol=2e-4)

    log = lambda s: 300*(s/.001).log()/math.log(20/.001)
    want = torch.stack([log(snr[1:]), 112*(1 - parts[1:-1].clamp(max=.7)/.7), log(snr[:-1]) - log(snr[1:])], 1)
    assert_close(marks("each_marks", 0, 1, 2), want, rtol=1e-9, atol=1e-3)

    total, end = parts.sum(), parts[-1]
    right = lambda bits: 100*bits.clamp(max=3)
    assert_close(marks("chain_marks", 0, 2)[0], torch.stack([end*0, right(total - end)]), rtol=0, atol=1e-3)
    assert_close(marks("end_marks", 0, 2)[0], torch.stack([right(total - end), right(total) - right(total - end)]), rtol=0, atol=1e-3)
    words = [m[4] for marks in seen.values() for m in marks if m[4]]
    assert f"error of the perfect network, and {n} stops" in words
    said, = (re.fullmatch(r"([\d.]+) bits, of which L_T has ([\d.]+)", w) for w in words if "L_T" in w)
    assert_close(torch.tensor([float(said[1]), float(said[2])]).double(), torch.stack([total, end]), rtol=0, atol=5.1e-4)
    most, = (float(w.split(" ")[-1]) for w in words if w.startswith("bits of each step"))
    assert_close(most, parts[:-1].max().item(), rtol=0, atol=5.1e-4)

    coins = torch.randint(2, (2000, 1), generator=rng(n)).double()*2 - 1
    drawn = vlb(d, net, coins, decoder="continuous", generator=rng(0)).total/math.log(2)
    assert abs(drawn.mean() - float(said[1])) < 4*drawn.std()/2000**.5 + 5e-4


def test_the_curve_is_the_error_and_holds_one_bit(page):
    show(page, STAIRCASE)
    curve = torch.tensor([[m[0], m[1]] for m in page.evaluate(MARKS)["curve_marks"]], dtype=torch.float64)
    s = curve[:, 0]*8/300
    assert_close(s, torch.arange(161).double()/20, rtol=0, atol=1e-9)
    error = (1 - torch.tanh(s[:, None] + s.sqrt()[:, None]*NOISE)) @ CHANCE
    assert_close(curve[:, 1], 220*(1 - error), rtol=0, atol=2e-4)
    snr, d, net = chain(400, -4)
    assert_close(computed(d, net)[0].sum().item(), 1., rtol=0, atol=.02)


def test_eight_stops_32_and_128(page):
    "1.81, 1.13 and 1.03 bits, as the chapter says."
    show(page, STAIRCASE)
    for n, bits in ((8, "1.81"), (32, "1.13"), (128, "1.03")):
        move(page, "n", n)
        said = next(m[4] for marks in page.evaluate(MARKS).values() for m in marks if m[4] and "L_T" in m[4])
        assert f"{float(said.split()[0]):.2f}" == bits or abs(float(said.split()[0]) - float(bits)) <= .0055
