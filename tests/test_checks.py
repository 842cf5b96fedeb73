"Doors: what a decorated function still is, when values are looked at, and where a warning points."
import copy
import inspect
import pickle
import threading
import warnings
from typing import Any, Literal, Optional

import numpy as np
import pytest
import torch
from fastcore.basics import patch
from fastcore.docments import docments
from fastcore.meta import delegates
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close

from dpm_nb import sampling
from dpm_nb.binomial import BinomialDiffusion
from dpm_nb.checks import (INSIDE, BitState, Count, Like, Model, Noise, Number, Positive, Range, Real, Seed, Shape, Share, State,
                           Time, UnitNoise, at_least, between, check_of, door, warn)
from dpm_nb.core import Diffusion, rng
from dpm_nb.engine import fit
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.schedule import Schedule, linear
from dpm_nb.training import train

nan = float("nan")
d, flips = GaussianDiffusion(linear(10)), BinomialDiffusion(linear(10))
x, eps = torch.randn(2, 4, 2, generator=rng(0))
times = torch.tensor([1, 4, 7, 10])
blank = lambda x, t: 0*x
same = dict(rtol=0, atol=0)


@door
def scaled(
    x: State, # a batch
    n: Count = 2, # how often
    *rest, # anything
    part: Share = 1., # of it
    **more, # anything
) -> torch.Tensor: # of the shape of `x`
    "x, n times."
    return n*part*x


@door
def seen(x: State): return x


@door
def passes_on(x): return seen(x)


@door
def runs(x, times=3):
    for _ in range(times): yield INSIDE.depth, seen(x)


class Chain:
    def __init__(self): self.schedule = linear(10)


@patch
@door
@torch.no_grad()
def walk(self:Chain,
    x: State, # the batch
    t: Time, # in 1..T
    eps: Noise | None = None, # of its shape
): # its doubles
    "Twice x, for ever."
    while True: yield 2*x


# what a decorated function still is

def test_signature_name_and_documents_stay():
    assert list(inspect.signature(scaled).parameters) == ["x", "n", "rest", "part", "more"]
    assert inspect.signature(scaled).parameters["n"].default == 2
    assert scaled.__name__ == "scaled" and scaled.__module__ == __name__ and scaled.__doc__ == "x, n times."
    assert docments(scaled)["x"] == "a batch" and docments(scaled)["return"] == "of the shape of `x`"
    assert docments(GaussianDiffusion.q_sample)["x0"] == "the data `(B, ...)`"
    assert Chain.walk.__qualname__ == "Chain.walk" and Chain.walk.__doc__ == "Twice x, for ever."
    assert inspect.getsource(GaussianDiffusion.q_step).startswith("@patch\n@door\ndef q_step")
    assert list(inspect.signature(GaussianDiffusion).parameters) == ["schedule", "predicts", "variance", "clip"]


def test_delegates_sees_what_is_behind_a_door():
    @delegates(scaled)
    @door
    def more(x: State, times: Count = 1, **kwargs): return scaled(x, **kwargs)
    assert list(inspect.signature(more).parameters) == ["x", "times", "n", "part"]
    assert {"weight", "seed", "progress"} <= set(inspect.signature(fit).parameters)
    assert_close(more(x, n=3), 3*x)


def test_pickles_and_copies():
    assert pickle.loads(pickle.dumps(scaled)) is scaled and copy.deepcopy(scaled) is scaled
    again = pickle.loads(pickle.dumps(d.q_sample))
    assert_close(again(x, times, eps), d.q_sample(x, times, eps), **same)
    for thing in (d, flips, MLP(2)): assert repr(pickle.loads(pickle.dumps(thing))) == repr(thing)


