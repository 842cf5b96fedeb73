"The living figure of 07_oracle: its arrows, circles and bars are what `dpm_nb` computes."
import math
import re

import pytest
import torch
from test_living import FIGURES, ITEMS, column, move, page, show, told
from torch.testing import assert_close

from dpm_nb.data import ring
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.oracle import Oracle
from dpm_nb.schedule import linear

RING = next(name for name in FIGURES if name.startswith("07_oracle"))


def plane(pixels):
    "From pixels of the square of 300 x 300 to places from -2.6 to 2.6."
    return torch.stack([pixels[:, 0]*5.2/300 - 2.6, 2.6 - pixels[:, 1]*5.2/300], 1)


def sorted_rows(rows):
    "Rows in the order of their places, up and then across."
    keys = (rows[:, 1]*1e4).round()*1e6 + (rows[:, 0]*1e4).round()
    return rows[keys.argsort()]


@pytest.mark.parametrize("t, u, v", [(150, .4, .3), (1, -2.4, 2.4), (30, 1.4, -.2), (60, 1.9, -1.2), (400, 0, 1), (800, 2.4, -2.4), (1000, -.1, 0)])
def test_ring_draws_the_oracle(page, t, u, v):
    show(page, RING)
    for name, value in (("t", t), ("u", u), ("v", v)): move(page, name, value)
    seen = page.evaluate(ITEMS)
    d, q = GaussianDiffusion(linear(1000)), ring()
    oracle, noised = Oracle(d, q), Oracle(d, q).marginal(t)
    you = torch.tensor([[u, v]], dtype=torch.float64)

    line = torch.linspace(-2.4, 2.4, 11, dtype=torch.float64)
    for name, places in (("field", torch.cartesian_prod(line, line)), ("yours", you)):
        arrows = seen[f"{name}_marks"]
        ends = torch.cat([plane(column(arrows, "x", "y")), plane(column(arrows, "x2", "y2"))], 1)
        want = torch.cat([places, oracle.x0(places, t)], 1)
        assert_close(sorted_rows(ends), sorted_rows(want), rtol=0, atol=2e-4)
        far = want[:, 2:] - places
        long = far.norm(dim=1)
        heads = seen.get(f"{name}_head_marks", [])
        assert (long > .031).sum() <= len(heads) <= (long > .029).sum()
        if not heads: continue
        at, turn = plane(column(heads, "x", "y")), torch.deg2rad(column(heads, "angle"))
        for place, angle in zip(at, turn):                              # a head looks along its arrow
            near = (want[:, 2:] - place).norm(dim=1).argmin() if name == "yours" else None
            along = torch.stack([angle.sin(), angle.cos()], 1)[0]
            if near is not None: assert_close(along, far[near]/long[near], rtol=0, atol=1e-2)
            else: assert (((want[:, 2:] - place).norm(dim=1) < 4e-4) & ((far/long[:, None] - along).norm(dim=1) < .05)).any()

    log_terms = noised.terms(you)[0].reshape(-1)
    share = log_terms.softmax(0)
    width = column(seen["shares_marks"], "width")[:, 0]
    assert_close(width/210, share, rtol=0, atol=2e-5)
    assert_close(torch.tensor([told(i["text"]) for i in seen["numbers_marks"]], dtype=torch.float64), share, rtol=0, atol=.00501)

    for name, p in (("still", q), ("moved", noised)):
        circles = seen[f"{name}_marks"]
        assert_close(plane(column(circles, "x", "y")), p.means.reshape(8, 2), rtol=0, atol=1e-5)
        radius = column(circles, "size")[:, 0].sqrt()/2*5.2/300
        assert_close(radius, p.covs.reshape(-1, 2, 2)[0, 0, 0].sqrt().expand(8), rtol=1e-4, atol=0)

    words = [i["text"] for name, marks in seen.items() if name.startswith("told") for i in marks]
    bar, radius = re.fullmatch(r"ᾱ = (\S+), a dashed radius is (\S+)", words[0]).groups()
    assert_close(told(bar), d.schedule.alpha_bar[t].item(), rtol=0, atol=.000501)
    assert_close(told(radius), (d.schedule.alpha_bar[t]*q.covs[0, 0, 0] + d.schedule.beta_bar[t]).sqrt().item(), rtol=0, atol=.00501)
    said = re.fullmatch(r"you: \((\S+), (\S+)\)\s+answer: \((\S+), (\S+)\)", words[1]).groups()
    want = [u, v, *oracle.x0(you, t)[0].tolist()]
    assert_close([told(w) for w in said], [float(w) for w in want], rtol=0, atol=.00501)


def test_ring_figure_holds_positions_and_noise_alone():
    "Nothing else is computed before: the eight centres, their width, and alpha_bar at each time."
    from test_living import KIND
    spec = FIGURES[RING][2][KIND]
    given = {p["name"]: p["value"] for p in spec["params"] if "value" in p}
    q, s = ring(), linear(1000)
    assert set(given) == {"t", "u", "v", "m", "alpha_bar", "c"}
    assert_close(torch.tensor(given["m"], dtype=torch.float64), q.means, rtol=0, atol=1e-6)
    assert_close(torch.tensor(given["alpha_bar"], dtype=torch.float64), s.alpha_bar, rtol=1e-5, atol=0)
    assert math.isclose(given["c"], q.covs[0, 0, 0].item(), rel_tol=1e-6)
    rows = [d for d in spec.get("datasets", {}).values()]
    assert not rows or max(map(len, rows)) <= 1
