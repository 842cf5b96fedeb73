"VAE, GAN and flow: what a stranger may do with them, and the living figure of two games."
import math

import pytest
import torch
from test_living import FIGURES, KIND, MARKS, move, page, show  # noqa: F401 (page is a fixture)
from torch import nn
from torch.testing import assert_close

from dpm_nb import families
from dpm_nb.core import rng, to_real
from dpm_nb.engine import fit
from dpm_nb.keep import load_run
from dpm_nb.families import GAN, VAE, Flow, decoder, encoder, family_loss
from dpm_nb.training import Run

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
    model.sample(4, rng(0)), model.loss(torch.randn(4, 2, generator=rng(1)), generator=rng(2))
    assert torch.equal(before, torch.get_rng_state())


@each
def test_works_in_float64(name):
    model = MODELS[name]((2,)).double()
    assert model.sample(3, rng(0)).dtype == model.loss(torch.randn(3, 2).double(), generator=rng(0)).dtype == torch.float64


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
    shares = [(group["share"], group["betas"], len(group["params"])) for group in model.weight_groups()]
    assert [s[:2] for s in shares] == [(.5, (0., .99)), (2., (0., .99))]
    assert sum(s[2] for s in shares) == len(list(model.parameters()))


def test_a_flow_at_the_start_is_the_prior():
    x = torch.randn(7, 1, 4, 4)
    assert_close(Flow((1, 4, 4)).log_prob(x), -x.square().flatten(1).sum(1)/2 - 8*math.log(2*math.pi))


@each
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)], ids=str)
def test_a_batch_in_parts_is_the_whole_batch(name, shape):
    rows, seen, ends = torch.randn(40, *shape, generator=rng(3)), [], []
    for accumulate in (1, 4):
        torch.manual_seed(1)
        model = MODELS[name](shape)
        loss = model.loss
        def heard(x, eps=None, generator=None):
            seen.append(len(x))
            return loss(x, eps, generator)
        model.loss = heard
        run = fit(family_loss, model, rows, steps=3, batch=8, accumulate=accumulate, seed=2, **quiet)
        ends.append([run.losses, *run.weights])
    assert seen.count(8) == 3 and seen.count(2) == 12
    for a, b in zip(*ends): assert_close(a, b, rtol=1e-3, atol=1e-4)


@each
def test_bytes_are_reals_and_a_file_knows_its_model(name, tmp_path):
    x = torch.randint(256, (30, 1, 4, 4), dtype=torch.uint8)
    run = fit(family_loss, MODELS[name]((1, 4, 4)), x, steps=2, batch=8, path=tmp_path, **quiet)
    again = load_run(tmp_path, device="cpu")
    assert type(again.ema) is type(run.ema)
    assert torch.equal(again.ema.sample(3, rng(0)), run.ema.sample(3, rng(0)))
    assert_close(run.ema.loss(x, generator=rng(1)), run.ema.loss(to_real(x), generator=rng(1)))
    with torch.no_grad(): run.ema.loss(x)


def test_another_penalty_is_another_run(tmp_path):
    x = torch.randn(30, 2)
    fit(family_loss, GAN((2,), 3, 8), x, steps=2, batch=8, path=tmp_path, **quiet)
    with pytest.raises(ValueError, match="model must"): fit(family_loss, GAN((2,), 3, 8, r1=9.), x, steps=2, batch=8, path=tmp_path, **quiet)


def test_a_network_may_have_groups_of_its_own():
    class Norm(nn.Linear): groups = 4
    assert len(Run(Norm(2, 2), device="cpu").optimizer.param_groups) == 1


def test_the_bound_rises_with_the_draws_and_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = VAE((2,), 2, 8)
    model.log_sigma.data.fill_(0.)
    x = torch.randn(12, 2)
    few, many, parts = (model.bound(x, draws, rng(k), batch) for k, (draws, batch) in enumerate(
        [(1, 50), (20_000, 10**6), (20_000, 60_000)]))
    assert few.mean() < many.mean()
    assert_close(many, parts, rtol=0, atol=.05)


class Forgets(GAN):
    "Names one player only."
    def weight_groups(self): return super().weight_groups()[:1]


MISTAKES = {
    "no shape": (lambda: VAE(2), TypeError, r"shape must be that of one example, \(D,\) or \(C, H, W\), got 2"),
    "a batch's shape": (lambda: GAN((16, 2)), ValueError, r"shape must be that of one example, .* got \(16, 2\)"),
    "a side of 0": (lambda: encoder((1, 0, 8), 2), ValueError, "shape must be"),
    "one number for a flow": (lambda: Flow((1,)), ValueError, r"shape must have at least two numbers, got \(1,\)"),
    "z without length": (lambda: VAE((2,), 0), ValueError, "dim must be"),
    "a penalty below 0": (lambda: GAN((2,), r1=-1.), ValueError, "r1 must"),
    "one rate": (lambda: GAN((2,), rates=(1.,)), ValueError, r"rates must be two numbers, .* got \(1.0,\)"),
    "rates below 0": (lambda: GAN((2,), rates=(1., -1.)), ValueError, "rates must"),
    "a rate that is none": (lambda: GAN((2,), rates=(math.nan, 1.)), ValueError, "rates must"),
    "examples of another shape": (lambda: Flow((2,)).log_prob(torch.randn(3, 1)), ValueError,
                                  r"x must have shape \(B, 2\), got \(3, 1\)"),
    "pictures of another size": (lambda: fit(family_loss, GAN((1, 8, 8), 3, 8), torch.randn(9, 1, 7, 7), steps=1, **quiet),
                                 ValueError, r"x must have shape \(B, 1, 8, 8\)"),
    "a network without a loss": (lambda: fit(family_loss, nn.Linear(2, 2), torch.randn(9, 2), steps=1, **quiet), TypeError,
                                 "model must have a method loss, got Linear"),
    "groups that forget a weight": (lambda: fit(family_loss, Forgets((2,)), torch.randn(9, 2), steps=1, **quiet), ValueError,
                                    "weight_groups of a model must hold each of its weights"),
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


GAMES = next((name for name in FIGURES if name.startswith("13_families") and "two GANs" in FIGURES[name][2][KIND]["description"]), None)


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
    seen = torch.tensor([[x*3.8/280 - 1.9, 1.9 - y*3.8/280] for x, y, *_ in marks], dtype=torch.float64)
    assert_close(seen, table, rtol=0, atol=1e-9)
