"The living figures of 09_training: lines, curves and floors are what `dpm_nb` computes; and its box is its code."
import json
import math
import re

import pytest
import torch
from conftest import NBS, cells
from test_living import FIGURES, ITEMS, KIND, column, move, page, show, told
from torch.testing import assert_close

from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.oracle import Oracle
from dpm_nb.schedule import Schedule, linear
from dpm_nb.training import train

TWO_LINES, LEARNING = (name for name in FIGURES if name.startswith("09_training"))
FACES = torch.tensor([[-1.], [1.]], dtype=torch.float64)


def coin_at(left):
    "The coin after one step that leaves the share `left` of its power: the chain, its oracle and its two bells."
    d = GaussianDiffusion(Schedule(torch.tensor([1 - left, .9999], dtype=torch.float64)))
    return d, Oracle(d, FACES), [d.q_marginal(face[None], 1) for face in FACES]


def cost(d, bells, answer):
    "The mean square error of an answer to x_1, a sum over x from either face."
    total, noise = 0., torch.linspace(-9, 9, 6001, dtype=torch.float64)
    chance = torch.exp(-noise**2/2)/torch.exp(-noise**2/2).sum()
    for bell in bells:
        x = bell.mean.reshape(()) + bell.stddev.reshape(())*noise
        total += chance @ (noise - answer(x[:, None])[:, 0])**2/2
    return total


@pytest.mark.parametrize("left, k", [(.5, .3), (.5, .71), (.05, .97), (.95, .22), (.95, 0), (.3, 1.2)])
def test_two_lines_draws_the_oracle_and_the_cost(page, left, k):
    show(page, TWO_LINES)
    for name, value in (("A", left), ("k", k)): move(page, name, value)
    seen, (d, oracle, bells) = page.evaluate(ITEMS), coin_at(left)

    lines = column(seen["answers_marks"], "x", "y").reshape(2, -1, 2)
    x = torch.linspace(-3, 3, 121, dtype=torch.float64)
    for drawn, want in zip(lines, (oracle(x[:, None], 1)[:, 0], k*x)):
        assert_close(drawn[:, 0], (x + 3)*290/6, rtol=0, atol=1e-6)
        assert_close(drawn[:, 1], (3 - want)*260/6, rtol=1e-8, atol=1e-5)
    dashes = [str(i["dash"]) for i in seen["answers_marks"]]
    assert len(set(dashes)) == 2 and dashes[0] != dashes[-1]            # not by colour alone

    points, found = column(seen["true_marks"], "x", "y", "size"), 0
    place, size = torch.stack([points[:, 0]*6/290 - 3, 3 - points[:, 1]*6/260], 1), points[:, 2]
    for bell in bells:
        eps = (x - bell.mean.reshape(()))/bell.stddev.reshape(())
        for at, e, q in zip(x, eps, bell.log_prob(x[:, None]).exp()[:, 0]/2):
            if abs(e) > 3 - 1e-9: continue
            near = (place - torch.stack([at, e])).norm(dim=1)
            width = (size[near < 1e-6] - (.5 + 23.5*q/.9)).abs()
            assert len(width) and width.min() < 1e-6, f"No point of the line at {at:.2f}, {e:.2f}"
            found += 1
    assert found == len(points)

    floor, mine = cost(d, bells, lambda x: oracle(x, 1)), cost(d, bells, lambda x: k*x)
    height = lambda v: 170*(1 - v/1.5)
    assert_close(column(seen["floor_marks"], "y")[0, 0], height(floor), rtol=0, atol=.01)
    assert_close(column(seen["you_marks"], "x", "y")[0], torch.stack([torch.tensor(290*k/1.2).double(), height(mine)]), rtol=0, atol=1e-4)
    parabola = column(seen["costs_marks"], "x", "y")
    for across, y in parabola[::12]:
        assert_close(y, height(cost(d, bells, lambda x: across*1.2/290*x)), rtol=0, atol=1e-4)
    said = [i["text"] for name in ("said_yours", "said_line", "said_floor") for i in seen[f"{name}_marks"]]
    numbers = [told(n) for text in said for n in re.findall(r"\d+\.\d+", text)]
    line = math.sqrt(1 - left)
    want = [mine, cost(d, bells, lambda x: line*x), line, floor]
    assert_close(numbers, [float(v) for v in want], rtol=0, atol=.000501)
    assert numbers[0] >= numbers[1] >= numbers[3]                       # she never gets below the floor


def test_two_lines_holds_no_data():
    spec = FIGURES[TWO_LINES][2][KIND]
    assert {p["name"]: p["value"] for p in spec["params"]} == {"A": .5, "k": .3}
    assert all(rows == [{}] for rows in spec.get("datasets", {}).values())


