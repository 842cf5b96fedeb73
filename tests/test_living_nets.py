"The living figure of 08_nets: its hands and its curve are what `time_embedding` computes."
import pytest
import torch
from test_living import FIGURES, ITEMS, column, move, page, show, told
from torch.testing import assert_close

from dpm_nb.nets import time_embedding

CLOCK = next(name for name in FIGURES if name.startswith("08_nets"))
WIDE, HIGH = 290, 178


def code(t, slowest): return time_embedding(torch.as_tensor(t).reshape(-1), 16, slowest).double()


@pytest.mark.parametrize("t, s, E", [(500, 501, 4), (500, 900, 4), (1, 1000, 1), (37, 37, 2.5), (999, 12, 3.25)])
def test_clock_draws_the_code_of_two_times(page, t, s, E):
    show(page, CLOCK)
    for name, value in (("t", t), ("s", s), ("power", E)): move(page, name, value)
    seen, slowest = page.evaluate(ITEMS), 10.**E

    rules = next(items for name, items in seen.items() if "dials" in name and items and "x2" in items[0] and len(items) == 16)
    ends = column(rules, "x", "y", "x2", "y2")
    unit = torch.tensor([WIDE/4, HIGH/2.45], dtype=torch.float64)            # pixels for a length of 1
    tips = (ends[:, 2:] - ends[:, :2])/unit*torch.tensor([1., -1.])/.37      # up is the cosine
    i = torch.arange(8)
    middle = torch.stack([(i % 4 + .5)*unit[0], (.5 + 1.25*(i//4))*unit[1]], 1).double()
    for time in (t, s):
        sines, cosines = code(time, slowest)[0].chunk(2)
        want = torch.cat([middle, torch.stack([sines, cosines], 1)], 1)
        drawn = torch.cat([ends[:, :2], tips], 1)
        missed = torch.cdist(want, drawn, p=float("inf")).amin(1)
        assert missed.max() < 1e-3, f"no hand shows t = {time}"

    words = [item["text"] for items in seen.values() for item in items if item["text"]]
    turns = [f"{v:,.0f}" for v in 2*torch.pi*slowest**(i.double()/8)]
    assert [w for w in words if w.replace(",", "").isdigit()][:8] == turns

    curve = next(items for items in seen.values() if len(items) == 1001)
    got = column(curve, "x", "y")
    gap = torch.arange(1001, dtype=torch.float64)
    alike = code(gap.float(), slowest) @ code(0, slowest)[0]/8
    assert_close(got[:, 0], gap*WIDE/1000, rtol=0, atol=1e-6)
    assert_close(got[:, 1], HIGH*(1 - alike)/2, rtol=0, atol=.02)
    likeness = (code(t, slowest) @ code(s, slowest).T).item()/8
    point = next(items for name, items in seen.items() if "likeness" in name and len(items) == 1)
    assert_close([float(point[0]["x"]), float(point[0]["y"])], [float(abs(t - s)*WIDE/1000), HIGH*(1 - likeness)/2], rtol=0, atol=.02)
    title = page.locator("svg text", has_text="likeness of").first.text_content()
    assert_close(told(title.split(": ")[1]), likeness, rtol=0, atol=.0051)
