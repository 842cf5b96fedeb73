"Training a classifier leaves the random streams of the process alone, and the old page of the chapter is still found."
import pytest
import torch
from pretend import Pretend

from dpm_nb import features as F
from dpm_nb.core import rng

PICTURES, LABELS = torch.randint(256, (20, 1, 8, 8), generator=rng(0), dtype=torch.uint8), torch.arange(20) % 2
FEW = {"epochs": 1, "batch": 8}


@pytest.fixture
def streams(monkeypatch):
    "Nothing may seed all devices at once."
    def called(*args): raise AssertionError("the streams of every device were seeded")
    for name in ("manual_seed", "manual_seed_all", "seed_all"): monkeypatch.setattr(torch.cuda, name, called)
    for owner, name in ((torch, "manual_seed"), (torch.random, "manual_seed"), (torch.mps, "manual_seed")):
        monkeypatch.setattr(owner, name, called)


def test_training_leaves_the_streams_alone(streams):
    before = torch.get_rng_state()
    one, two, other = (F.train_classifier(PICTURES, LABELS, seed=seed, device="cpu", **FEW).head.weight for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert torch.equal(F.train_classifier(PICTURES, LABELS, seed=3, device="cpu", **FEW).head.weight, one)
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_an_error_leaves_the_streams_alone(streams):
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), F.seeded(3, torch.device("cpu")):
        torch.rand(1)
        1/0
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", [torch.device(name) for name in ("cuda", "cuda:0", "mps")], ids=str)
def test_the_stream_of_the_device_is_put_back_too(streams, device):
    with Pretend():
        mine = torch.mps._get_default_mps_generator() if device.type == "mps" else torch.cuda.default_generators[0]
        mine.manual_seed(7)
        before = torch.get_rng_state(), mine.get_state()
        with F.seeded(3, device):
            drawn = torch.rand(4), torch.rand(4, generator=mine, device=device).cpu()
        assert torch.equal(torch.get_rng_state(), before[0]) and torch.equal(mine.get_state(), before[1])
        assert torch.equal(drawn[0], torch.rand(4, generator=rng(3))) and torch.equal(drawn[1], drawn[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_streams_of_a_gpu(streams):
    before = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    F.train_classifier(PICTURES, LABELS, device="cuda", **FEW)
    after = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    assert all(map(torch.equal, after, before))
