"VAE, GAN and flow: what a stranger may do with them, and the living figure of two games."
import math

import pytest
import torch
from test_living import FIGURES, KIND, MARKS, move, page, show  # noqa: F401 (page is a fixture)
from torch import nn
from torch.testing import assert_close

from dpm_nb import families
from dpm_nb.core import rng
from dpm_nb.engine import fit
from dpm_nb.families import GAN, VAE, Flow, decoder, encoder, family_loss

MODELS = {"VAE": lambda shape: VAE(shape, 3, 8), "GAN": lambda shape: GAN(shape, 3, 8), "flow": lambda shape: Flow(shape, 3, 8)}
SHAPES = [(2,), (5,), (1, 8, 8), (3, 7, 5)]
quiet = dict(device="cpu", progress=False, plot=False)
each = pytest.mark.parametrize("name", MODELS)


@each
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_learns_and_samples(name, shape):
    torch.manual_seed(0)
    run = fit(family_loss, MODELS[name](shape), torch.randn(40, *shape), steps=3, batch=8, **quiet)
    x = run.ema.sample(6, rng(1))
    assert x.shape == (6, *shape) and x.dtype == torch.float32 and x.isfinite().all()
    assert torch.equal(x, run.ema.sample(6, rng(1))) and not torch.equal(x, run.ema.sample(6, rng(2)))
    assert not x.requires_grad and run.losses.isfinite().all()


@each
def test_global_streams_are_left_alone_where_one_is_given(name):
    model, before = MODELS[name]((2,)), torch.get_rng_state()
    model.sample(4, rng(0)), model.loss(torch.randn(4, 2, generator=rng(1)), rng(2))
    assert torch.equal(before, torch.get_rng_state())


@each
def test_works_in_float64(name):
    model = MODELS[name]((2,)).double()
    assert model.sample(3, rng(0)).dtype == model.loss(torch.randn(3, 2).double(), rng(0)).dtype == torch.float64


@each
def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(name, tmp_path):
    "A GAN's two groups of weights keep their rates and their moments."
    rows, plan = torch.randn(40, 2, generator=rng(3)), dict(steps=12, batch=8, seed=4, **quiet)
    class Cut(Exception): pass
    def begin():
        torch.manual_seed(5)
        return MODELS[name]((2,))
    def data(limit):
        given = []
        def draw(n, generator):
            given.append(n)
            if len(given) > limit: raise Cut
            return rows[torch.randint(40, (n,), generator=generator)]
        return draw
    whole = fit(family_loss, begin(), data(99), **plan)
    with pytest.raises(Cut): fit(family_loss, begin(), data(8), path=tmp_path, every=5, **plan)
    again = fit(family_loss, begin(), data(99), path=tmp_path, every=5, **plan)
    assert again.step == 12
    for a, b in zip(again.model.parameters(), whole.model.parameters()): assert torch.equal(a, b)
    assert torch.equal(again.losses, whole.losses)


def test_two_rates_are_two_groups():
    model = GAN((2,), rates=(.5, 2.))
    shares = [(group["share"], group["betas"], len(group["params"])) for group in model.groups()]
    assert [s[:2] for s in shares] == [(.5, (0., .99)), (2., (0., .99))]
    assert sum(s[2] for s in shares) == len(list(model.parameters()))


def test_a_flow_at_the_start_is_the_prior():
    x = torch.randn(7, 1, 4, 4)
    assert_close(Flow((1, 4, 4)).log_prob(x), -x.square().flatten(1).sum(1)/2 - 8*math.log(2*math.pi))


def test_the_bound_does_not_depend_on_the_batch():
    model, x = VAE((2,), 2, 8), torch.randn(9, 2)
    assert_close(model.bound(x, 3, rng(0), batch=27), model.bound(x, 3, rng(0), batch=100))


MISTAKES = {
    "no shape": (lambda: VAE(2), TypeError, r"shape must be that of one example, \(D,\) or \(C, H, W\), got 2"),
    "a batch's shape": (lambda: GAN((16, 2)), ValueError, r"shape must be that of one example, .* got \(16, 2\)"),
    "a side of 0": (lambda: encoder((1, 0, 8), 2), ValueError, "shape must be"),
    "one number for a flow": (lambda: Flow((1,)), ValueError, r"shape must have at least two numbers, got \(1,\)"),
    "z without length": (lambda: VAE((2,), 0), ValueError, "dim must be"),
    "a penalty below 0": (lambda: GAN((2,), r1=-1.), ValueError, "r1 must"),
    "one rate": (lambda: GAN((2,), rates=(1.,)), ValueError, r"rates must be two numbers of at least 0, .* got \(1.0,\)"),
    "rates below 0": (lambda: GAN((2,), rates=(1., -1.)), ValueError, "rates must be two numbers of at least 0"),
    "no samples": (lambda: Flow((2,)).sample(0), ValueError, "n must be"),
    "whole numbers": (lambda: Flow((2,)).log_prob(torch.zeros(3, 2).long()), TypeError, "x must hold real numbers"),
    "no draws": (lambda: VAE((2,)).bound(torch.zeros(3, 2), 0), ValueError, "draws must be"),
    "width of a decoder": (lambda: decoder(2, (2,), 0), ValueError, "width must be"),
}


@pytest.mark.parametrize("call, kind, message", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_met_at_the_door(call, kind, message):
    with pytest.raises(kind, match=message): call()


def test_every_public_name_is_one_of_the_chapter():
    assert {"VAE", "GAN", "Flow", "Coupling", "encoder", "decoder", "family_loss"} <= set(families.__all__)
    assert all(issubclass(c, nn.Module) for c in (VAE, GAN, Flow))


GAMES = next((name for name in FIGURES if name.startswith("13_families")), None)


@pytest.mark.parametrize("case", ["with", "without"])
@pytest.mark.parametrize("k", [0, 9, 15])
def test_the_games_are_drawn_as_they_were_stored(page, case, k):
    show(page, GAMES)
    move(page, "moment", k)
    head, *lines = FIGURES[GAMES][2][KIND]["data"]["values"].splitlines()
    rows = [line.split(",") for line in lines if line.startswith(f"{case},")]
    at = head.split(",").index(f"x{k}")
    table = torch.tensor([[float(v) for v in row[at:at+2]] for row in rows], dtype=torch.float64)
    marks = page.evaluate(MARKS)[f"{case}_r1_marks"]
    seen = torch.tensor([[x*4.4/280 - 2.2, 2.2 - y*4.4/280] for x, y, *_ in marks], dtype=torch.float64)
    assert_close(seen, table, rtol=0, atol=1e-9)
