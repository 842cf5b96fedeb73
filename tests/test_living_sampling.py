"The living figures of 10_sampling: five mistakes and their bits, and two hundred paths, are what `dpm_nb` computes."
import itertools
import json
import math
import re
import warnings

import pytest
import torch
from test_living import FIGURES, ITEMS, KIND, MARKS, move, page, show, told
from torch.testing import assert_close

from dpm_nb.core import rng
from dpm_nb.data import Mixture, ring
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.oracle import Oracle
from dpm_nb.sampling import ddim, timesteps
from dpm_nb.schedule import linear

BROKEN, PATHS = (name for name in FIGURES if name.startswith("10_sampling"))
SIDES = dict(coarse=(-.4, .5), fine=(.2, .02))
FAULTS = "last", "root", "late", "halved", "flat"
SIGNALS = "values => { for (const [k, v] of Object.entries(values)) view.signal(k, v); return view.runAsync().then(() => true) }"


def schedule(T, flat):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return linear(T, .1*T/1000, 20*T/1000) if flat else linear(T)


def end_of(side, T, ticked):
    "Mean and variance at the end of a walk, step by step with the oracle's answers, and its damage in bits."
    s, (m, sd) = schedule(T, "flat" in ticked), SIDES[side]
    known = ((m+1)/2, sd/2) if "halved" in ticked else (m, sd)
    data = Mixture(torch.ones(1).double(), torch.tensor([[known[0]]]).double(), torch.tensor([[[known[1]**2]]]).double())
    oracle = Oracle(GaussianDiffusion(s, "x0", "beta"), data)
    t = torch.arange(1, T+1)
    at0 = oracle.x0(torch.zeros(T, 1).double(), t)[:, 0]
    at1 = oracle.x0(torch.ones(T, 1).double(), t)[:, 0]
    mean, var = 0., 1.
    for k in range(T, 0, -1):
        beta, bar = s.beta[k].item(), s.alpha_bar[k].item()
        read = s.alpha_bar[min(k+1, T)].item() if "late" in ticked else bar
        def step(x, x0): return (x - beta/math.sqrt(1-read)*(x - math.sqrt(bar)*x0)/math.sqrt(1-bar))/math.sqrt(1-beta)
        off, slope = step(0, at0[k-1].item()), step(1, at1[k-1].item()) - step(0, at0[k-1].item())
        noise = 0 if k == 1 and "last" not in ticked else beta if "root" in ticked else math.sqrt(beta)
        mean, var = slope*mean + off, slope**2*var + noise**2
    bits = ((sd**2 + (mean - m)**2)/var - 1 + math.log(var/sd**2))/2/math.log(2)
    return mean, var, bits


def said(page, side):
    "What stands below a panel: mean, deviation, and bits (None where none are told) of the data, the right walk and yours."
    words = {m[4] for name, marks in page.evaluate(MARKS).items() if name.startswith(f"{side}_told") for m in marks if m[4]}
    found = {}
    for text in words:
        who, mean, sd, bits = re.fullmatch(r"(.+): (\S+) ± (\S+?)(?:, (.+) bits)?", text).groups()
        found[who] = told(mean), told(sd), bits
    return found


def agrees(page, T, ticked):
    for side, (m, sd) in SIDES.items():
        seen = said(page, side)
        assert seen["the data"] == (m, sd, None)
        for who, faults in (("the right walk", ()), ("your walk", ticked)):
            mean, var, bits = end_of(side, T, faults)
            assert_close(seen[who][:2], (mean, math.sqrt(var)), rtol=0, atol=.00501)
            assert_close(seen[who][1], math.sqrt(var), rtol=0, atol=.000501)
            if seen[who][2] == "below 0.0001": assert bits < 1e-4
            else: assert_close(told(seen[who][2]), bits, rtol=.051 if bits < 10 else 1e-6, atol=.501 if bits >= 10 else 0)


@pytest.mark.parametrize("T", [20, 50, 200, 1000])
def test_every_mixture_of_mistakes_costs_what_is_said(page, T):
    show(page, BROKEN)
    for k in range(6):
        for ticked in itertools.combinations(FAULTS, k):
            page.evaluate(SIGNALS, {"T": T} | {name: name in ticked for name in FAULTS})
            agrees(page, T, ticked)