def test_arguments_go_on_as_they_came():
    assert_close(scaled(x, 3, "rest", "of", part=0.5, more="yes"), 1.5*x)
    assert_close(scaled(n=3, x=x), 3*x)
    for mistake, message in ((lambda: scaled(), "'x'"), (lambda: scaled(x, x=x), "multiple values"), (lambda: seen(x, 1), "positional"),
                             (lambda: seen(x, surplus=1), "surplus"), (lambda: d.q_step(x), "'t'"),
                             (lambda: d.q_step(x, 1, 2), "positional"), (lambda: MLP(2, breadth=3), "breadth")):
        with pytest.raises(TypeError, match=message): mistake()
    assert INSIDE.depth == 0


@pytest.mark.parametrize("f", [
    lambda v, e: d.q_sample(v, 3, e), lambda v, e: d.q_sample(v, times, e), lambda v, e: d.q_posterior(v, e, times).mean,
    lambda v, e: d.predict(lambda x, t: torch.sin(x), v, times).x0, lambda v, e: d.p_step(lambda x, t: torch.sin(x), v, 5).mean, lambda v, e: d.loss(lambda x, t: torch.sin(x), v, times, e),
    lambda v, e: d.loss(lambda x, t: torch.sin(x), v, times, e, weight="bound")])
def test_vmap_sees_no_door(f):
    many = torch.randn(3, 4, 2, generator=rng(1))
    noise = torch.randn(3, 4, 2, generator=rng(2))
    assert_close(torch.func.vmap(f)(many, noise), torch.stack([f(*pair) for pair in zip(many, noise)]))


def test_vmap_over_times_bits_and_networks():
    t = torch.tensor([[1, 2, 3, 4], [4, 5, 6, 7], [8, 8, 9, 10]])
    many, noise = torch.randn(2, 3, 4, 2, generator=rng(1))
    f = lambda v, t, e: d.q_sample(v, t, e)
    assert_close(torch.func.vmap(f)(many, t, noise), torch.stack([f(*three) for three in zip(many, t, noise)]))
    bits, net = (many > 0).float(), MLP(2)
    g = lambda v, e: flips.q_sample(v, 3, e)
    assert_close(torch.func.vmap(g)(bits, noise.sigmoid()), torch.stack([g(*pair) for pair in zip(bits, noise.sigmoid())]))
    h = lambda v: net(v, times)
    assert_close(torch.func.vmap(h)(many), torch.stack([h(v) for v in many]))
    with pytest.raises(ValueError, match="t must have shape"): torch.func.vmap(lambda v: d.q_step(v, torch.tensor([1, 2])).mean)(many)


def test_gradients_go_through():
    f = lambda v: d.loss(lambda x, t: torch.sin(x), v, times, eps, weight="bound").sum()
    v = x.double().requires_grad_()
    direct, = torch.autograd.grad(f(v), v)
    assert_close(torch.func.grad(f)(x.double()), direct)
    assert torch.autograd.gradcheck(lambda v: d.q_sample(v, times, eps.double()), x.double().requires_grad_())
    assert torch.func.jacrev(torch.func.jacrev(lambda v: d.q_marginal(v, 3).log_prob(eps).sum()))(x).shape == (4, 2, 4, 2)


@pytest.mark.parametrize("f", [
    lambda x, t, e: d.q_sample(x, t, e), lambda x, t, e: d.q_step(x, 3).mean, lambda x, t, e: d.q_posterior(x, e, t).variance + x,
    lambda x, t, e: d.loss(blank, x, t, e, weight="bound"), lambda x, t, e: d.p_step(blank, x, t).mean,
    lambda x, t, e: GaussianDiffusion.predict(d, blank, x, t).eps, lambda x, t, e: scaled(x, 3, part=.5)])
def test_a_compiler_reads_through_in_one_piece(f):
    torch._dynamo.reset()
    assert_close(torch.compile(f, fullgraph=True, backend="eager")(x, times, eps), f(x, times, eps))


