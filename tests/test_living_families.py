"The living figure of 13_families: four maps from a line to a line are what `dpm_nb` computes."
import math
import re

import pytest
import torch
from test_living import FIGURES, ITEMS, KIND, column, move, page, show  # noqa: F401 (page is a fixture)
from torch.distributions import Normal
from torch.testing import assert_close

from dpm_nb.core import rng
from dpm_nb.data import two_bumps
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.oracle import Oracle
from dpm_nb.sampling import ddim, ddim_terms
from dpm_nb.schedule import cosine

MAPS = next((name for name in FIGURES if name.startswith("13_families") and "Four maps" in FIGURES[name][2][KIND]["description"]), None)
pytestmark = pytest.mark.skipif(MAPS is None, reason="the figure is not stored")

PAIR = two_bumps(gap=8.)
(LEFT, RIGHT), WIDE = PAIR.means.flatten().tolist(), PAIR.covs[0, 0, 0].sqrt().item()
LO, HI = LEFT + 3*WIDE, RIGHT - 3*WIDE
BELL = Normal(torch.tensor(0.).double(), 1.)
Z = torch.linspace(-3, 3, 601, dtype=torch.float64)


def below(x):
    "The share of the data below x."
    return (PAIR.weight*Normal(PAIR.means[:, 0], WIDE).cdf(x[..., None])).sum(-1)


def place(items, x="x", y="y"):
    "From pixels of a panel of 126 x 165 to noise and point."
    pixels = column(items, x, y)
    return pixels[:, 0]/21 - 3, 2 - pixels[:, 1]*4.6/165


def panels(page):
    "By panel: the curve `(601,)`, where z goes `(2,)`, the three shares from above and how they are told, and a VAE's band."
    found = {}
    for key, items in page.evaluate(ITEMS.replace("text: i.text", "text: i.text, whole: i.datum?.whole")).items():
        name, kind = key.split("_layer_")[0], [i for i in items if i.get("text")]
        one = found.setdefault(name, {})
        tall = [i for i in items if i.get("y2") is not None]
        if kind: one.setdefault("said", []).extend((i["y"], i["text"], i["whole"]) for i in kind)
        elif len(items) == 601 and not tall: one["z"], one["curve"] = place(items)
        elif len(items) == 601 and len({round(i["y"], 3) for i in items}) > 1:
            one["band"] = torch.stack([place(items)[1], place(items, "x", "y2")[1]], 1).sort(1).values
        elif len(items) == 1 and items[0].get("size"): one["dot"] = torch.stack([v[0] for v in place(items)])
    for one in found.values():
        assert_close(one["z"], Z, rtol=0, atol=1e-9)
        _, one["said"], one["shares"] = zip(*sorted(one["said"]))
    return found


def agrees(said, share):
    "A share is told in whole per cent, and at its ends as little or nearly all."
    if said == "< 1 %": return share < .01 + 1e-4
    if said == "> 99 %": return share > .99 - 1e-4
    return abs(float(re.fullmatch(r"(\d+) %", said)[1]) - 100*share) < .51


def turned(turn):
    a, b = (torch.randn(50, generator=rng(k)).double() for k in (0, 1))
    return math.cos(math.radians(turn))*a + math.sin(math.radians(turn))*b


def walk(eta, turn):
    "Where fifty strides carry each z, by the rule of 10 and the oracle of 07."
    d = GaussianDiffusion(cosine(50), "x0", "posterior")
    oracle, x = Oracle(d, PAIR), Z[:, None]
    for t, strides, eps in zip(range(50, 0, -1), ddim_terms(d.schedule, [*range(50, -1, -1)], eta), turned(turn)):
        keep, pull, std = strides.tolist()
        if eta == 1:                                        # Algorithm 2 itself
            step = d.p_step(oracle, x, t)
            x = step.mean + step.stddev*eps
        else: x = keep*x + pull*oracle.x0(x, torch.tensor(t)) + std*eps
    return x[:, 0]


