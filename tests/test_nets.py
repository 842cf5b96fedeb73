"Networks: their recipes, conditions, precisions, and that a compiler reads them in one piece."
import copy
import math
import pickle

import pytest
import torch
from torch.testing import assert_close

from dpm_nb.nets import MLP, Attention, ResBlock, UNet, time_embedding

MAKES = {
    "MLP": lambda **options: MLP(2, 16, 2, **options),
    "MLP of odd width": lambda **options: MLP(3, 17, 1, out=6, **options),
    "U-Net": lambda **options: UNet(1, (8, 16), **options),
    "U-Net with all": lambda **options: UNet(3, [8, 8, 16], 2, [1, 2], 6, **options),
}
SHAPES = {"MLP": (2,), "MLP of odd width": (3,), "U-Net": (1, 7, 5), "U-Net with all": (3, 8, 8)}
each = pytest.mark.parametrize("name", MAKES)


def moved(net, seed=0):
    "The network with all of its weights moved off 0."
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters(): p += 0.1*torch.randn(p.shape, generator=g)
    return net


def batch(name, B=3, seed=0):
    "A state, times and classes for a network."
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(B, *SHAPES[name], generator=g)
    return x, torch.randint(1, 1000, (B,), generator=g), torch.randint(0, 4, (B,), generator=g)


@each
@pytest.mark.parametrize("classes", [None, 4])
def test_a_recipe_makes_the_network_again(name, classes):
    net = moved(MAKES[name](classes=classes))
    plain = lambda v: v is None or type(v) is int or type(v) is tuple and all(type(n) is int for n in v)
    assert all(plain(v) for v in net.recipe.values()), "numbers that any file can hold"
    again = type(net)(**net.recipe)
    old, new = net.state_dict(), again.state_dict()
    assert list(old) == list(new) and [v.shape for v in old.values()] == [v.shape for v in new.values()]
    again.load_state_dict(old)
    x, t, y = batch(name)
    y = y if classes else None
    assert_close(again(x, t, y), net(x, t, y), rtol=0, atol=0)
    assert again.recipe == net.recipe == copy.deepcopy(net).recipe == pickle.loads(pickle.dumps(net)).recipe


@each
def test_classes_leave_the_other_weights_as_they_were(name):
    states = []
    for classes in (None, 4):
        torch.manual_seed(3)
        states.append(MAKES[name](classes=classes).state_dict())
    assert set(states[1]) - set(states[0]) == {"label.weight"} and len(states[1]["label.weight"]) == 5
    for key in states[0]: assert_close(states[0][key], states[1][key], rtol=0, atol=0)


@each
def test_each_example_has_its_own_class_and_none_is_one_more(name):
    net, (x, t, _) = moved(MAKES[name](classes=4)).double(), batch(name)
    x, y = x.double(), torch.tensor([0, 3, 1])
    out = net(x, t, y)
    for i in range(3): assert_close(out[i:i+1], net(x[i:i+1], t[i:i+1], y[i:i+1]))
    swapped = net(x, t, torch.tensor([0, 2, 1]))
    assert_close(swapped[[0, 2]], out[[0, 2]])
    assert not torch.allclose(swapped[1], out[1])
    free = [net(x, t, torch.full((3,), k)) for k in range(4)] + [net(x, t)]
    for i in range(5):
        for j in range(i): assert not torch.allclose(free[i], free[j])
    for kind in (torch.int32, torch.int16, torch.uint8): assert_close(net(x, t, y.to(kind)), out, rtol=0, atol=0)


@each
def test_the_vector_of_no_condition_learns_from_examples_without_one(name):
    net, (x, t, y) = moved(MAKES[name](classes=4)), batch(name)
    rows = lambda out: torch.autograd.grad(out.square().sum(), net.label.weight)[0].any(1).tolist()
    assert rows(net(x, t)) == [False]*4 + [True]
    assert rows(net(x, t, y)) == [k in y for k in range(4)] + [False]


@each
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_works_in_the_precision_of_its_weights(name, kind):
    net, (x, t, y) = moved(MAKES[name](classes=4)), batch(name)
    want = net(x, t, y)
    got = net.to(kind)(x.to(kind), t, y)
    assert got.dtype == kind
    assert_close(got.float(), want, **({} if kind is torch.float64 else {"rtol": 0.1, "atol": 0.1}))


@pytest.mark.parametrize("make, shape", [(lambda: MLP(2, 16, 1, classes=4), (2,)), (lambda: UNet(1, (8, 8), attention=(1,), classes=4), (1, 4, 4))],
                         ids=["MLP", "U-Net"])
def test_a_compiler_reads_a_network_in_one_piece(make, shape):
    net, x, t = moved(make()), torch.randn(3, *shape), torch.tensor([1, 20, 300])
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    for y in (None, torch.tensor([3, 0, 1])): assert_close(compiled(x, t, y), net(x, t, y), rtol=0, atol=0)
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@each
def test_a_network_can_be_mapped_and_differentiated_by_torch_func(name):
    net, (x, t, y) = moved(MAKES[name](classes=4)).double(), batch(name)
    x = x.double()
    power = lambda x: net(x, t, y).square().sum()
    slope, h = torch.func.grad(power)(x), 1e-5
    assert_close(slope.sum(), (power(x + h) - power(x - h))/(2*h), rtol=1e-6, atol=1e-6)
    both = torch.func.vmap(lambda x: net(x, t, y))(torch.stack([x, x + 1]))
    assert_close(both, torch.stack([net(x, t, y), net(x + 1, t, y)]))