def test_a_compiled_training_step_learns_the_same():
    torch._dynamo.reset()
    torch.manual_seed(0)
    net = MLP(2, 16)
    with torch.no_grad(): net.last.weight.fill_(0.1)
    step = lambda x, t, e: d.loss(net, x, t, e).mean()
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    grads = [torch.autograd.grad(f(x, times, eps), list(net.parameters()), allow_unused=True) for f in (step, compiled)]
    assert_close(*grads)


# when values are looked at

def test_the_outermost_door_looks_at_values_and_inner_ones_at_types():
    with pytest.raises(ValueError, match="x must be finite, got 8 entries"): seen(x*nan)
    assert passes_on(x*nan).isnan().all()
    with pytest.raises(TypeError, match="x must hold real numbers"): passes_on(x.long())
    with pytest.raises(ValueError, match="t must lie in 1..10, got values from 1 to 11"): d.q_step(x, torch.tensor([1, 11, 5, 5]))
    assert INSIDE.depth == 0


def test_a_door_that_fails_leaves_nobody_inside():
    @door
    def falls(x: State): raise KeyError("mine")
    @door
    def falls_later(x: State):
        yield x
        raise KeyError("mine")
    for call in (lambda: falls(x), lambda: list(falls_later(x)), lambda: passes_on(1)):
        with pytest.raises((KeyError, TypeError)): call()
        assert INSIDE.depth == 0
        with pytest.raises(ValueError): seen(x*nan)


def test_a_generators_body_is_inside_and_its_consumer_is_not():
    one, two = runs(x*nan), runs(x)
    for (depth, _), (other, _) in zip(one, two):
        assert depth == other == 1 and INSIDE.depth == 0
        with pytest.raises(ValueError, match="x must be finite"): seen(x*nan)       # the consumer's own call
    one = runs(x)
    next(one)
    one.close()
    assert INSIDE.depth == 0 and list(one) == []
    with pytest.raises(TypeError, match="x must hold real"): next(runs(x.long()))   # types still are looked at


def test_what_a_generator_is_given_is_looked_at_when_it_is_called():
    chain = Chain()
    for mistake in (lambda: chain.walk(x*nan, 1), lambda: chain.walk(x, 11), lambda: chain.walk(x, 1, eps[:3])):
        with pytest.raises(ValueError, match="must"): mistake()
    v = x.clone().requires_grad_()
    out = next(chain.walk(v, 1))
    assert_close(out, 2*x)
    assert not out.requires_grad and torch.is_grad_enabled()        # no_grad reaches the body, and ends with it


def test_a_generator_that_is_closed_closes_what_it_runs():
    ended = []
    @door
    def loop(x: State):
        try:
            while True: yield x
        finally: ended.append(INSIDE.depth)
    steps = loop(x)
    next(steps)
    steps.close()
    assert len(ended) == 1 and INSIDE.depth == 0


def test_threads_share_no_flag():
    entered, leave, found = threading.Event(), threading.Event(), []
    @door
    def waits(x: State):
        entered.set()
        leave.wait(10)
        return INSIDE.depth
    inside = threading.Thread(target=lambda: found.append(waits(x)))
    inside.start()
    assert entered.wait(10)
    try:
        assert INSIDE.depth == 0
        with pytest.raises(ValueError, match="x must be finite"): seen(x*nan)
    finally:
        leave.set()
        inside.join()
    assert found == [1]


def test_a_generator_may_move_between_threads():
    loop, found = runs(x, 4), []
    next(loop)
    mover = threading.Thread(target=lambda: found.append(next(loop)[0]))
    mover.start()
    mover.join()
    assert found == [1] and next(loop)[0] == 1 and INSIDE.depth == 0


