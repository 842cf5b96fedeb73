"The living figure of 05_binomial: the dissolving bits and the two votes that it draws are what `dpm_nb` computes."
import math
import re

import pytest
import torch
from test_living import FIGURES, MARKS, move, page, show, told
from torch.testing import assert_close

from dpm_nb.binomial import BinomialDiffusion, same_odds
from dpm_nb.data import heartbeats
from dpm_nb.schedule import inverse_time

BITS, = (name for name in FIGURES if name.startswith("05_binomial"))
SPEC = FIGURES[BITS][2]["application/vnd.vegalite.v5+json"]
NOISE = torch.tensor([next(p["value"] for p in SPEC["params"] if p["name"] == "noise")], dtype=torch.float64)
DATA = heartbeats()[2:3].double()
PLACES = [(.5, 20, 2), (.5, 100, 2), (.5, 4, 2), (0, 20, 7), (1, 20, 2), (.6, 20, 7), (.25, 40, 17), (1, 2, 0), (.03, 100, 12), (.99, 100, 1)]
OPACITY = MARKS.replace("i.fill, i.text", "i.fillOpacity, i.text")


def marks(seen, name, *columns):
    "The numbers of a kind of mark, `(marks, columns)`: 0 and 1 are its place, 2 its width, 3 how far it is filled."
    return torch.tensor([[float(m[i]) for i in columns] for m in seen[f"{name}_marks"]], dtype=torch.float64)


def test_each_bit_keeps_a_number_of_its_own():
    "Twenty uniform numbers; with these a bit flips at most once, and then stays so."
    assert NOISE.shape == (1, 20) and (NOISE >= 0).all() and (NOISE < 1).all()
    assert abs(NOISE.mean() - .5) < 4*math.sqrt(1/12/20)
    flips = [(BinomialDiffusion(inverse_time(100)).q_sample(DATA, t, NOISE) != DATA)[0] for t in range(1, 101)]
    assert all((before <= after).all() for before, after in zip(flips, flips[1:])), "A bit flips back"


@pytest.mark.parametrize("part, T, bit", PLACES)
def test_bits_draw_the_jump_and_the_posterior(page, part, T, bit):
    show(page, BITS)
    for name, value in (("T", T), ("part", part), ("bit", bit)): move(page, name, value)
    seen = page.evaluate(OPACITY)
    t, d = max(1, math.floor(part*T + .5)), BinomialDiffusion(inverse_time(T))
    xt, p = d.q_sample(DATA, t, NOISE), d.q_marginal(DATA, t).probs[0]
    q = d.q_posterior(xt, DATA, t)

    left = 15*torch.arange(20, dtype=torch.float64)
    for name, shade, top in (("whispered", DATA, 16), ("shown", xt, 136), ("before", q.probs, 184)):
        want = torch.stack([left, left*0 + top, left*0 + 15, shade[0]], 1)
        assert_close(marks(seen, name, 0, 1, 2, 3), want, rtol=0, atol=1e-6)
    assert_close(marks(seen, "dot", 0, 1), torch.stack([left + 7.5, 112 - 50*NOISE[0]], 1), rtol=0, atol=1e-6)
    assert_close(marks(seen, "dash", 0, 1)[:, 1], 112 - 50*p, rtol=0, atol=1e-6)
    assert_close(marks(seen, "chosen", 0, 2), torch.tensor([[15.*bit, 15.]], dtype=torch.float64))

    s, sign = d.schedule, lambda x: 2*x[0, bit].item() - 1
    votes = {"seen": same_odds(s.alpha[t], s.beta[t]).item()*sign(xt),
             "told": same_odds(s.alpha_bar[t-1], s.beta_bar[t-1]).item()*sign(DATA)}
    votes["both"] = votes["seen"] + votes["told"]
    assert_close(votes["both"], q.logits[0, bit].item())
    across = lambda v: (min(8, max(-8, v)) + 8)*290/16
    for name, begin in (("seen", 0), ("told", votes["seen"]), ("both", 0)):
        end = votes["both"] if name != "seen" else votes["seen"]
        ends = sorted([across(begin), across(end)])
        assert_close(marks(seen, name, 0, 2)[0].tolist(), [ends[0], ends[1] - ends[0]], rtol=0, atol=1e-6)
    assert_close(marks(seen, "meter", 0, 2)[0].tolist(), [0., 290*q.probs[0, bit].item()], rtol=0, atol=1e-6)

    words = [m[4] for group in seen.values() for m in group if m[4]]
    flips = int((xt != DATA).sum())
    assert f"x at t = {t} of T = {T}, bits flipped: {flips}" in words
    said = [re.fullmatch(r"(?:the bit you (see|are told), ([01]), votes|(together)) (\S+)", w) for w in words]
    said = {m[1] or m[3]: (m[2], told(m[4])) for m in said if m}
    assert said["see"][0] == f"{xt[0, bit]:.0f}" and said["are told"][0] == f"{DATA[0, bit]:.0f}"
    for name, key in (("seen", "see"), ("told", "are told"), ("both", "together")):
        assert_close(said[key][1], votes[name], rtol=0, atol=.0051)
    chance, = (float(w.split(": ")[1]) for w in words if w.startswith("chance that it was a 1: "))
    assert_close(chance, q.probs[0, bit].item(), rtol=0, atol=.00051)
