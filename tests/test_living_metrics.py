"The living figure of 12_metrics: what each metric makes of a loss is what `dpm_nb` measures on samples."
import math

import pytest
import torch
from test_living import FIGURES, ITEMS, column, move, page, show, told  # noqa: F401 (page is a fixture)
from torch.testing import assert_close

from dpm_nb.core import rng
from dpm_nb.data import Mixture, ring
from dpm_nb.metrics import coverage_floor, energy_distance, frechet, gaussian_frechet, mode_coverage

LOSSES = next((name for name in FIGURES if name.startswith("12_metrics")), None)
pytestmark = pytest.mark.skipif(LOSSES is None, reason="the figure is not stored")

RING = ring()
GONE = {"one bump": [0], "two opposite": [0, 4], "half the ring": [0, 1, 2, 3], "every other": [0, 2, 4, 6]}
NAMES = ["shares of the modes, bits", "Fréchet distance", "energy distance", "points off the modes", "modes missed",
         "bits/dim of real data"]
ROWS = """() => {
  const rows = Object.keys(view._runtime.data).map(n => view.data(n)).find(d => d.length == 6 && 'said' in d[0])
  return rows.map(r => [r.name, r.value, r.low, r.high, r.heard])
}"""


def left_of(who, lost):
    "The ring after its loss, and the shares of its bumps."
    f = torch.ones(8, dtype=torch.float64)
    f[GONE[who]] -= lost
    f, there = f/f.sum(), f > 0
    return Mixture(f[there], RING.means[there], RING.covs[there]), f


def answers(page, who, lost, size):
    "What the figure says: name, value, and the least and the most that real samples get."
    for name, value in (("who", who), ("lost", lost), ("size", size)): move(page, name, value)
    found = page.evaluate(ROWS)
    assert [row[0] for row in found] == NAMES
    value, low, high = torch.tensor([[math.inf if v is None else v for v in row[1:4]] for row in found], dtype=torch.float64).T
    assert [row[4] for row in found] == (value > high).tolist()
    return value, low, high


def gaps():
    "Mean distance of a point of bump 0 and one of bump k, by a sum over the plane."
    line = torch.linspace(-9, 9, 721, dtype=torch.float64)
    places = torch.cartesian_prod(line, line)
    mass = (-places.square().sum(1)/2).softmax(0)
    step = RING.means - RING.means[0]
    return torch.stack([(mass*(m + (2*RING.covs[0, 0, 0]).sqrt()*places).norm(dim=1)).sum() for m in step])


@pytest.mark.parametrize("who, lost, size", [("one bump", 0, 2), ("one bump", .5, 3), ("two opposite", .8, 2.7), ("half the ring", 1, 4),
                                             ("every other", .35, 3.3), ("every other", 1, 3)])
def test_answers_are_the_laws_and_what_chance_adds(page, who, lost, size):
    show(page, LOSSES)
    q, f = left_of(who, lost)
    n, w = round(10**size), RING.weight
    value, low, high = answers(page, who, lost, size)
    A = gaps()[(torch.arange(8)[:, None] - torch.arange(8)).abs()]
    found = lambda p: coverage_floor(p, n)
    bits, at_rest = torch.special.xlogy(f, f/w).sum()/math.log(2), answers(page, who, 0, size)[0]
    want = torch.stack([
        bits + found(RING).bits, gaussian_frechet(q.mean, q.cov, RING.mean, RING.cov) + at_rest[1],
        2*f @ A @ w - f @ A @ f - w @ A @ w + (f @ A @ f + w @ A @ w)/n,                # (12.9) and (12.11)
        torch.tensor(1 - found(RING).near), torch.tensor(8 - found(q).found), (w*(w/f).log2()).sum()/2])
    assert_close(value, want, rtol=1e-6, atol=1e-9)
    assert_close(at_rest[:1].item(), found(RING).bits, rtol=1e-9, atol=0)
    assert (low >= 0).all() and (low < high).all()

    answers(page, who, lost, size)
    seen = page.evaluate(ITEMS)
    texts = lambda name: [i["text"] for key, marks in seen.items() if key.startswith(f"{name}_marks") for i in marks]
    assert texts("name") == NAMES
    over = (value/high).clamp(.1, 1000)
    spots = {row: (sort, x) for sort in ("heard", "unheard") for key, marks in seen.items() if key.startswith(f"{sort}_marks")
             for row, x in ((round((i["y"]-23)/46), i["x"]) for i in marks)}
    assert [spots[row][0] == "heard" for row in range(6)] == (value > high).tolist()
    assert_close(torch.tensor([spots[row][1] for row in range(6)], dtype=torch.float64), (1 + over.log10())*330/4, rtol=0, atol=1e-6)
    grey = column(next(marks for key, marks in seen.items() if key.startswith("real")), "x", "x2").sort(1).values
    ends = torch.stack([(low/high).clamp(min=.1), torch.ones(6).double()], 1)
    assert_close(grey, (1 + ends.log10())*330/4, rtol=0, atol=1e-6)
    for row, (said, v, most) in enumerate(zip(texts("said"), value.tolist(), high.tolist())):
        number, limit = said.split(" more, real ± " if row == 5 else ", real up to ")
        near = dict(rtol=0, atol=.051) if row == 4 else dict(rtol=.051, atol=1e-12)
        assert_close(told(number), v, **near)
        assert_close(told(limit), 0. if row == 4 else most, rtol=.051, atol=0)
    dots = next(len(marks) for key, marks in seen.items() if key.startswith("cloud"))
    assert dots == 320 - round(len(GONE[who])*40*lost)


