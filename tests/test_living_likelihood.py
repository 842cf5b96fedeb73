"The living figure of 11_likelihood: its grid, its shade and its curves are what `dpm_nb` computes."
import pytest
import torch
from test_living import FIGURES, KIND, move, page, show
from test_living_oracle import ITEMS, column
from torch.distributions import Normal
from torch.testing import assert_close

from dpm_nb.data import Mixture
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.likelihood import angle, flow, log_likelihood, path_weights, probe_vectors
from dpm_nb.oracle import Oracle
from dpm_nb.schedule import cosine

GRID = next(name for name in FIGURES if name.startswith("11_likelihood"))
SPEC = FIGURES[GRID][2][KIND]
GIVEN = {p["name"]: p["value"] for p in SPEC["params"] if "value" in p}
D = GaussianDiffusion(cosine(1000), "score")
THREE = Mixture(torch.tensor(GIVEN["w"]), torch.tensor(GIVEN["m"]), .4**2*torch.eye(2))
SIDE = 310
WITH_SHADE = ITEMS.replace("text: i.text", "text: i.text, opacity: i.opacity")


def noised(t):
    "The mixture at time t."
    bar = D.schedule.alpha_bar[t]
    return Mixture(THREE.weight, bar.sqrt()*THREE.means, bar*THREE.covs + (1-bar)*torch.eye(2))


def plane(pixels):
    "From pixels of the square to places from -3 to 3."
    return torch.stack([pixels[:, 0]*6/SIDE - 3, 3 - pixels[:, 1]*6/SIDE], 1)


@pytest.fixture(scope="module")
def carried():
    "Places of the grid, where they are at the times 0, 50, ..., 1000, and the logarithm of their growth."
    place = torch.cartesian_prod(torch.arange(21), torch.arange(21))
    place = place[(place % 2 == 0).any(1)]
    x0, phi = place.double()/5 - 2, angle(D.schedule)
    steps = [(x, z.sum(0)) for _, x, z in flow(D, Oracle(D, THREE), x0, probe=probe_vectors)]
    x = torch.stack([x0, *(x for x, _ in steps)])
    rates = torch.stack([torch.zeros(len(x0), dtype=torch.float64), *(z.double() for _, z in steps)])
    grown = torch.stack([path_weights(phi[:t+1]) @ rates[:t+1] if t else rates[0] for t in range(0, 1001, 50)])
    return place, x[::50], grown


def test_grid_holds_the_flow(carried):
    "Positions and growth, to three decimals; and the growth is what the densities say, from end to end and on the way."
    place, x, grown = carried
    lines = SPEC["data"]["values"].splitlines()
    assert lines[0].split(",") == ["i", "j", *(f"{c}{k}" for c in "xyg" for k in range(21))]
    held = torch.tensor([[float(v) for v in line.split(",")] for line in lines[1:]], dtype=torch.float64)
    assert_close(held[:, :2], place.double())
    assert_close(held[:, 2:].T, torch.cat([x[..., 0], x[..., 1], grown]), rtol=0, atol=.00051)
    for k, t in enumerate(range(0, 1001, 50)):
        here = noised(t).log_prob(x[k])
        assert_close(here + grown[k], THREE.log_prob(x[0]), rtol=0, atol=2e-3)
    assert_close(log_likelihood(D, Oracle(D, THREE), x[0]), THREE.log_prob(x[0]), rtol=0, atol=1e-3)
    assert_close(torch.tensor(GIVEN["bars"], dtype=torch.float64), D.schedule.alpha_bar[::50], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("t, u, v", [(300, 0, 0), (0, -1.2, -.4), (50, .4, 1.2), (600, 2, -2), (1000, -.4, 0)])
def test_grid_draws_the_flow(page, carried, t, u, v):
    show(page, GRID)
    for name, value in (("t", t), ("u", u), ("v", v)): move(page, name, value)
    seen, (place, x, grown) = page.evaluate(WITH_SHADE), carried
    k, q = t//50, noised(t)

    for name, along, across in (("along_i_marks", 0, 1), ("along_j_marks", 1, 0)):
        drawn = plane(column(seen[name], "x", "y"))
        rows = [(a, n) for n, p in enumerate(place.tolist()) if p[across] % 2 == 0 for a in [(p[across], p[along])]]
        assert len(drawn) == len(rows) == 11*21
        lines = x[k][[n for _, n in sorted(rows)]].reshape(11, 21, 2)
        got = {tuple((line[0]*500).round().tolist()): line for line in drawn.reshape(11, 21, 2)}
        for line in lines:
            near = min(got.values(), key=lambda other: (other - line).norm())
            assert_close(near, line, rtol=0, atol=.00051 + 1e-6)

    me = next(n for n, p in enumerate(place.tolist()) if p == [round(5*u+10), round(5*v+10)])
    assert_close(plane(column(seen["you_marks"], "x", "y"))[0], x[k][me], rtol=0, atol=.00052)

    tiles = seen["density_marks"]
    assert len(tiles) == 48*48
    n, middle = torch.arange(48*48), lambda n: (n.double() + .5)/8 - 3
    here = torch.stack([middle(n % 48), middle(n // 48)], 1)
    box = column(tiles, "x", "y", "width")
    assert_close(plane(box[:, :2] + box[:, 2:]/2), here, rtol=0, atol=1e-6)
    shade = torch.tensor([i["opacity"] for i in tiles], dtype=torch.float64)
    assert_close(shade, .7*(2*q.log_prob(here).exp()).sqrt(), rtol=1e-4, atol=1e-4)

    curves = column(seen["curves_marks"], "x", "y").reshape(3, 21, 2)
    density = torch.stack([noised(50*j).log_prob(x[j][me]) for j in range(21)])
    want = [density, grown[:, me], density + grown[:, me]]
    across = torch.arange(21).double()*230/20
    assert_close(curves[..., 0], across.expand(3, 21), rtol=0, atol=1e-6)
    heights = torch.stack(want).flatten()
    drawn = curves[..., 1].flatten()
    slope, start = torch.linalg.lstsq(torch.stack([heights, torch.ones_like(heights)], 1), drawn[:, None]).solution[:, 0]
    assert slope < 0                                             # up is more
    assert_close((drawn - start)/slope, heights, rtol=0, atol=.006)
    ends = torch.stack(want)[:, k]
    dots = column(seen["now_marks"], "x", "y")
    assert_close(dots[:, 0], across[k].expand(3), rtol=0, atol=1e-6)
    assert_close((dots[:, 1].sort().values - start)/slope, ends.sort(descending=True).values, rtol=0, atol=.006)
    assert_close(Normal(0., 1.).log_prob(x[-1][me]).sum(), density[-1], rtol=0, atol=1e-3)