def test_a_reader_ticks_a_mistake_and_the_bells_move(page):
    show(page, BROKEN)
    agrees(page, 200, ("last",))
    move(page, "last", False)
    move(page, "T", 50)
    for fault in (None, *FAULTS):
        if fault: move(page, fault, True)
        ticked = (fault,)*bool(fault)
        agrees(page, 50, ticked)
        seen = page.evaluate(MARKS)
        for side, (m, sd) in SIDES.items():
            drawn = [torch.tensor([p[:2] for p in marks], dtype=torch.float64)
                     for name, marks in seen.items() if name.startswith(f"{side}_layer")]
            drawn = torch.cat(drawn).reshape(3, -1, 2)
            u = torch.linspace(-5, 5, 201, dtype=torch.float64)
            ends = [(m, sd**2), end_of(side, 50, ())[:2], end_of(side, 50, ticked)[:2]]
            for curve, (mean, var) in zip(drawn, ends):
                high = sd*torch.exp(-(m + u*sd - mean)**2/2/var)/math.sqrt(2*math.pi*var)
                assert_close(curve[:, 0], (u + 5)*30, rtol=0, atol=1e-6)
                assert_close(curve[:, 1], 170*(1 - high/.65), rtol=1e-4, atol=1e-3)
        if fault: move(page, fault, False)


def test_the_mistakes_are_computed_and_not_stored():
    spec = FIGURES[BROKEN][2][KIND]
    assert not [rows for rows in spec.get("datasets", {}).values() if len(rows) > 1] and len(json.dumps(spec)) < 40_000


def paths(n, eta):
    q, d = ring(), GaussianDiffusion(linear(1000), "x0", "posterior")
    xT = torch.randn(200, 2, dtype=torch.float64, generator=rng(0))
    return torch.stack([xT, *(x for _, x in ddim(d, Oracle(d, q), None, rng(100), xT=xT, steps=n, eta=eta))], 1)


def plane(items, x="x", y="y"):
    "From pixels of the square of 300 x 300 to places from -3 to 3."
    return torch.stack([torch.tensor([i[x]/50 - 3 for i in items]), torch.tensor([3 - i[y]/50 for i in items])], 1).double()


@pytest.mark.parametrize("n, part", [(5, 0), (5, .6), (10, 1), (15, .35), (25, 1), (25, .5)])
def test_paths_are_the_samplers(page, n, part):
    show(page, PATHS)
    for name, value in (("n", n), ("part", part), ("who", 42)): move(page, name, value)
    seen, k = page.evaluate(ITEMS), math.floor(part*n + .5)
    q, d = ring(), GaussianDiffusion(linear(1000), "x0", "posterior")
    oracle, times = Oracle(d, q), timesteps(1000, n)
    line = -2.7 + .6*torch.arange(10, dtype=torch.float64)
    for side, eta in (("noisy", 1.), ("still", 0.)):
        want = paths(n, eta)[:, :k+1]
        assert_close(plane(seen[f"{side}_dots_marks"]), want[:, k], rtol=0, atol=.00501)
        drawn = plane(seen[f"{side}_paths_marks"]).reshape(200, k+1, 2)
        assert_close(drawn, want, rtol=0, atol=.00501)
        assert_close(plane(seen[f"{side}_yours_marks"]), want[41], rtol=0, atol=.00501)
        arrows = seen.get(f"{side}_field_marks", [])
        if k == n:
            assert not arrows
            continue
        ends = torch.cat([plane(arrows), plane(arrows, "x2", "y2")], 1)
        t, s = times[k:k+2]
        grid = torch.cartesian_prod(line, line).flip(1)
        stride = ddim(d, lambda x, t: oracle.x0(x, t), xT=grid, steps=[t, s, 0] if s else [t, 0])
        where = next(stride)[1] if eta == 0 else None
        if where is None:
            bar_t, bar_s = d.schedule.alpha_bar[t], d.schedule.alpha_bar[s]
            keep = (bar_t/bar_s).sqrt()*(1-bar_s)/(1-bar_t)             # (3.5), with alpha_bar_t over alpha_bar_s for alpha
            pull = bar_s.sqrt()*(1 - bar_t/bar_s)/(1-bar_t)
            where = keep*grid + pull*oracle.x0(grid, torch.full((100,), t))
        assert_close(ends, torch.cat([grid, where], 1), rtol=0, atol=2e-3)


def test_no_walker_of_ddim_leaves_its_sector():
    "On the line half-way between two bumps the plane is its own mirror image."
    for n in (1, 2, 5, 10, 25):
        for seed in range(3):
            q, d = ring(), GaussianDiffusion(linear(1000), "x0")
            xT = torch.randn(500, 2, dtype=torch.float64, generator=rng(seed))
            *_, (_, x) = ddim(d, Oracle(d, q), xT=xT, steps=n)
            assert torch.equal(torch.cdist(x, q.means).argmin(1), torch.cdist(xT, q.means).argmin(1))