def drawn(q, n, draws, seed):
    "What the metrics say of samples, each against its own real sample; and of real data the extra bits."
    g, rows = rng(seed), []
    for _ in range(draws):
        x, real = q.sample(n, g), RING.sample(n, g)
        cover = mode_coverage(x, RING)
        rows.append([cover.bits, frechet(x, real), energy_distance(x, real), 1 - cover.near, 8 - cover.found,
                     (RING.log_prob(real.double()) - q.log_prob(real.double())).mean()/2/math.log(2)])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("who, lost, size", [("one bump", .6, 2.5), ("two opposite", .95, 2), ("every other", .5, 2.7)])
def test_samples_get_these_answers_on_average(page, who, lost, size):
    show(page, LOSSES)
    value, *_ = answers(page, who, lost, size)
    rows = drawn(left_of(who, lost)[0], round(10**size), 400, 1)
    error = rows.std(0)/20
    error[4] = (value[4]/400).sqrt()                        # a mode is seldom missed: a count, and not a bell
    assert ((rows.mean(0) - value).abs() < 5*error).all(), (rows.mean(0) - value)/error


@pytest.mark.parametrize("size", [2, 2.7])
def test_real_samples_lie_in_the_grey_nineteen_times_of_twenty(page, size):
    "The ends of the grey were drawn too, from a thousand samples, which doubles the variance of a count."
    show(page, LOSSES)
    value, low, high = answers(page, "one bump", 0, size)
    rows = drawn(RING, round(10**size), 600, 2)[:, :3]
    for part in (rows > high[:3], rows < low[:3]):
        share = part.double().mean(0)
        assert ((share - .025).abs() < 5*(.025*.975*(1/600 + 1/1000))**.5).all(), share


def heard_from(page, who, size):
    "The least share that must be lost until each metric hears it, in hundredths; 101 where none does."
    move(page, "who", who)
    move(page, "size", size)
    heard = [page.evaluate(f"view.signal('lost', {k/100}).runAsync().then({ROWS})") for k in range(101)]
    return [next((k for k in range(101) if heard[k][row][4]), 101) for row in range(6)]


def test_who_hears_first_and_who_never_does(page):
    "What the text after the figure says."
    show(page, LOSSES)
    bits, d2, energy, off, missed, extra = heard_from(page, "one bump", 3)
    assert bits < 50 <= min(d2, energy) and max(d2, energy) < 60 < extra < missed == 100 and off == 101
    bits, d2, energy, off, missed, extra = heard_from(page, "every other", 3)
    assert bits < extra < energy < missed and off == d2 == 101
    assert heard_from(page, "one bump", 2)[1:4] == [101]*3
    bits, d2, energy, off, missed, extra = heard_from(page, "every other", 4)
    assert bits < energy < extra and off == d2 == 101