@pytest.mark.parametrize("make", ["fake", "meta"])
def test_tensors_without_values_pass_and_their_shapes_are_checked(make):
    mode = FakeTensorMode(allow_non_fake_inputs=True) if make == "fake" else torch.device("meta")
    with mode:
        v, t = torch.ones(4, 2), torch.ones(4, dtype=torch.long)
        assert seen(v).shape == (4, 2)
        if make == "fake":
            assert d.q_sample(v, t).shape == (4, 2) and d.q_step(v, 3).mean.shape == (4, 2)
            assert d.loss(blank, v, t, weight="bound").shape == (4,)
            assert flips.q_sample(v, t).shape == (4, 2)
        for mistake in (lambda: seen(t), lambda: d.q_sample(v, t[:3]), lambda: d.q_sample(v, 1, v[:2]), lambda: d.q_sample(v, v[:, 0])):
            with pytest.raises((TypeError, ValueError), match="must"): mistake()
    assert INSIDE.depth == 0


class Tagged(torch.Tensor): pass


def test_subclasses_of_tensors_pass_and_stay_what_they_are():
    tagged = x.as_subclass(Tagged)
    out = d.q_sample(tagged, times.as_subclass(Tagged), eps)
    assert isinstance(out, Tagged)
    assert_close(out.as_subclass(torch.Tensor), d.q_sample(x, times, eps))
    with pytest.raises(ValueError, match="x0 must be finite"): d.q_sample(tagged*nan, 1)
    parameter = torch.nn.Parameter(x.clone())
    d.q_sample(parameter, times, eps).sum().backward()
    assert_close(parameter.grad, d.schedule.alpha_bar[times].sqrt()[:, None].float().expand(4, 2))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_whole_numbers_of_any_width_are_times(dtype):
    assert_close(d.q_sample(x, times.to(dtype), eps), d.q_sample(x, times, eps), **same)
    assert_close(d.loss(blank, x, times.to(dtype), eps, weight="bound"), d.loss(blank, x, times, eps, weight="bound"), **same)
    bits = (x > 0).float()
    assert_close(flips.p_step(blank, bits, times.to(dtype)).logits, flips.p_step(blank, bits, times).logits, **same)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 1, 2, 3)])
def test_states_of_any_number_of_axes(shape):
    "A batch of single numbers `(B,)` too, with a time for each."
    v, e = torch.randn(2, *shape, generator=rng(3))
    for family, v, e in ((d, v, e), (flips, (v > 0).float(), e.sigmoid())):
        for t in (3, times, torch.tensor(3)):
            xt = family.q_sample(v, t, e)
            assert xt.shape == family.p_step(blank, xt, t).mean.shape == family.q_posterior(xt, v, t).mean.shape == shape
            assert family.loss(blank, v, t, e).shape == (4,)
        for i in range(4):                                                  # each example has its own time
            assert_close(family.q_marginal(v, times).mean[i], family.q_marginal(v[i:i+1], int(times[i])).mean[0])


def test_an_empty_batch_is_a_batch():
    none = x[:0]
    assert d.q_sample(none, torch.zeros(0, dtype=torch.long)).shape == (0, 2) and d.q_step(none, 1).mean.shape == (0, 2)
    assert d.loss(blank, none, 1).shape == (0,) and d.p_step(MLP(2), none, 3).mean.shape == (0, 2)


# the words

WORDS = [
    (Count, [1, 7, np.int64(3)], [0, -1, 1., True, "1", None, torch.tensor(1.)]), (Seed, [0, 9], [-1, .5]), (at_least(2), [2], [1]),
    (Number, [0, -3.5, np.float32(2), torch.tensor(.5)], ["1", True, nan, float("inf"), None]), (Share, [0, 1, .5], [-.1, 1.1]),
    (Positive, [1e-9, 3], [0, -1]), (between(2, 3), [2, 2.5], [1.9, 3.1]), (Range, [(-1, 1), [0, 0]], [(1, -1), (1,), 3, None, "ab"]),
    (Shape, [(1, 2), [3, 4, 5], torch.Size((2, 2))], [4, (4,), (0, 2), (2, 2.), "ab"]),
    (Model, [blank, MLP(2)], ["unet", 3, x]), (Real, [x, x[0, 0], x.half()], [x.long(), 1., x*nan, [1.]]),
    (State, [x, x[:, 0], x[:0]], [x[0, 0], x > 0]), (BitState, [torch.zeros(4), torch.ones(2, 2)], [x, torch.zeros(2).long()]),
    (Literal["a", "b"], ["a", "b"], ["c", 1, None, ["a"]]), (Literal["a"] | None, ["a", None], ["b"]), (Optional[Count], [None, 2], [0]),
    (Schedule, [linear(10)], [10, None, d]), (str | torch.device, ["cpu", torch.device("cpu")], [0, None]),
    (str | torch.device | None, ["cpu", None], [0]), (bool, [True, False], [1, 0, "yes", None]), (Diffusion, [d], [linear(10), "x", None]),
]


