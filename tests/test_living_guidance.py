"The living figure of 10c_guidance: its bells are those that exact recursions through `dpm_nb` end with."
import math
import re

import pytest
import torch
from test_living import FIGURES, ITEMS, column, move, page, show, told  # noqa: F401 (page is a fixture)
from torch.distributions import Normal
from torch.testing import assert_close

from dpm_nb.data import gaussian
from dpm_nb.gaussian import GaussianDiffusion, posterior_terms
from dpm_nb.nets import guided
from dpm_nb.oracle import Oracle
from dpm_nb.sampling import ddim_terms
from dpm_nb.schedule import cosine

BELLS = next((name for name in FIGURES if name.startswith("10c_guidance")), None)
pytestmark = pytest.mark.skipif(BELLS is None, reason="the figure is not stored")


def walked(T, g, r, rho):
    "Mean and variance at the end of a chain of T steps in r rounds; r = 1/2 is the flow."
    s = cosine(T)
    d = GaussianDiffusion(s, "x0")
    crowd, own = (Oracle(d, gaussian(torch.tensor([m]).double(), torch.tensor([[v]]).double())) for m, v in ((0., 1/rho), (1., 1.)))
    net = guided(lambda x, t, y=None: (crowd if y is None else own)(x, t), g)
    m, V, two = 0., 1., torch.tensor([[0.], [1.]]).double()
    for t, strides in zip(range(T, 0, -1), ddim_terms(s, [*range(T, -1, -1)])):
        c, k = net(two, torch.tensor(t), torch.zeros(2))[:, 0].tolist()
        stay, to, _ = strides if r == .5 else posterior_terms(s, t)
        k, c, fresh = stay + to*(k-c), to*c, s.beta[t] if r > .5 and t > 1 else 0.
        for left in range(max(1, int(r)) if t > 1 else 1, 0, -1):
            m, V = k*m + c, k*k*V + fresh
            if left > 1: m, V = s.alpha[t].sqrt()*m, s.alpha[t]*V + s.beta[t]
    return torch.tensor([m, V], dtype=torch.float64)


@pytest.mark.parametrize("g, r, rho", [(3, 1, .1), (2.5, 4, .3), (1, 2, .1), (.4, 1, .2), (0, 1, .5)])
def test_the_bells_are_what_the_chain_ends_with(page, g, r, rho):
    show(page, BELLS)
    for name, value in (("g", g), ("r", r), ("rho", rho)): move(page, name, value)
    tilt = torch.tensor([g, 1.], dtype=torch.float64)/(g - (g-1)*rho)
    limit = lambda n: 2*walked(300, float(g), n, rho) - walked(150, float(g), n, rho)
    want = torch.stack([limit(.5), limit(r), tilt])
    seen = page.evaluate(ITEMS)
    texts = lambda name: [i["text"] for key, marks in seen.items() if key.startswith(f"{name}_marks") for i in marks]
    assert texts("name") == ["flow", "Algorithm 2 in rounds", "tilted"]
    said = [re.fullmatch(r"mean (\S+), deviation (\S+)", line).groups() for line in texts("said")]
    said = torch.tensor([[told(a), told(b)] for a, b in said], dtype=torch.float64)
    assert_close(said, torch.stack([want[:, 0], want[:, 1].sqrt()], 1), rtol=4e-3, atol=6e-3)

    x = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    p = torch.stack([Normal(m, v.sqrt()).log_prob(x).exp() for m, v in want])
    apart = (p - p[2]).abs().sum(1)*(x[1]-x[0])/2*100
    for line, far in zip(texts("how")[:2], apart): assert abs(told(line.split(" ")[0]) - far) < .5, (line, far)

    lines = [marks for key, marks in seen.items() if key.startswith("bells")][0]
    place = column(lines, "x", "y")
    assert len(place) == 3*161
    across = place[:, 0]*8/300 - 2
    for part, (m, v) in zip(across.reshape(3, 161), want):
        assert_close(part.mean(), m, rtol=0, atol=.02)
        assert_close((part.max() - part.min())/8, v.sqrt(), rtol=1e-2, atol=1e-3)
    top = 2/math.sqrt(2*math.pi*tilt[1])
    heights = (240 - place[:, 1].reshape(3, 161))*top/240
    assert_close(heights.max(1).values, 1/(2*math.pi*want[:, 1]).sqrt(), rtol=1e-2, atol=0)
