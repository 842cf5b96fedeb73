"The data follow the device of what they are given, and of the generator that draws them."
import pytest
import torch

from dpm_nb.core import rng
from dpm_nb.data import Mixture, gaussian, heartbeat, ring, show_density, swiss_roll, two_bumps

MIXTURES = {"ring": ring(3), "line": two_bumps(), "bell": gaussian(torch.zeros(2), torch.eye(2))}
each_mixture = pytest.mark.parametrize("p", MIXTURES.values(), ids=MIXTURES)


@each_mixture
def test_tables_follow_the_points(p):
    "`meta` is a second device on every machine; it knows shapes and no values."
    x = torch.empty(5, p.dim, device="meta", dtype=torch.bfloat16)
    for answer, shape in ((p.log_prob(x), (5,)), (p.score(x), (5, p.dim))):
        assert answer.device.type == "meta" and answer.dtype == x.dtype and answer.shape == shape
    assert {v.device.type for v in p.terms(x)} == {"meta"} and p.means.device.type == "cpu"


def test_parts_follow_the_means():
    p = Mixture(torch.ones(2)/2, torch.empty(2, 3, device="meta"), torch.eye(3))
    assert {v.device.type for v in vars(p).values() if isinstance(v, torch.Tensor)} == {"meta"}
    assert p.weight.dtype == p.white.dtype == torch.float64


@each_mixture
def test_a_mixture_moves_whole_and_a_subclass_survives(p):
    class Named(Mixture): pass
    own = Named(p.weight, p.means, p.covs)
    own.name, own.table = "mine", torch.arange(3)
    there = own.to("meta")
    assert type(there) is Named and there.name == "mine" and there.dim == p.dim
    assert {v.device.type for v in vars(there).values() if isinstance(v, torch.Tensor)} == {"meta"}
    assert own.table.device.type == own.white.device.type == "cpu" and own.to("cpu") is own


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_draws_lie_where_the_generator_lives():
    for p in MIXTURES.values():
        for q in (p, p.to("cuda")):
            x = q.sample(20, rng(0, "cuda"))
            assert x.device.type == "cuda" and torch.equal(x, q.sample(20, rng(0, "cuda")))
            assert q.sample(20, rng(0)).device.type == "cpu" and torch.equal(q.sample(20, rng(0)), p.sample(20, rng(0)))
            torch.testing.assert_close(q.score(x).cpu(), p.score(x.cpu()))
            torch.testing.assert_close(q.log_prob(x).cpu(), p.log_prob(x.cpu()))
        assert p.to("cuda").sample(20).device.type == "cuda"
    for x in (swiss_roll(20, generator=rng(0, "cuda")), heartbeat(20, generator=rng(0, "cuda"))):
        assert x.device.type == "cuda" and x.dtype == torch.float32
    show_density(ring().to("cuda"))


def test_global_draws_lie_with_the_mixture():
    torch.manual_seed(0)
    x = ring().sample(5)
    torch.manual_seed(0)
    assert torch.equal(x, ring().sample(5)) and x.device.type == "cpu" and x.dtype == torch.float32
    assert swiss_roll(5).shape == (5, 2) and heartbeat(5).shape == (5, 20)
