"The rules of few steps: equal to other libraries where the grid is the same, cheap, and behind one door."
import pytest
import torch
from test_living import FIGURES, KIND, MARKS, move, page, show  # noqa: F401 (page is a fixture)
from test_sampling import operations
from torch.testing import assert_close

from dpm_nb.core import rng
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.sampling import sample, samplers
from dpm_nb.schedule import Schedule, cosine, linear
from dpm_nb.solvers import dpmpp_2m, guess_error, heun, respace, spaced, unipc

TIMES = list(range(1000, -1, -100))
RULES = {"heun": heun, "dpmpp_2m": dpmpp_2m, "unipc": unipc}
each = pytest.mark.parametrize("name", RULES)


def peer(name, beta):
    "Another library's rule on the same betas and the same ten times."
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install -e '.[bench]'")
    kind, more = {"dpmpp_2m": ("DPMSolverMultistepScheduler", dict(solver_order=2, algorithm_type="dpmsolver++", final_sigmas_type="zero", lower_order_final=True)),
                  "unipc": ("UniPCMultistepScheduler", dict(solver_order=2, solver_type="bh2", final_sigmas_type="zero")),
                  "heun": ("HeunDiscreteScheduler", {})}[name]
    peer = getattr(diffusers, kind)(trained_betas=beta.tolist(), timestep_spacing="trailing", **more)
    peer.set_timesteps(10)
    return peer


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@each
def test_equals_another_library_on_the_same_grid(name):
    "Both in float64, from the same noise; the other's tables are float32."
    d = GaussianDiffusion(linear(1000), "eps")
    other = peer(name, d.schedule.beta[1:])
    net = lambda x, t: torch.tanh(1.3*x + 0.2) * (0.2 + 0.001*t.to(x)[:, None])
    noise = torch.randn(50, 2, dtype=torch.float64, generator=rng(0))
    *_, (_, ours) = RULES[name](d, net, xT=noise, steps=TIMES)
    a = d.schedule.alpha_bar.sqrt()
    x = noise/a[1000] if name == "heun" else noise      # k-diffusion's coordinates
    for t in other.timesteps:
        told = other.scale_model_input(x, t) if name == "heun" else x
        x = other.step(net(told, torch.full((50,), int(t)+1)), t, x).prev_sample
    assert_close(ours, x.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name, most", [("dpmpp_2m", 6), ("unipc", 10), ("heun", 14)])
def test_a_stride_is_few_operations_and_reads_nothing_back(name, most):
    d = GaussianDiffusion(cosine(100))
    for ops in operations(RULES[name](d, lambda x, t: x, (4, 2), steps=10)):
        calls = [op for op in ops if op not in ("full", "expand")]      # the times of the model
        assert len(calls) <= most and "_local_scalar_dense" not in calls, calls


@each
@pytest.mark.parametrize("s", [linear(1000), Schedule([.1, .3, .6, 1.]), Schedule([.999])], ids=repr)
def test_stays_finite_whatever_the_chain(name, s):
    d = GaussianDiffusion(s, "v")
    for steps in (1, min(3, s.T)):
        x = sample(d, MLP(2), (3, 2), RULES[name], rng(0), steps=steps)
        assert x.shape == (3, 2) and x.isfinite().all()


def test_names_stand_beside_the_others():
    assert set(RULES) < set(samplers)


@pytest.mark.parametrize("given, error", [(dict(steps=0), ValueError), (dict(steps=5, by="sigma"), ValueError), (dict(steps=2000), ValueError)])
def test_spaced_refuses(given, error):
    with pytest.raises(error): spaced(linear(1000), **given)


def test_a_strided_network_keeps_its_classes_and_widths():
    torch.manual_seed(0)
    d, net = GaussianDiffusion(cosine(100), "v"), MLP(2, classes=3)
    x, y = torch.randn(6, 2, generator=rng(0)), torch.tensor([0, 1, 2, 0, 1, -1])
    times = spaced(d.schedule, 5)
    error = guess_error(d, net, x, times[:-1], y=y, generator=rng(1))
    short, model = respace(d, net, times, error)
    made = sample(short, model, (6, 2), generator=rng(2), y=y)
    assert made.shape == (6, 2) and made.isfinite().all()
    with pytest.raises(ValueError, match="y must lie in 0..2"): sample(short, model, (1, 2), y=torch.tensor([3]))
    with pytest.raises(ValueError, match="error must hold a number of at least 0 for each of 5 strides"): respace(d, net, times, error[:3])
    want = (net(x, torch.full((6,), times[0]), y))
    assert_close(respace(d, net, times)[1](x, torch.full((6,), 5), y), want)


SOLVERS = next((name for name in FIGURES if name.startswith("10b_solvers")), None)


@pytest.mark.skipif(SOLVERS is None, reason="the figure is not stored")
@pytest.mark.parametrize("name, k", [("DDIM", 0), ("Algorithm_2", 4), ("UniPC", 8)])
def test_the_walkers_are_drawn_where_they_end(page, name, k):
    show(page, SOLVERS)
    move(page, "pick", k)
    head, *lines = FIGURES[SOLVERS][2][KIND]["data"]["values"].splitlines()
    rows = [line.split(",") for line in lines if line.startswith(f"{name},")]
    at = head.split(",").index(f"x{k}")
    table = torch.tensor([[float(v) for v in row[at:at+2]] for row in rows], dtype=torch.float64)
    marks = page.evaluate(MARKS)[f"end_{name}_marks"]
    seen = torch.tensor([[x*5.2/170 - 2.6, 2.6 - y*5.2/170] for x, y, *_ in marks], dtype=torch.float64)
    assert_close(seen, table, rtol=0, atol=1e-9)