def test_attention_is_the_softmax_of_questions_and_keys_times_values():
    torch.manual_seed(0)
    layer, x = moved(Attention(8, heads=2)).double(), torch.randn(3, 8, 2, 5, dtype=torch.float64)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).unflatten(1, (3, 2, 4)).unbind(1)       # (B, heads, d, places)
    fit = torch.einsum("bhdi,bhdj->bhij", q, k)/math.sqrt(4)
    share = fit.exp()/fit.exp().sum(-1, keepdim=True)
    answer = torch.einsum("bhij,bhdj->bhdi", share, v).flatten(1, 2).unflatten(2, (2, 5))
    assert_close(layer(x), x + layer.out(answer))


def test_what_a_block_adds_does_not_depend_on_how_loud_the_picture_is():
    torch.manual_seed(0)
    block, x, code = moved(ResBlock(16, 5)).double(), torch.randn(2, 16, 6, 6).double(), torch.randn(2, 5).double()
    added = lambda x: block(x, code) - x
    assert_close(added(10*x + 3), added(x), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(block(x, code), block(x, code.flip(0)))


@pytest.mark.parametrize("sizes, blocks", [(1, 1), (1, 3), (2, 1), (2, 2), (3, 1)])
def test_convolutions_reach_as_far_as_the_formula_says(sizes, blocks):
    torch.manual_seed(0)
    net, side = moved(UNet(1, (4,)*sizes, blocks)).double(), 2*((4*blocks + 1)*2**sizes) + 8
    for part in net.modules():
        for name, child in part.named_children():
            if isinstance(child, torch.nn.GroupNorm): setattr(part, name, torch.nn.Identity())
    x = torch.randn(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    grad, = torch.autograd.grad(net(x, torch.ones(1))[0, 0, side//2, side//2], x)
    square = 2*((4*blocks + 1)*2**sizes - 4*blocks) + 1
    heard = grad[0, 0] != 0
    assert heard.any(0).sum() == heard.any(1).sum() == square and heard.sum() == square**2


x, t = torch.zeros(3, 2), torch.ones(3)
free, told = MLP(2, 8, 1), MLP(2, 8, 1, classes=4)
MISTAKES = {
    "no output": (lambda: MLP(2, out=0), ValueError, "out must be at least 1, got 0"),
    "no channels": (lambda: UNet(out=0), ValueError, "out must be at least 1, got 0"),
    "no classes": (lambda: MLP(2, classes=0), ValueError, "classes must be at least 1, got 0"),
    "real classes": (lambda: UNet(classes=2.), TypeError, "classes must be a whole number"),
    "width of one": (lambda: MLP(2, 1), ValueError, "width must be at least 2, got 1"),
    "widths a number": (lambda: UNet(widths=64), TypeError, r"widths must be a tuple such as \(64, 128\), got 64"),
    "attention yes": (lambda: UNet(attention=(True, False)), TypeError, "attention must be a whole number"),
    "attention from behind": (lambda: UNet(attention=(-1,)), ValueError, "attention must be at least 0, got -1"),
    "no blocks": (lambda: UNet(blocks=0), ValueError, "blocks must be at least 1, got 0"),
    "times as a number": (lambda: free(x, 3), TypeError, "t must be a torch.Tensor, got 3"),
    "times too few": (lambda: free(x, t[:2]), ValueError, r"t must have shape \(B,\) for a batch of 3, got \(2,\)"),
    "times of two axes": (lambda: free(x, t[:, None]), ValueError, r"t must have shape \(B,\) for a batch of 3, got \(3, 1\)"),
    "times of no axis": (lambda: time_embedding(t[0], 8), ValueError, r"t must have shape \(B,\), got \(\)"),
    "times nan": (lambda: free(x, t*float("nan")), ValueError, "t must be finite, got 3 entries"),
    "times true": (lambda: free(x, t == 1), TypeError, "t must hold real or whole numbers, got torch.bool"),
    "state whole": (lambda: free(x.long(), t), TypeError, "x must hold real numbers"),
    "state nan": (lambda: free(x*float("nan"), t), ValueError, "x must be finite, got 6 entries"),
    "picture flat": (lambda: UNet(1, (8,))(x, t), ValueError, r"x must have shape \(B, 1, H, W\), got \(3, 2\)"),
    "class without classes": (lambda: free(x, t, t.long()), ValueError, "y must be None without classes, got Tensor"),
    "class a number": (lambda: told(x, t, 3), TypeError, "y must be a torch.Tensor, got 3"),
    "class real": (lambda: told(x, t, t), TypeError, r"y must hold whole numbers in 0..3, got torch.float32"),
    "class true": (lambda: told(x, t, t == 1), TypeError, r"y must hold whole numbers in 0..3, got torch.bool"),
    "classes too few": (lambda: told(x, t, t[:2].long()), ValueError, r"y must have shape \(3,\), got \(2,\)"),
    "classes one-hot": (lambda: told(x, t, torch.eye(3).long()), ValueError, r"y must have shape \(3,\), got \(3, 3\)"),
    "class past the end": (lambda: told(x, t, torch.tensor([0, 4, 1])), ValueError, "y must lie in 0..3, or be -1 for none, got values from 0 to 4"),
    "class below 0": (lambda: told(x, t, torch.tensor([0, -2, 1])), ValueError, "y must lie in 0..3, or be -1 for none, got values from -2 to 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    call, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=message) as e: call()
    assert "\n" not in str(e.value), "one sentence"