@pytest.mark.parametrize("word, right, wrong", WORDS, ids=[str(i) for i in range(len(WORDS))])
def test_words_of_a_signature(word, right, wrong):
    @door
    def f(v): return v
    def g(v): return v
    g.__annotations__["v"] = word
    g = door(g)
    for v in right: g(v)
    for v in wrong:
        with pytest.raises((TypeError, ValueError), match="^v.* must") as e: g(v)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("word", [Any, object, int, float, inspect.Parameter.empty, "text", list[int]])
def test_other_annotations_ask_for_nothing(word): assert check_of(word) is None


def test_a_door_hands_on_what_a_word_made_of_a_value():
    @door
    def f(n: Count, r: Range, p: Share = 1): return n, r, p
    made = f(np.int64(3), [0, 1], p=torch.tensor(.5))
    assert made == (3, (0., 1.), .5) and type(made[0]) is int and type(made[1][0]) is float and type(made[2]) is float


def test_noise_and_likenesses_belong_to_the_batch():
    @door
    def f(xt: State, x0: Like | None = None, eps: Noise | None = None, u: UnitNoise | None = None): return xt
    f(x, x[:1], eps, eps.sigmoid())
    f(x, torch.zeros(2))
    f(xt=x, u=eps.sigmoid(), eps=eps)
    for mistake in (lambda: f(x, x[:3]), lambda: f(x, torch.zeros(1, 4, 2)), lambda: f(x, None, eps[:1]), lambda: f(x, u=eps),
                    lambda: f(x, u=torch.ones(4, 2)), lambda: f(x, eps=eps*nan), lambda: f(x, eps=eps.long())):
        with pytest.raises((TypeError, ValueError), match="must"): mistake()


# warnings

WARNINGS = {
    "a schedule that ends early": lambda: Schedule([.1, .1]), "one by its maker": lambda: linear(10, end=.2),
    "data of another scale": lambda: fit(d, MLP(2), 100*x, steps=1, progress=False, plot=False, device="cpu"),
    "data of another scale, in a loop": lambda: next(train(d, MLP(2), 100*x, steps=1, device="cpu")),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_points_at_the_line_that_a_reader_wrote(name):
    call = WARNINGS[name]
    with pytest.warns(UserWarning) as caught: call()
    assert len(caught) == 1
    code = call.__code__
    lines = {line for _, _, line in code.co_lines() if line}
    assert caught[0].filename == __file__ and caught[0].lineno in lines, f"it points at {caught[0].filename}:{caught[0].lineno}"


def test_a_warning_of_no_package_points_at_its_caller():
    with pytest.warns(UserWarning, match="look") as caught: warn("look")
    assert caught[0].filename == __file__


def test_nothing_warns_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Schedule(linear(100).beta[1:])
        for _ in train(d, MLP(2), x, steps=2, device="cpu"): pass


def test_modules_behind_doors_take_no_checks_into_their_bodies():
    "Algorithm 1 and Algorithm 2 say nothing but themselves: their checks stand in the signature."
    for f in (GaussianDiffusion.q_step, GaussianDiffusion.q_posterior, GaussianDiffusion.p_step, sampling.walk):
        assert "check_" not in inspect.getsource(f), f.__name__
