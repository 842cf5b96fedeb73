"The living chain of the home page: what it draws is the jump on the left, and on the right a walk that ends on the roll."
import pytest
import torch
from test_living import FIGURES, KIND, MARKS, move, page, show  # noqa: F401 (page is a fixture)
from torch.testing import assert_close

from dpm_nb.data import swiss_density
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import cosine

ROLL = next(name for name in FIGURES if name.startswith("index"))


def drawn(page, panel):
    "The dots of a panel and its three shapes, in the plane."
    seen = page.evaluate(MARKS)
    marks = [m for name in (f"{panel}_marks", f"{panel}_shapes_marks") for m in seen[name]]
    assert len(marks) == 300
    return torch.tensor([[x*5.8/280 - 2.9, 2.9 - y*5.8/280] for x, y, *_ in marks], dtype=torch.float64)


def stored():
    "Data and noise of each point, the three shapes last, as they are drawn."
    lines = FIGURES[ROLL][2][KIND]["data"]["values"].splitlines()
    assert lines[0].startswith("k,u,v,eps_u,eps_v,x0,y0,x8")
    table = torch.tensor([[float(v) for v in line.split(",")] for line in lines[1:]], dtype=torch.float64)
    return table[torch.arange(3, 303) % 300]


@pytest.mark.parametrize("t", [0, 8, 64, 192, 200])
def test_both_ways(page, t):
    show(page, ROLL)
    move(page, "t", t)
    table = stored()
    x0, eps = table[:, 1:3], table[:, 3:5]
    d = GaussianDiffusion(cosine(200))
    there, back = drawn(page, "there"), drawn(page, "back")
    assert_close(there, d.q_sample(x0, t, eps) if t else x0, rtol=0, atol=1e-3)   # the last alpha is kept above 0.001
    assert_close(back, table[:, 5 + t//4:7 + t//4], rtol=0, atol=1e-9)
    if t == 200: assert_close(back, there, rtol=0, atol=1e-9)


def test_the_walk_ends_on_the_roll_and_nowhere_near_home():
    table = stored()
    start, end = table[:, 1:3], table[:, 5:7]
    near = swiss_density().log_prob(end) > swiss_density().log_prob(start).min() - 5
    assert near.double().mean() > .9
    assert (end - start).norm(dim=1).median() > 1