@pytest.mark.parametrize("z, eta, turn", [(-.6, 0, 0), (-.43, .3, 60), (1.2, .62, 213), (2.99, 1, 90), (0, 1, 301)])
def test_each_curve_is_its_map(page, z, eta, turn):
    show(page, MAPS)
    for name, value in (("z", z), ("eta", eta), ("turn", turn)): move(page, name, value)
    seen = panels(page)
    assert list(seen) == ["GAN", "VAE", "flow", "chain"]
    here, noise = round(100*(z + 3)), turned(turn)[0]
    sigma = next(p["value"] for p in FIGURES[MAPS][2][KIND]["params"] if p["name"] == "sigma")

    assert_close(below(seen["flow"]["curve"]), BELL.cdf(Z), rtol=0, atol=1e-7)
    x = seen["flow"]["curve"]
    slope = (BELL.log_prob(Z) - PAIR.log_prob(x[:, None])).exp()    # (13.1), away from the leap
    calm = slope < 2
    rise = (x[2:] - x[:-2])/.02
    assert calm.sum() > 300
    assert_close(rise[calm[1:-1]], slope[1:-1][calm[1:-1]], rtol=.01, atol=0)

    assert_close(seen["chain"]["curve"], walk(eta, turn), rtol=0, atol=2e-3)
    if not eta:
        d = GaussianDiffusion(cosine(50), "x0")
        *_, (_, x) = ddim(d, Oracle(d, PAIR), xT=Z[:, None], steps=50)
        assert_close(seen["chain"]["curve"], x[:, 0], rtol=0, atol=1e-5)
        assert (below(seen["chain"]["curve"]) - BELL.cdf(Z)).abs().max() < .02

    for name, one in seen.items():
        curve = one["curve"]
        want = curve[here] + sigma*noise*(name == "VAE")
        assert_close(one["dot"], torch.stack([Z[here], want]), rtol=0, atol=1e-4)
        assert ("band" in one) == (name == "VAE")
        fine = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
        low = (fine.clamp(max=2.9999) + 3).div(.01).floor().long()
        x = torch.lerp(curve[low], curve[low+1], (fine - Z[low])/.01)
        mass = BELL.log_prob(fine).softmax(0)
        if name == "VAE": parts = [(mass*Normal(x, sigma).cdf(torch.tensor(edge))).sum() for edge in (LO, HI)]
        elif name == "flow": parts = below(torch.tensor([LO, HI]).double())
        else: parts = [(mass*(x < edge)).sum() for edge in (LO, HI)]
        a, b = (float(v) for v in parts)
        shares = torch.tensor([one["shares"], [100*(1-b), 100*(b-a), 100*a]], dtype=torch.float64)
        assert_close(*shares, rtol=0, atol=.02)
        assert all(map(agrees, one["said"], (1-b, b-a, a))), (name, one["said"], a, b)
    assert_close(seen["VAE"]["band"], seen["VAE"]["curve"][:, None] + 2*sigma*torch.tensor([-1., 1.]).double(), rtol=0, atol=1e-6)


def test_tables_are_of_trained_maps_and_the_rest_is_computed():
    spec = FIGURES[MAPS][2][KIND]
    table = torch.tensor([[float(v) for v in row.split(",")] for row in spec["data"]["values"].splitlines()[1:]], dtype=torch.float64)
    assert spec["data"]["values"].startswith("z,gan,vae\n") and table.shape == (601, 3)
    assert not [rows for rows in spec.get("datasets", {}).values() if len(rows) > 2]
    mass = BELL.log_prob(Z).softmax(0)
    for made in table[:, 1:].T:                             # what the text says: both modes are found
        assert abs((mass*(made > LO)).sum() - 2/3) < .1


def test_the_text_tells_the_curves(page):
    "A flow rises; a GAN goes up and down and leaves out a mode's top; a VAE falls; and fresh noise leaves z little to decide."
    show(page, MAPS)
    move(page, "eta", 1)
    curves, sides = {name: one["curve"] for name, one in panels(page).items()}, set()
    rises = {name: (x.diff() > 0).double().mean().item() for name, x in curves.items()}
    assert rises["flow"] == 1 and .2 < rises["GAN"] < .8 and curves["GAN"].max() < RIGHT + 1.2*WIDE
    top = curves["VAE"].argmax()
    assert (curves["VAE"][top:].diff() < 0).double().mean() > .95 and Z[top] < 0
    flat = 0
    for turn in range(0, 360, 30):
        move(page, "turn", turn)
        x = panels(page)["chain"]["curve"]
        flat += (x.max() - x.min() < .1).item()
        sides.add((x[0] > (LO + HI)/2).item())
    assert sides == {True, False} and flat >= 10