@pytest.fixture(scope="module")
def distances():
    "How far a network of the coin is from the oracle after 1, 3, 10 and 32 steps, at each time."
    torch.manual_seed(0)
    d, t, found = GaussianDiffusion(linear(100)), torch.arange(1, 101).repeat_interleave(241), {}
    noise = torch.linspace(-6, 6, 241, dtype=torch.float64)
    chance, oracle = torch.exp(-noise**2/2)/torch.exp(-noise**2/2).sum(), Oracle(d, FACES)
    for run in train(d, MLP(1), FACES.float(), 1000, 256, uniform=1, device="cpu"):
        if run.step in (1, 3, 10, 32):
            found[run.step] = 0.
            for face in FACES:
                xt = d.q_sample(face.expand(len(t), 1), t, noise.repeat(100)[:, None])
                with torch.no_grad(): far = run.model(xt.float(), t).double() - oracle(xt, t)
                found[run.step] += far.square().reshape(100, 241) @ chance/2
        if run.step == 32: return found


@pytest.mark.parametrize("step", [1, 3, 10, 32, 100, 316, 1000])
def test_learning_draws_floor_and_distance(page, distances, step):
    show(page, LEARNING)
    move(page, "log_step", round(2*math.log10(step))/2)
    d, t = GaussianDiffusion(linear(100)), torch.arange(1, 101)
    z = torch.linspace(-9, 9, 3001, dtype=torch.float64)
    chance, oracle, floor = torch.exp(-z**2/2)/torch.exp(-z**2/2).sum(), Oracle(d, FACES), 0.
    for face in FACES:                                                  # the oracle's own loss
        when, eps = t.repeat_interleave(3001), z.repeat(100)[:, None]
        floor += d.loss(oracle, face.expand(len(when), 1), when, eps).reshape(100, 3001) @ chance/2
    heard = {}
    for shown in ("loss", "above the floor"):
        move(page, "shown", shown)
        seen = page.evaluate(ITEMS)
        drawn = column(seen["losses_marks"], "x", "y").reshape(2, 100, 2)
        assert_close(drawn[:, :, 0], (3*t.double()).expand(2, 100), rtol=0, atol=1e-6)
        none, network = (1 - drawn[:, :, 1]/220)*1.1
        if shown == "loss": assert_close(none, floor, rtol=0, atol=1e-4)
        else: assert_close(none, 0*none, rtol=0, atol=1e-9)
        heard[shown] = network - none
        assert (network >= none - 1e-9).all()
    assert_close(heard["loss"], heard["above the floor"], rtol=0, atol=1e-9)
    if step in distances: assert_close(heard["loss"], distances[step], rtol=.05, atol=2e-3)
    said = {name: i["text"] for name, items in seen.items() if name.startswith("said") for i in items}
    assert said["said_step_marks"] == f"steps: {step}"
    number = lambda name: told(said[name].split(": ")[1])
    assert_close(number("said_floor_marks"), floor.mean().item(), rtol=0, atol=.000501)
    assert_close(number("said_loss_marks"), (floor + heard["loss"]).mean().item(), rtol=0, atol=.000501)


def test_learning_comes_down_to_the_floor():
    "Of the large times first, and of the smallest last; what is stored are distances, and no floor."
    rows = FIGURES[LEARNING][2][KIND]["data"]["values"] if "data" in FIGURES[LEARNING][2][KIND] else None
    if rows is None: rows = max(FIGURES[LEARNING][2][KIND]["datasets"].values(), key=len)
    assert set(rows[0]) == {"log_step", "t", "above", "snr"} and len(rows) == 700
    above = torch.tensor([r["above"] for r in rows], dtype=torch.float64).reshape(7, 100)
    assert (above >= 0).all() and above[0].mean() > .5 and above[-1].mean() < .01
    for k in (3, 4): assert above[k, :5].mean() > 4*above[k, 50:].mean()
    snr = torch.tensor([r["snr"] for r in rows[:100]], dtype=torch.float64)
    assert_close(snr, linear(100).log_snr[1:].exp(), rtol=1e-5, atol=0)


def test_the_box_is_the_code():
    "Each line of Algorithm 1's box stands, letter by letter, in the cell that runs it."
    page = cells(NBS/"09_training.ipynb")
    place = next(i for i, c in enumerate(page) if c.source.startswith("## Algorithm 1"))
    box = [row.split("|")[3] for row in page[place].source.splitlines() if re.match(r"\| \d? ?\|", row)]
    code = [line for row in box for line in re.findall(r"`([^`]+)`", row)]
    assert len(code) == 8
    run = next(c for c in page[place:] if c.cell_type == "code").source
    assert not [line for line in code if line not in run]
    assert [run.index(line) for line in code] == sorted(run.index(line) for line in code)
