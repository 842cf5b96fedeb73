"Every public function on a GPU that is none: see pretend."
import inspect
import itertools
import math
import warnings
from functools import cache, cached_property
from types import SimpleNamespace

import matplotlib
import pytest
import torch
from pretend import CPU, Pretend, place
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, kl_divergence
from torch.distributions.utils import broadcast_all
from torch.utils.data import Dataset

from dpm_nb import (binomial, bound, chain, checkpoints, cli, core, data, engine, estimate, families, features, gaussian, guidance, keep,
                    likelihood, metrics, nets, oracle, sampling, schedule, show, solvers, training)
from dpm_nb.checks import INSIDE
from dpm_nb.core import rng

matplotlib.use("agg")
MODULES = (core, data, schedule, gaussian, chain, binomial, bound, estimate, oracle, nets, training, keep, engine, sampling, solvers,
           guidance, likelihood, metrics, features, families, checkpoints, show, cli)


@pytest.fixture
def gpu():
    "A machine with CUDA and MPS."
    with Pretend() as mode, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield mode


# ---------------------------------------------------------------- the pretended device itself

REFUSED = {
    "two devices": (lambda: torch.ones(3, device="cuda") + torch.ones(3), "at least two devices, cuda:0 and cpu"),
    "the other way round": (lambda: torch.ones(3) + torch.ones(3, device="cuda"), "at least two devices"),
    "CUDA and MPS": (lambda: torch.ones(3, device="cuda") + torch.ones(3, device="mps"), "cuda:0 and mps:0"),
    "a row and a number of the device": (lambda: torch.ones(3)*torch.tensor(2., device="cuda"), "two devices"),
    "in place": (lambda: torch.tensor(1.).add_(torch.ones((), device="cuda")), "two devices"),
    "a table and an index of the device": (lambda: torch.ones(3)[torch.tensor([1], device="cuda")],
                                           r"indices should be either on cpu or on the same device .*\(cpu\)"),
    "a mask of the device": (lambda: torch.ones(3)[torch.ones(3, device="cuda") > 0], "indices should be either"),
    "two of three indices": (lambda: torch.ones(3, 3)[:, torch.ones(1, dtype=torch.long, device="cuda")], "indices"),
    "a row set from elsewhere": (lambda: torch.ones(3, device="cuda").__setitem__(torch.tensor([0, 1]), torch.ones(2)),
                                 "two devices"),
    "CPU draws on CUDA": (lambda: torch.randn(3, device="cuda", generator=torch.Generator()),
                          "Expected a 'cuda' device type for generator but found 'cpu'"),
    "CUDA draws on the CPU": (lambda: torch.randn(3, generator=torch.Generator("cuda")),
                              "Expected a 'cpu' device type for generator but found 'cuda'"),
    "CUDA fills the CPU": (lambda: torch.empty(3).normal_(generator=torch.Generator("cuda")), "Expected a 'cpu' device"),
    "MPS draws on CUDA": (lambda: torch.rand(3, device="cuda", generator=torch.Generator("mps")), "Expected a 'cuda'"),
    "permutation": (lambda: torch.randperm(3, generator=torch.Generator("cuda")), "Expected a 'cpu' device type"),
    "multinomial": (lambda: torch.ones(3, device="cuda").multinomial(2, generator=torch.Generator()), "Expected a 'cuda'"),
    "layer": (lambda: nn.Linear(2, 2).to("cuda")(torch.ones(1, 2)), "two devices"),
    "lists": (lambda: torch._foreach_add([torch.ones(2, device="cuda")], [torch.ones(2)]), "two devices"),
    "cat": (lambda: torch.cat([torch.ones(2), torch.ones(2, device="cuda")]), "two devices"),
    "stack of numbers": (lambda: torch.stack([torch.tensor(1.), torch.tensor(1., device="cuda")]), "two devices"),
    "einsum": (lambda: torch.einsum("i,i->i", torch.ones(2), torch.ones(2, device="cuda")), "two devices"),
    "cdist": (lambda: torch.cdist(torch.ones(2, 2), torch.ones(2, 2, device="cuda")), "two devices"),
    "where": (lambda: torch.where(torch.ones(2, device="cuda") > 0, torch.ones(2), 0.), "two devices"),
    "searchsorted": (lambda: torch.searchsorted(torch.ones(2), torch.ones(2, device="cuda")), "two devices"),
    "equal": (lambda: torch.equal(torch.ones(2), torch.ones(2, device="cuda")), "two devices"),
    "a distribution of two places": (lambda: Normal(torch.zeros(2, device="cuda"), torch.ones(2)).log_prob(
        torch.ones(2, device="cuda")), "two devices"),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_a_device_is_not_mixed(gpu, call, message):
    with pytest.raises(RuntimeError, match=message): call()


def test_arrays_and_float64_are_refused(gpu):
    x = torch.ones(3, device="cuda")
    for call in (x.numpy, x.__array__):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"): call()
    wide = torch.ones(3, dtype=torch.float64)
    for call in (lambda: wide.to("mps"), lambda: torch.ones(3, device="mps").double(),
                 lambda: torch.zeros(3, dtype=torch.float64, device="mps"), lambda: nn.Linear(2, 2).double().to("mps"),
                 lambda: torch.tensor(wide, device="mps"), lambda: torch.ones(3, device="mps").new_zeros(3, dtype=torch.double)):
        with pytest.raises(TypeError, match="Cannot convert a MPS Tensor to float64 dtype"): call()
    assert (torch.ones(3, device="mps")*torch.tensor(2., dtype=torch.float64)).dtype == torch.float32
    assert wide.to("mps", torch.float32).device == wide.to(torch.ones(3, device="mps")).device == place("mps")
    with pytest.raises(NotImplementedError, match="log_ndtr"): torch.special.log_ndtr(torch.ones(3, device="mps"))


def test_results_lie_on_the_device(gpu):
    cuda, x, g = place("cuda"), torch.ones(3, 2, device="cuda"), torch.Generator("cuda")
    here = torch.ones(3, 2)
    law = Normal(x, torch.ones((), device="cuda"))
    out = [x + 1, 1 - x, x*torch.tensor(2.), x.T, x[0], x[[0, 1]], x[torch.tensor([0])], x.sum(), x.mean(0, keepdim=True),
           x.double(), x.new_zeros(2), x.new_tensor([1.]), torch.zeros_like(x), torch.rand_like(x), x.detach(), x.data,
           x.clone(), x.softmax(-1), x.split(1), x.unbind(), [*x], x.max(0), x.sort(0), x.expand_as(here),
           torch.cat([x, x]), torch.stack([x, x]), torch.einsum("ij,ij->i", x, x), torch.cdist(x, x), x @ x.T,
           torch.where(x > 0, x, 0.), law.mean, law.rsample(), law.log_prob(x), kl_divergence(law, law), broadcast_all(x, 1.),
           nn.Linear(2, 2).to("cuda")(x), nn.BatchNorm1d(2).to("cuda")(x), torch.linalg.svd(x), torch.full((2,), 1., device="cuda"),
           here.to("cuda"), here.to(x), here.cuda(), here.type_as(x), torch.as_tensor(here, device="cuda"), torch.as_tensor(x),
           torch.tensor([1.], device="cuda"), torch.eye(2, device="cuda"), torch.arange(3, device="cuda"),
           torch.linspace(0, 1, 3, device="cuda"), torch.randn(3, device="cuda", generator=g), torch.empty(3, device="cuda"),
           torch.randint(3, (2,), device="cuda", generator=g), torch.randperm(3, device="cuda", generator=g),
           nn.Parameter(x), nn.functional.interpolate(x[None, None], scale_factor=2), torch.zeros(2, out=torch.ones(2, device="cuda"))]
    assert {y.device for y in leaves(out)} == {cuda} and all(y.is_cuda and not y.is_cpu for y in leaves(out))
    assert torch.randn(3, device="cuda", generator=rng(1, "cuda")).device == cuda == rng(1, "cuda").device
    back = [x.cpu(), x.to("cpu"), x.to(here), here, x.cpu().numpy(), torch.zeros(3), here.new_zeros(2), here[torch.tensor([1])]]
    assert {y.device for y in leaves(back)} == {CPU}
    x[0], x[torch.tensor([1])] = here[0], torch.tensor(5.)
    assert x.device == cuda and here.device == CPU and x[1, 1].item() == 5
    moved = here.to("cuda")
    assert moved.add_(1).device == cuda and here.sum() == 6, "a copy on the device is not the tensor it was made of"


def test_a_network_learns_there(gpu):
    net = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 2)).to("cuda")
    assert {p.device for p in net.parameters()} == {place("cuda")} and all(p.is_leaf for p in net.parameters())
    x, losses = torch.randn(16, 2, device="cuda"), []
    for fused in (True, False):
        optimizer = torch.optim.AdamW(net.parameters(), 1e-2, fused=fused, foreach=not fused)
        for _ in range(5):
            optimizer.zero_grad()
            loss = (net(x) - x).square().mean()
            loss.backward()
            assert {p.grad.device for p in net.parameters()} == {place("cuda")}
            nn.utils.clip_grad_norm_(net.parameters(), 1.)
            gpu.waits.clear()
            optimizer.step()
            assert not gpu.waits
            losses.append(loss)
    assert losses[-1] < losses[0]
    y = x.clone().requires_grad_()
    assert torch.autograd.grad(net(y).sum(), y)[0].device == place("cuda")


def test_waiting_is_noticed(gpu):
    x, waits = torch.ones(3, device="cuda"), {
        "item": lambda: x[0].item(), "tolist": lambda: x.tolist(), "bool": lambda: bool(x[0]), "float": lambda: math.sqrt(x[0]),
        "nonzero": lambda: x.nonzero(), "mask": lambda: x[x > 0], "cpu": lambda: x.cpu(), "to": lambda: x.to("cpu"),
        "sent": lambda: torch.ones(3).to("cuda"), "number sent": lambda: torch.tensor(1., device="cuda"),
        "index sent": lambda: x[torch.tensor([1])], "index read": lambda: torch.ones(3)[torch.tensor(1, device="cuda")],
        "format": lambda: f"{x[0]:.2f}", "equal": lambda: torch.equal(x, x), "copy": lambda: torch.ones(3).copy_(x)}
    for name, call in waits.items():
        gpu.waits.clear()
        call()
        assert gpu.waits, name
    gpu.waits.clear()
    quiet = (x + 1, x[0], x[1:], x.sum(), torch.full((3,), 2., device="cuda"), x.clamp(0, 1), x*torch.tensor(2.), x.shape,
             x.argmax(), x[torch.arange(2, device="cuda")], torch.where(x > 0, x, 0.), len(x), x.copy_(x), torch.zeros_like(x))
    assert quiet and not gpu.waits


def test_nothing_stays_behind():
    before = torch.Generator, torch.Tensor.device
    with pytest.raises(ZeroDivisionError), Pretend(): 1/0
    assert before == (torch.Generator, torch.Tensor.device)


# ---------------------------------------------------------------- what the calls are given

T = 10
PLAN = dict(steps=1, batch=4, lr=1e-3, ema=.9, weight="simple", uniform=.1, drop=.1, clip=1., decay=.01, accumulate=1, precision=None,
            seed=0)
SCHEDULE = schedule.linear(T, end=8.)


def leaves(thing, seen=None):
    "The tensors and random streams in a result."
    seen = set() if seen is None else seen
    if id(thing) in seen: return
    seen.add(id(thing))
    if isinstance(thing, (Tensor, torch.Generator)): yield thing
    elif isinstance(thing, Distribution): yield from leaves([thing.mean, thing.stddev])
    elif isinstance(thing, nn.Module): yield from [*thing.parameters(), *thing.buffers()]
    elif isinstance(thing, dict):
        for v in thing.values(): yield from leaves(v, seen)
    elif isinstance(thing, (tuple, list)):
        for v in thing: yield from leaves(v, seen)
    elif type(thing).__module__.startswith("dpm_nb.") and not isinstance(thing, (schedule.Schedule, core.Family)):
        yield from leaves(vars(thing), seen)


class Rows(Dataset):
    "Examples with their labels, one by one."
    def __init__(self, x): self.x = x
    def __len__(self): return len(self.x)
    def __getitem__(self, i): return self.x[i], i


class Env:
    "Tensors, streams, networks and diffusions on one device; the diffusions' tables lie there, or on the CPU."
    def __init__(self, device, tables):
        self.device, self.tables = device, tables
        self.x, self.z = (torch.randn(8, 2, generator=rng(s)).to(device) for s in (0, 1))
        self.bits = data.heartbeats(6, 3)[[0, 1, 2, 0]].to(device)
        self.unit = torch.rand(4, 6, generator=rng(2)).to(device)
        self.bytes = torch.randint(256, (12, 1, 8, 8), generator=rng(3), dtype=torch.uint8).to(device)
        self.labels = torch.arange(12).remainder(2).to(device)
        self.mixture, self.shape = data.ring(3), (8, 2)

    @property
    def g(self): return rng(0, self.device)

    @property
    def s(self): return self.put(SCHEDULE)

    def put(self, d): return d.to(self.device) if self.tables else d

    @cache
    def d(self, *args, **kwargs): return self.put(gaussian.GaussianDiffusion(SCHEDULE, *args, **kwargs))
    @cache
    def b(self, *args, **kwargs): return self.put(binomial.BinomialDiffusion(SCHEDULE, *args, **kwargs))

    def times(self, n=8):
        "Times as a caller may give them."
        t = torch.arange(n).remainder(T-1).add(2).to(self.device)
        return t, t.int(), t.cpu(), t[0], 3

    @property
    def t(self): return self.times()[0]

    @property
    def beside(self): return self.t.to(self.s.beta.device)

    def net(self, dim=2, **kwargs):
        torch.manual_seed(0)
        net = nets.MLP(dim, 8, 1, **kwargs).to(self.device)
        nn.init.normal_(net.last.weight, std=.1)
        return net

    def member(self, name, **kwargs):
        torch.manual_seed(0)
        return getattr(families, name)((2,), 2, 8, **kwargs).to(self.device)

    def unet(self, **kwargs): return nets.UNet(1, (8, 8), attention=(1,), **kwargs).to(self.device)

    @cached_property
    def closure(self):
        "A model that is a function over tensors on the device."
        scale = torch.tensor([.5, .25], device=self.device)
        return lambda x, t: x*scale + t.reshape(-1, 1)/100

    @cached_property
    def bit_closure(self):
        shift = torch.linspace(-1, 1, 6).to(self.device)
        return lambda x, t: x + shift + t.reshape(-1, 1)/100

    def models(self): return self.net(), self.closure
    @cache
    def run(self): return engine.fit(self.d(), self.net(), self.x.cpu(), **self.few)

    def classes(self): return guidance.ClassOracle(self.d(), self.mixture, torch.tensor([0, 1, 0]))

    def oracle(self, **kwargs): return oracle.Oracle(self.d(**kwargs), self.mixture)
    def rows(self, **kwargs): return oracle.Oracle(self.d(**kwargs), self.x)
    def wide(self): return oracle.Oracle(self.d(), data.gaussian(torch.zeros(2), torch.tensor([[1., .5], [.5, 2.]])))
    def grid(self): return chain.on_grid(data.two_bumps(), n=101)
    @cache
    def classifier(self): return features.train_classifier(self.bytes, self.labels, epochs=1, batch=6, device=self.device)

    @property
    def few(self): return dict(steps=3, batch=8, device=self.device, progress=False)


def walked_twice(rule, e):
    "Two strides of a rule, the second knowing the first."
    stride = rule(e.d(), core.Network(e.net()), [5, 2, 1, 0])
    x, last = stride(e.x, 5, 2, None, e.g)
    return stride(x, 2, 1, last, e.g)[0]


def strange():
    "What is read of a scheduler from elsewhere."
    betas = SCHEDULE.beta[1:].float()
    return SimpleNamespace(betas=betas, alphas_cumprod=torch.cumprod(1 - betas, 0), config=dict(prediction_type="sample"))


def last(loop):
    "The last value of a generator, and all that it gave."
    return [*loop][-1]


# ---------------------------------------------------------------- one call or more of each function

# Where a result has to lie: on the device, beside the schedule's tables, on the CPU as the docstring says, or nowhere.
THERE = {
    "core.cast": lambda e: core.cast(torch.ones(8, dtype=torch.float64), e.x),
    "core.at": lambda e: [core.at(e.s.beta, t, e.x) for t in e.times()],
    "core.per_example": lambda e: core.per_example(e.x),
    "core.rng": lambda e: core.rng(0, e.device),
    "core.draw": lambda e: [core.draw(e.x, g, law) for g in (None, e.g, rng()) for law in (torch.randn, torch.rand)],
    "core.noise_like": lambda e: [core.noise_like(e.x, eps, e.g) for eps in (None, e.z)],
    "core.to_real": lambda e: core.to_real(e.bytes),
    "core.to_uint8": lambda e: core.to_uint8(e.x),
    "core.Network": lambda e: core.Network(e.net(classes=3), torch.zeros(8, dtype=torch.long)).y,
    "core.Network.of": lambda e: core.Network(e.net(classes=3), e.t - 2).of(torch.arange(2, device=e.device)).y,
    "core.Network.once": lambda e: [core.Network(m).once(e.x, e.t, None, 1) for m in e.models()],
    "core.Network.__call__": lambda e: [core.Network(m, rows=rows)(e.x, t) for m in e.models() for rows in (None, 3)
                                        for t in e.times()],
    "core.first_real": lambda e: core.first_real(e.net()),
    "core.check_output": lambda e: core.check_output(e.x, (8, 2)),
    "core.as_network": lambda e: core.as_network(e.closure)(e.x, 3),
    "core.prepare": lambda e: [core.prepare(e.d(), m, x, rows=3)[1:] for m in e.models() for x in (e.x,)]
                              + [core.prepare(e.d(), e.unet(), e.bytes.cpu())[2]],
    "core.Family.states": lambda e: [e.d().states(e.x), e.d().states(e.bytes)],

    "data.Mixture.log_prob": lambda e: [p.log_prob(e.x) for p in (e.mixture, e.mixture.to(e.device))],
    "data.Mixture.score": lambda e: [p.score(e.x) for p in (e.mixture, e.mixture.to(e.device))],
    "data.Mixture.sample": lambda e: [e.mixture.sample(5, e.g), e.mixture.to(e.device).sample(5, e.g)],
    "data.blank": lambda e: [data.blank((2,), e.g), data.blank((2,), device=e.device)],
    "data.swiss_curve": lambda e: data.swiss_curve(e.unit),
    "data.swiss_roll": lambda e: data.swiss_roll(5, generator=e.g),
    "data.heartbeat": lambda e: data.heartbeat(5, generator=e.g),
    "data.pair_of": lambda e: data.pair_of((e.x, e.t)),
    "data.moved": lambda e: data.moved(e.x, torch.device(e.device), torch.float32),
    "data.source": lambda e: [data.source(v, torch.device(e.device), torch.float32, e.g)(3) for v in (
        e.x.cpu(), e.x, (e.x.cpu(), torch.arange(8)), lambda n, generator: e.mixture.sample(n, generator))],
    "data.batches": lambda e: [next(data.batches(v, 3, torch.device(e.device), torch.float32, e.g)) for v in (
        e.x.cpu(), e.x, e.x.cpu().double(), e.bytes.cpu(), (e.x.cpu(), torch.arange(8)), Rows(e.x.cpu()), Rows(e.x.cpu().double()),
        (e.x.cpu(), e.x.cpu().double()), lambda n, generator: data.swiss_roll(n, generator=generator))],

    "schedule.prior_bits": lambda e: schedule.prior_bits(e.unit),
    "schedule.log_odds": lambda e: schedule.log_odds(-1 - e.unit, 0*e.unit),

    "gaussian.GaussianDiffusion.q_step": lambda e: [e.d().q_step(e.x, t) for t in e.times()],
    "gaussian.GaussianDiffusion.q_marginal": lambda e: [e.d().q_marginal(e.x, t) for t in e.times()],
    "gaussian.GaussianDiffusion.q_sample": lambda e: [e.d().q_sample(e.x, t, eps, e.g) for t in e.times()
                                                      for eps in (None, e.z)] + [e.d().q_sample(e.x, 3)],
    "gaussian.GaussianDiffusion.draw": lambda e: [e.d().draw(e.d().q_step(e.x, e.t), eps, e.g) for eps in (None, e.z)],
    "gaussian.GaussianDiffusion.prior": lambda e: e.d().prior((2, 2), e.device),
    "gaussian.GaussianDiffusion.q_posterior": lambda e: [e.d().q_posterior(e.x, e.z, t) for t in e.times()],
    "gaussian.GaussianDiffusion.outputs": lambda e: [e.d().outputs(e.net(), e.x, e.t)[0],
                                                     e.d(variance="learned").outputs(e.net(out=4), e.x, e.t)],
    "gaussian.GaussianDiffusion.predict": lambda e: [[told.x0, told.eps, told.v, told.score, told.u] for told in (
        e.d(view, clip=(-1, 1)).predict(e.closure, e.x, t) for t in e.times() for view in gaussian.VIEWS)],
    "gaussian.GaussianDiffusion.p_step": lambda e: [
        e.d(variance=v).p_step(e.net(out=4) if v == "learned" else m, e.x, t)
        for v in ("beta", "posterior", "learned") for m in e.models() for t in e.times()],
    "gaussian.GaussianDiffusion.decoder": lambda e: [
        e.d(variance=v).decoder(e.net(out=4) if v == "learned" else e.closure, e.x) for v in ("beta", "posterior", "learned")],
    "gaussian.GaussianDiffusion.denoiser": lambda e: [e.d("v", clip=(-1, 1)).denoiser(m)(e.x, 3)[0] for m in e.models()],
    "gaussian.GaussianDiffusion.reverse": lambda e: [
        e.d(variance=v).reverse(e.net(out=4) if v == "learned" else e.closure)(e.x, 3, g)
        for v in ("beta", "posterior", "learned") for g in (None, e.g)],
    "gaussian.GaussianDiffusion.loss": lambda e: [
        e.d(view, v).loss(e.net(out=4 if v == "learned" else 2), e.x, t, generator=e.g, weight=w) for view in gaussian.VIEWS
        for v in ("beta", "posterior", "learned") for w in ("simple", "bound", "min_snr")
        for t in (e.times() if view == "eps" else [3])],
    "gaussian.GaussianDiffusion.variance_loss": lambda e: [e.d(variance="learned").variance_loss(
        e.x, torch.full_like(e.x, .5), e.z, e.x, t) for t in e.times()],
    "gaussian.View.terms": lambda e: gaussian.VIEWS["v"].terms(e.unit, e.unit)[1],
    "gaussian.view_terms": lambda e: gaussian.view_terms("x0", "eps", e.unit, e.unit),
    "gaussian.Prediction": lambda e: gaussian.Prediction(e.x, e.x, e.s, e.beside, "eps").x0,
    "gaussian.Prediction.view": lambda e: gaussian.Prediction(e.x, e.x, e.s, e.beside, "eps").view("v"),
    **{f"gaussian.Prediction.{v}": lambda e, v=v: [getattr(gaussian.Prediction(e.x, e.x, e.s, e.beside, p), v)
                                                   for p in gaussian.VIEWS] for v in gaussian.VIEWS},
    "gaussian.cross_entropy": lambda e: gaussian.cross_entropy(e.d().q_step(e.x, 3), e.d().q_step(e.z, e.t)),

    "binomial.Bits": lambda e: [binomial.Bits(logits=e.unit), binomial.Bits(probs=e.unit).logits],
    "binomial.Bits.log_prob": lambda e: binomial.Bits(probs=e.unit).log_prob(e.bits),
    "binomial.Bits.entropy": lambda e: binomial.Bits(probs=e.unit).entropy(),
    "binomial.kl_bits": lambda e: kl_divergence(e.b().q_step(e.bits, 3), e.b().q_marginal(e.bits, 3)),
    "binomial.BinomialDiffusion.states": lambda e: e.b().states(e.bits),
    "binomial.BinomialDiffusion.q_step": lambda e: [e.b().q_step(e.bits, t) for t in e.times(4)],
    "binomial.BinomialDiffusion.draw": lambda e: [e.b().draw(e.b().q_step(e.bits, 3), eps, e.g) for eps in (None, e.unit)],
    "binomial.BinomialDiffusion.q_marginal": lambda e: [e.b().q_marginal(e.bits, t) for t in e.times(4)],
    "binomial.BinomialDiffusion.q_sample": lambda e: [e.b().q_sample(e.bits, t, eps, e.g) for t in e.times(4)
                                                      for eps in (None, e.unit)],
    "binomial.BinomialDiffusion.prior": lambda e: e.b().prior((2, 2), e.device),
    "binomial.BinomialDiffusion.q_posterior": lambda e: [e.b().q_posterior(e.bits, e.bits, t) for t in e.times(4)],
    "binomial.BinomialDiffusion.predict": lambda e: [e.b().predict(m, e.bits, t) for t in e.times(4)
                                                     for m in (e.net(6), e.bit_closure)],
    "binomial.BinomialDiffusion.p_step": lambda e: [e.b().p_step(m, e.bits, t) for t in e.times(4)
                                                    for m in (e.net(6), e.bit_closure)],
    "binomial.BinomialDiffusion.decoder": lambda e: e.b().decoder(e.bit_closure, e.bits),
    "binomial.BinomialDiffusion.denoiser": lambda e: e.b().denoiser(e.bit_closure)(e.bits, 3)[0],
    "binomial.BinomialDiffusion.reverse": lambda e: [e.b().reverse(e.bit_closure)(e.bits, 3, g) for g in (None, e.g)],
    "binomial.BinomialDiffusion.loss": lambda e: [e.b().loss(m, e.bits, t, generator=e.g) for t in e.times(4)
                                                  for m in (e.net(6), e.bit_closure)],
    "binomial.BitPrediction": lambda e: binomial.BitPrediction(e.unit, e.unit.logit()),
    "binomial.bit_oracle": lambda e: [binomial.bit_oracle(e.b(p), rows, weight)(e.bits, t) for p in ("logit", "x0")
                                      for t in e.times(4) for rows in (e.bits, e.bits.cpu())
                                      for weight in (None, torch.ones(4), e.unit[:, 0])],

    "bound.path_terms": lambda e: [bound.path_terms(e.d(), m, e.x, e.g) for m in e.models()],
    "bound.path_bound": lambda e: [bound.path_bound(e.d(), m, e.x, generator=e.g) for m in e.models()]
                                  + [bound.path_bound(e.b(), e.bit_closure, e.bits, generator=e.g),
                                     bound.path_bound(e.d(), e.net(classes=3), e.x.cpu(), torch.zeros(8).long())],
    "bound.check_bound": lambda e: bound.check_bound(e.x),
    "bound.Bound": lambda e: bounds(e)[0],
    "bound.Bound.parts": lambda e: [b.parts for b in bounds(e)],
    "bound.Bound.total": lambda e: [b.total for b in bounds(e)],
    "bound.Bound.bits_per_dim": lambda e: [b.bits_per_dim for b in bounds(e)],
    "bound.Bound.budget": lambda e: [b.budget for b in bounds(e)],
    "bound.step_terms": lambda e: [bound.step_terms(e.d(), m, e.x, e.t, generator=e.g) for m in e.models()],
    "bound.bin_log_prob": lambda e: bound.bin_log_prob(e.d().q_step(e.x, 1), core.to_real(core.to_uint8(e.x))),
    "bound.check_bytes": lambda e: bound.check_bytes(core.to_real(e.bytes)),
    "bound.decoder_terms": lambda e: [bound.decoder_terms(e.d(), e.net(), core.to_real(core.to_uint8(e.x)), how, generator=e.g)
                                      for how in ("discrete", "continuous")],
    "bound.to_bits": lambda e: bound.to_bits(e.x, 2),
    "bound.vlb": lambda e: bounds(e),
    "bound.prior_terms": lambda e: bound.prior_terms(e.d(), e.x),

    "estimate.pilot": lambda e: [estimate.pilot(*core.prepare(e.d(), m, e.x), 2, generator=e.g) for m in e.models()],
    "estimate.LinearControl": lambda e: estimate.LinearControl(e.d(), e.x),
    "estimate.LinearControl.__call__": lambda e: estimate.LinearControl(e.d(), e.x)(torch.arange(8, device=e.device), e.t, e.z),
    "estimate.subtract_control": lambda e: estimate.subtract_control(e.x, e.z),
    "estimate.spread_times": lambda e: estimate.spread_times(torch.ones(T+1, device=e.device)/(T+1), 3, e.x, e.g),
    "estimate.term_draws": lambda e: estimate.term_draws(
        estimate.LinearControl(e.d(), e.x), lambda t: bound.step_terms(e.d(), e.net(), e.x, t), [e.t, e.t],
        torch.ones(T+1, device=e.device)/T),
    "estimate.square_error": lambda e: estimate.square_error(e.x),

    "oracle.Oracle.__call__": lambda e: [e.oracle(predicts=p)(e.x, t) for p in gaussian.VIEWS for t in e.times()]
                                        + [e.rows()(e.x, 3), e.wide()(e.x, e.t)] + [oracle.Oracle(e.d(), e.x, w)(e.x, 3) for w in (
                                            torch.ones(8)/8, torch.full_like(e.x[:, 0], 1/8))],
    "oracle.Oracle.x0": lambda e: [o.x0(e.x, t) for o in (e.oracle(), e.rows(), e.wide()) for t in e.times()],
    "nets.time_embedding": lambda e: [nets.time_embedding(t, 4) for t in e.times()[:2]],
    "nets.zero_init": lambda e: nets.zero_init(nn.Linear(2, 2).to(e.device)),
    "nets.Label": lambda e: nets.Label(3, 4).to(e.device),
    "nets.Label.forward": lambda e: [nets.Label(T+2, 4).to(e.device)(y) for y in (None, *e.times()[:2])],
    "nets.code_of": lambda e: [nets.code_of(e.net(classes=T+2), e.x, e.t, y) for y in (None, e.t)],
    "nets.MLP": lambda e: e.net(classes=3),
    "nets.MLP.forward": lambda e: [e.net()(e.x, t) for t in e.times()[:2]] + [e.net(classes=T+2)(e.x, e.t, y)
                                                                            for y in (None, *e.times()[:2])],
    "nets.ResBlock": lambda e: nets.ResBlock(16, 4).to(e.device),
    "nets.ResBlock.forward": lambda e: nets.ResBlock(1, 2).to(e.device)(core.to_real(e.bytes[:8]), e.x),
    "nets.Attention": lambda e: nets.Attention(8).to(e.device),
    "nets.Attention.forward": lambda e: nets.Attention(8).to(e.device)(torch.ones(8, 8, 2, 2, device=e.device), e.x),
    "nets.Blocks": lambda e: nets.Blocks(8, 2, 2, True).to(e.device),
    "nets.Blocks.forward": lambda e: nets.Blocks(8, 2, 1, True).to(e.device)(torch.ones(8, 8, 2, 2, device=e.device), e.x),
    "nets.Stage": lambda e: nets.Stage([8, 8], 2, 1, [False, True]).to(e.device),
    "nets.Stage.forward": lambda e: nets.Stage([8, 8], 2, 1, [False, True]).to(e.device)(
        torch.ones(8, 8, 5, 5, device=e.device), e.x),
    "nets.UNet": lambda e: e.unet(classes=3),
    "nets.UNet.forward": lambda e: [e.unet()(core.to_real(e.bytes[:8]), t) for t in e.times()[:2]]
                                   + [e.unet(classes=T+2, patch=2)(core.to_real(e.bytes[:8]), e.t, y) for y in (e.t, e.t - 2)],
    "nets.Guided": lambda e: nets.Guided(e.net(classes=3), 2.),
    "nets.Guided.forward": lambda e: [nets.Guided(e.net(classes=T+2), 2.)(e.x, e.t, y) for y in (None, e.t)],
    "nets.guided": lambda e: [nets.guided(e.net(classes=T+2), g)(e.x, e.t, e.t) for g in (0., 1., 3.)],

    "training.draw_times": lambda e: training.draw_times(5, training.time_chances(e.s).float().cumsum(0).to(e.device), e.g),
    "training.diffusion_loss": lambda e: [
        training.diffusion_loss(e.d())(m, e.x, e.g) for m in e.models()] + [
        training.diffusion_loss(e.d())(e.net(classes=T+2), (e.x, e.t), e.g),
        training.diffusion_loss(e.b())(e.bit_closure, e.bits, e.g)],
    "training.ema_update": lambda e: averaged([e.x.clone()], [e.z]),
    "training.Run": lambda e: [training.Run(e.net(), device=e.device).model, training.Run(nn.Linear(1, 1), device=e.device).ema],
    "training.Run.loss": lambda e: e.run().loss,
    "training.descend": lambda e: whole(training.descend(training.Run(e.net(), device=e.device), lambda model, x, g: (
        model(x, e.t) - x).square().mean(1), e.x, 1e-3, PLAN)),
    "training.set_out": lambda e: [(run.generator, run.model, next(source)) for run, _, source in [training.set_out(
        e.d(), e.net(), e.x.cpu(), PLAN, e.device)]],
    "training.train": lambda e: [whole(last(training.train(d, net.cpu(), v, 3, 4, device=e.device))) for d, net, v in (
        (e.d(), e.net(), e.x), (e.d(), e.net(), e.x.cpu()), (e.d(), e.net(classes=3), (e.x.cpu(), torch.arange(8) % 3)),
        (e.b(), e.net(6), e.bits), (e.b(), e.net(6), lambda n, generator: data.heartbeat(n, 6, 3, generator)),
        (e.d("v"), e.unet(), e.bytes.cpu()), (e.d(variance="learned"), e.net(out=4), e.x),
        (e.d(), e.net(), lambda n, generator: data.swiss_roll(n, generator=generator)),
        (lambda model, x, g: (model(x, e.t[:4]) - x).square().mean(1), e.net(), e.x))],
    "training.without_some": lambda e: [training.without_some(net, y, .5, e.g) for net in (e.net(), e.net(classes=3))
                                        for y in (e.t, e.t.to(torch.uint8))],
    "training.Part": lambda e: training.Part(e.net(), slice(2, 5), 8).model,
    "training.Part.__call__": lambda e: training.Part(e.net(), slice(2, 5), 8)(e.x, e.t),
    "training.backward": lambda e: [training.backward(training.Run(e.net(), device=e.device), lambda model, x, g: (
        model(x, e.t) - x).square().mean(1), e.x, dict(accumulate=m, precision=None)) for m in (1, 2)],

    "keep.remade": lambda e: keep.remade(keep.described(e.net())).to(e.device),
    "keep.plain": lambda e: keep.plain(e.net()),
    "keep.put_back": lambda e: whole(keep.put_back(training.Run(e.net(), device=e.device), keep.state_of(e.run()))),
    "keep.load_run": lambda e: loaded(e),
    "keep.resumed": lambda e: whole(keep.resumed("", keep.state_of(e.run()), e.d(), e.net(), e.run().plan, e.device)),

    "engine.to_the_end": lambda e: whole(engine.to_the_end(trained(e, e.d(), e.net(), e.x.cpu()), None, [], engine.Stop())),
    "engine.Team.tell": lambda e: team(e).tell(e.x),
    "engine.Team.add": lambda e: team(e).add(e.run(), e.x.sum()),
    "engine.fit": lambda e: [whole(e.run()), whole(engine.fit(e.d(), e.net(), e.x.cpu(), path=e.path.parent/"run", every=1, held=e.x,
                                                              watch=lambda run: None, plot=False, **e.few))],

    "sampling.start": lambda e: [sampling.start(e.d(), m, (4, 2), g) for m, g in (
        (e.net(), None), (e.net(), e.g), (e.net(), rng()), (e.closure, e.g))] + [
        sampling.start(e.d(), e.net(classes=3), (4, 2), y=torch.zeros(4, dtype=torch.long))],
    "sampling.stride_by_stride": lambda e: last(sampling.stride_by_stride(
        e.x, [5, 3, 0], lambda x, t, s, last, g: (x + core.draw(x, g), None), e.g)),
    "sampling.walk": lambda e: [last(sampling.walk(e.d(), e.closure, (4, 2), [T, 5, 0], sampling.ddim_rule, e.g)),
                                last(sampling.walk(e.d(), e.net(), None, [3, 2, 1, 0], sampling.ddpm_rule, e.g, e.x))],
    "sampling.ddpm_rule": lambda e: sampling.ddpm_rule(e.d(), core.Network(e.net()), [1, 0])(e.x, 3, 2, None, e.g)[0],
    "sampling.ddpm": lambda e: [last(sampling.ddpm(d, m, shape, e.g)) for d, m, shape in (
        (e.d(), e.net(), (4, 2)), (e.d(), e.closure, (4, 2)), (e.d(variance="learned"), e.net(out=4), (4, 2)),
        (e.b(), e.net(6), (4, 6)), (e.b(), e.bit_closure, (4, 6)), (e.d("v"), e.unet(), (2, 1, 8, 8)))],
    "sampling.ddim_rule": lambda e: sampling.ddim_rule(e.d(), core.Network(e.net()), [5, 0], 1.)(e.x, 5, 0, None, e.g)[0],
    "sampling.ddim": lambda e: [last(sampling.ddim(e.d(clip=(-1, 1)), m, (4, 2), e.g, eta=eta, steps=steps))
                                for m in e.models() for eta in (0., 1.)
                                for steps in (3, [5, 2, 0], torch.tensor([5, 0], device=e.device))],
    **{f"solvers.{name}_rule": lambda e, name=name: walked_twice(getattr(solvers, f"{name}_rule"), e)
       for name in ("heun", "dpmpp_2m", "unipc")},
    **{f"solvers.{name}": lambda e, name=name: [
        last(getattr(solvers, name)(e.d("v", clip=(-1, 1)), m, (4, 2), e.g, steps=steps))
        for m in e.models() for steps in (3, [5, 2, 1, 0])] for name in ("heun", "dpmpp_2m", "unipc")},
    "solvers.Strided.forward": lambda e: [solvers.Strided(e.net(), [5, 2, 0], place)(e.x, torch.ones(len(e.x), dtype=torch.long, device=e.device))
                                          for place in (None, torch.zeros(3))],
    "solvers.respace": lambda e: [last(sampling.ddpm(*solvers.respace(e.d(), e.net(), [5, 2, 0], error), (4, 2), e.g))
                                  for error in (None, torch.ones(2))],
    "checkpoints.FromZero.forward": lambda e: [checkpoints.FromZero(lambda x, t, class_labels=None: (e.net(classes=3)(
        x, t, class_labels),))(e.x, e.t, y) for y in (None, e.t % 3)],
    "checkpoints.from_diffusers": lambda e: last(sampling.ddim(*checkpoints.from_diffusers((e.closure, strange())), (4, 2), e.g,
                                                               steps=3)),
    "guidance.class_log_prob": lambda e: [guidance.class_log_prob(p, torch.tensor([0, 1, 0]), e.x) for p in (e.mixture, e.mixture.to(e.device))],
    "guidance.tilted_log_prob": lambda e: guidance.tilted_log_prob(e.mixture, torch.tensor([0, 1, 0]), e.x, 1, 2.),
    "guidance.ClassOracle.__call__": lambda e: [e.classes()(e.x, t, y) for t in (3, e.t) for y in (None, e.t % 2, e.t.cpu() % 2)],
    "guidance.rounds_rule": lambda e: [guidance.rounds_rule(e.d(), core.Network(e.net()), [*range(5, -1, -1)], 2, known, e.x[:1] > 0)(e.x, 5, 4, None, e.g)[0]
                                       for known in (None, e.x[:1].cpu())],
    "guidance.resampled": lambda e: [last(guidance.resampled(e.d(), m, (4, 2), e.g, rounds=2)) for m in e.models()],
    "guidance.inpaint": lambda e: [last(guidance.inpaint(e.d(), m, shape, e.g, known=x, mask=torch.tensor([True, False]), rounds=2))
                                   for m in e.models() for x, shape in ((e.x, None), (e.x.cpu()[:1], (4, 2)))]
        + [last(guidance.inpaint(e.b(), e.net(6), generator=e.g, known=e.bits, mask=torch.arange(6) < 3))],
    "sampling.sample_model": lambda e: [sampling.sample_model(e.d(), m, (4, 2), how, e.g, **kw) for m in e.models()
                                        for how, kw in (("ddpm", {}), ("ddim", {"steps": 3}), ("ddpm", {"xT": e.x}))],
    "sampling.sample_run": lambda e: [sampling.sample_run(e.run(), 5, method=m, steps=s, seed=0, batch=2)
                                      for m, s in (("ddpm", None), ("ddim", 3))],
    "sampling.sample": lambda e: [
        sampling.sample(e.run(), 5), sampling.sample(e.d(), e.closure, (4, 2), generator=e.g),
        sampling.sample(e.d(), e.net(classes=3), (4, 2), y=torch.zeros(4, dtype=torch.long)),
        sampling.sample(engine.fit(e.d(), e.net(classes=3), (e.x.cpu(), torch.arange(8) % 3), **e.few), 4, y=1),
        sampling.sample(engine.fit(e.d(), e.net(classes=3), (e.x.cpu(), torch.arange(8) % 3), **e.few), 4, y=1, guidance=2.),
        sampling.sample(engine.fit(e.d(), e.net(classes=3), (e.x.cpu(), torch.arange(8) % 3), **e.few), 4,
                        y=torch.tensor([0, 1, 2, 0]), batch=3),
        sampling.sample(engine.fit(e.b(), e.net(6), e.bits.cpu(), **e.few), 4)],

    "likelihood.probe_vectors": lambda e: [likelihood.probe_vectors(e.x, n, e.g) for n in (None, 3)],
    "likelihood.divergence": lambda e: [likelihood.divergence(e.d(), m, e.x, t, e.z[None]) for m in e.models() for t in (3, e.t)],
    "likelihood.path_weights": lambda e: likelihood.path_weights(torch.linspace(0, 1.5, 5).to(e.device)),
    "likelihood.traced": lambda e: likelihood.traced(e.net())(e.x, e.t),
    "likelihood.follow": lambda e: last(likelihood.follow(e.d().to(e.device), core.Network(e.net()), e.x, [0, 3, T]))[1],
    "likelihood.flow": lambda e: [last(likelihood.flow(e.d(), m, e.x, steps=s, probe=p))[1:2 if p is None else 3]
                                  for m in e.models() for s in (None, 4) for p in (None, likelihood.probe_vectors)],
    "likelihood.likelihood_draws": lambda e: [likelihood.likelihood_draws(e.d(), m, e.x, probes=n, generator=e.g, batch=3)
                                              for m in e.models() for n in (None, 2)],
    "likelihood.check_nats": lambda e: likelihood.check_nats(e.x),
    "likelihood.log_likelihood": lambda e: [likelihood.log_likelihood(e.d("v"), m, e.x, steps=4) for m in e.models()]
        + [likelihood.log_likelihood(e.d(), e.net(classes=T+2), e.x.cpu(), e.t.cpu(), generator=e.g, probes=2)],
    "likelihood.log_likelihood_estimate": lambda e: likelihood.log_likelihood_estimate(e.d(), e.net(), e.x, generator=e.g),
    "likelihood.dequantise": lambda e: [likelihood.dequantise(e.bytes, g) for g in (None, e.g)],

    "features.Classifier": lambda e: features.Classifier().to(e.device),
    "features.Classifier.forward": lambda e: features.Classifier().to(e.device)(core.to_real(e.bytes)),
    "features.Classifier.hidden": lambda e: [features.Classifier().to(e.device).hidden(x, 5) for x in (e.bytes, e.bytes.cpu())],
    "features.Classifier.measure": lambda e: features.Classifier().to(e.device).measure(e.bytes),
    "features.Classifier.features": lambda e: e.classifier().features(e.bytes, 5),
    "features.train_classifier": lambda e: [e.classifier(), features.train_classifier(
        e.bytes.cpu(), e.labels.cpu().int(), epochs=1, batch=6, device=e.device)],
    "features.confidence": lambda e: features.confidence(e.classifier(), e.bytes),
    "features.nearest": lambda e: [features.nearest(e.bytes, e.bytes.cpu(), 5), features.nearest(e.x, e.z)],

    "nets.Waves": lambda e: nets.Waves(2).to(e.device),
    "nets.Waves.forward": lambda e: nets.Waves(2).to(e.device)(e.x),
    "families.Residual": lambda e: families.Residual(2, 2).to(e.device),
    "families.Residual.forward": lambda e: families.Residual(2, 2).to(e.device)(e.x),
    "families.point_net": lambda e: families.point_net(2, 3, 8).to(e.device)(e.x),
    "families.encoder": lambda e: [families.encoder((2,), 3, 8).to(e.device)(e.x),
                                   families.encoder((1, 8, 8), 3, 4).to(e.device)(core.to_real(e.bytes))],
    "families.decoder": lambda e: [families.decoder(2, shape, 4).to(e.device)(e.x) for shape in ((2,), (1, 5, 7))],
    "families.coupling_net": lambda e: families.coupling_net((2,), 4).to(e.device)(e.x),
    "families.Coupling": lambda e: e.member("Flow").layers[0],
    "families.Coupling.stretch": lambda e: e.member("Flow").layers[0].stretch(e.x),
    "families.Coupling.forward": lambda e: e.member("Flow").layers[0](e.x),
    "families.Coupling.inverse": lambda e: e.member("Flow").layers[0].inverse(e.x),
    "families.Flow": lambda e: e.member("Flow"),
    "families.Flow.forward": lambda e: e.member("Flow")(e.x),
    "families.Flow.inverse": lambda e: e.member("Flow").inverse(e.x),
    "families.Flow.log_prob": lambda e: [e.member("Flow").log_prob(x) for x in (e.x, e.x.cpu())],
    "families.Flow.loss": lambda e: e.member("Flow").loss(e.x, None, e.g),
    "families.Flow.sample": lambda e: [e.member("Flow").sample(3, g) for g in (None, e.g, rng())],
    "families.family_loss": lambda e: [families.family_loss(e.member(name), batch, e.g) for name in ("Flow", "VAE", "GAN")
                                       for batch in (e.x, (e.x, e.t))],
    "families.VAE": lambda e: e.member("VAE"),
    "families.VAE.q": lambda e: e.member("VAE").q(e.x),
    "families.VAE.p": lambda e: e.member("VAE").p(e.x),
    "families.VAE.terms": lambda e: [e.member("VAE").terms(e.x, eps, g) for g in (None, e.g) for eps in (None, e.z)],
    "families.VAE.loss": lambda e: e.member("VAE").loss(e.x, None, e.g),
    "families.VAE.bound": lambda e: [e.member("VAE").bound(x, 3, g, 9) for g in (None, e.g, rng()) for x in (e.x, e.x.cpu())],
    "families.VAE.sample": lambda e: [e.member("VAE").sample(3, g) for g in (None, e.g, rng())],
    "families.GAN": lambda e: e.member("GAN"),
    "families.GAN.weight_groups": lambda e: [group["params"] for group in e.member("GAN").weight_groups()],
    "families.known": lambda e: [families.known(e.member("VAE"), x) for x in (e.x, e.x.cpu(), core.to_uint8(e.x))],
    "families.GAN.losses": lambda e: [e.member("GAN").losses(e.x, eps, g) for g in (None, e.g) for eps in (None, e.z)],
    "families.GAN.loss": lambda e: e.member("GAN", r1=0.).loss(e.x, None, e.g),
    "families.GAN.sample": lambda e: [e.member("GAN").sample(3, g) for g in (None, e.g, rng())],
}

TABLES = {
    "training.time_chances": lambda e: training.time_chances(e.d().schedule),
    "schedule.Schedule.to": lambda e: [*vars(schedule.linear(T).to(e.device)).values()],
    "gaussian.posterior_terms": lambda e: gaussian.posterior_terms(e.s, e.beside),
    "gaussian.reverse_var": lambda e: [gaussian.reverse_var(e.s, t, v) for v in ("beta", "posterior") for t in (e.beside, 3)],
    "gaussian.decoder_var": lambda e: [gaussian.decoder_var(e.s, t) for t in (e.beside, 3)],
    "gaussian.GaussianDiffusion.step_variance": lambda e: [e.d(variance=v).step_variance(t) for v in ("beta", "posterior")
                                                           for t in (e.beside, 3)],
    "gaussian.GaussianDiffusion.bound_weight": lambda e: [e.d(variance=v).bound_weight(t) for v in ("beta", "posterior")
                                                          for t in (e.beside, 3)],
    "gaussian.GaussianDiffusion.loss_weight": lambda e: [e.d(view).loss_weight(t, w) for view in gaussian.VIEWS
                                                         for w in ("simple", "bound", "min_snr") for t in e.times()],
    "binomial.same_odds": lambda e: binomial.same_odds(e.s.alpha, e.s.beta),
    "binomial.mean_terms": lambda e: [binomial.mean_terms(e.s, t) for t in (e.beside, 3)],
    "guidance.ClassOracle": lambda e: [[o.means, o.covs, o.weight] for o in (e.classes().free, *e.classes().told)],
    "oracle.Oracle": lambda e: [[o.means, o.covs, o.weight] for o in (e.oracle(), e.rows(), e.wide())],
    "oracle.Oracle.schedule": lambda e: e.rows().schedule.beta,
    "oracle.Oracle.marginal": lambda e: [e.oracle().marginal(t) for t in e.times()],
    "oracle.bump_mean": lambda e: oracle.bump_mean(e.wide(), *on_tables(e)),
    "oracle.round_mean": lambda e: oracle.round_mean(e.oracle(), *on_tables(e)),
    "likelihood.angle": lambda e: likelihood.angle(e.s),
}

# Of these the docstring, or the word of a signature, says that they work or end on the CPU.
HERE = {
    "solvers.guess_error": lambda e: solvers.guess_error(e.d(), e.net(), e.x, [5, 1], generator=e.g),
    "data.two_bumps": lambda e: data.two_bumps(),
    "data.swiss_density": lambda e: data.swiss_density(),
    "data.ring": lambda e: data.ring(),
    "data.heartbeats": lambda e: data.heartbeats(),
    "data.digits": lambda e: data.digits(False),
    "schedule.running_sum": lambda e: schedule.running_sum(e.unit[0].cpu().double()),
    "schedule.Schedule": lambda e: [schedule.Schedule(e.s.beta[1:]).beta, schedule.Schedule(.5*e.unit[0] + .1).beta],
    "schedule.linear": lambda e: schedule.linear(T).beta,
    "schedule.cosine": lambda e: schedule.cosine(T).beta,
    "schedule.sigmoid": lambda e: schedule.sigmoid(T).beta,
    "schedule.inverse_time": lambda e: schedule.inverse_time(T).beta,
    "schedule.make_schedule": lambda e: schedule.make_schedule("cosine", T).beta,
    "chain.GridDensity": lambda e: [e.grid(), chain.GridDensity(e.grid().q.float().to(e.device)/e.grid().q.float().sum()
                                                                .item()/e.grid().h, 7.)],
    "chain.GridDensity.log_kernel": lambda e: e.grid().log_kernel(.5),
    "chain.GridDensity.forward": lambda e: e.grid().forward(.5),
    "chain.GridDensity.reverse": lambda e: e.grid().reverse(.5),
    "chain.GridDensity.normal": lambda e: [e.grid().normal(.5, v) for v in ("matched", "beta")],
    "chain.on_grid": lambda e: [chain.on_grid(data.two_bumps(), n=101), chain.on_grid(data.two_bumps().to(e.device), n=101)],
    "oracle.bumps": lambda e: oracle.bumps(e.mixture),
    "training.Run.losses": lambda e: e.run().losses,
    "solvers.two_answers": lambda e: solvers.two_answers(e.s.to("cpu"), [5, 3, 0]),
    "solvers.three_answers": lambda e: solvers.three_answers(e.s.to("cpu"), [5, 3, 1, 0]),
    "sampling.ddim_terms": lambda e: sampling.ddim_terms(e.s.to("cpu"), [5, 3, 0], 1.),
    "sampling.record": lambda e: sampling.record(sampling.ddpm(e.d(), e.net(), (4, 2), e.g), [5, 0]),
    "metrics.factor": lambda e: metrics.factor(e.x.T @ e.x),
    "metrics.gaussian_frechet": lambda e: metrics.gaussian_frechet(e.x[0], e.x.T @ e.x, e.z[0], e.z.T @ e.z),
    "metrics.moments": lambda e: metrics.moments(e.x),
    "metrics.frechet": lambda e: metrics.frechet(e.x, e.z),
    "metrics.shuffled": lambda e: metrics.shuffled(5, e.g),
    "metrics.energy_distance": lambda e: [metrics.energy_distance(e.x, e.z, unbiased=u) for u in (True, False)],
    "metrics.sorted_distance": lambda e: metrics.sorted_distance(e.x, e.z),
    "metrics.sliced_wasserstein": lambda e: [metrics.sliced_wasserstein(e.x, e.z, generator=g) for g in (None, e.g)],
    "features.features_of": lambda e: [features.features_of(phi, x, 5) for phi in (e.classifier(), nn.Flatten())
                                       for x in (e.bytes, e.bytes.cpu())],
    "show.tile": lambda e: [show.tile(e.bytes), show.tile(core.to_real(e.bytes))],
}

# These give numbers, functions, pictures or nothing; they have to run.
PLAIN = {
    "solvers.stops_of": lambda e: solvers.stops_of(e.s, 3),
    "checkpoints.FromZero": lambda e: [*checkpoints.FromZero(e.net()).parameters()] or 1/0,
    "checkpoints.chain_of": lambda e: checkpoints.chain_of(strange()).predicts == "x0" or 1/0,
    "checkpoints.check_chain": lambda e: checkpoints.check_chain(strange()),
    "checkpoints.parts_of": lambda e: checkpoints.parts_of((e.closure, strange())),
    "cli.do_train": lambda e: commanded(e),
    "cli.do_sample": lambda e: commanded(e, lambda run: cli.do_sample(run, 2, steps=2, label=1, out=str(e.path.with_name("2.png")))),
    "cli.do_score": lambda e: commanded(e, lambda run: cli.do_score(run, n=100, passes=32)),
    "solvers.spaced": lambda e: solvers.spaced(e.s, 2, "edm", (0, 1e9)),
    "solvers.Strided": lambda e: solvers.Strided(e.net(classes=3), [5, 0]).classes == 3 or 1/0,
    "core.pick_device": lambda e: core.pick_device(e.device).type == e.device or 1/0,
    "core.check_condition": lambda e: [core.check_condition(e.net(classes=T+2), y, 8) for y in (e.t, e.t.cpu(), None)],
    "core.Family.recipe": lambda e: e.d().recipe,
    "core.Family.dims": lambda e: e.d().dims(e.x),
    "core.Family.to": lambda e: (e.d().to(e.device), e.d().to("cpu")),
    "data.show_density": lambda e: data.show_density(e.mixture.to(e.device)),
    "schedule.plot_schedules": lambda e: schedule.plot_schedules(e.s),
    "gaussian.GaussianDiffusion": lambda e: repr(gaussian.GaussianDiffusion(e.s, "v")),
    "binomial.BinomialDiffusion": lambda e: repr(binomial.BinomialDiffusion(e.s)),
    "chain.GridDensity.gap": lambda e: e.grid().gap(.5),
    "bound.plot_budget": lambda e: bound.plot_budget({"a": bounds(e)[0]}),
    "estimate.vlb_estimate": lambda e: [str(estimate.vlb_estimate(e.d(), m, x, passes=12, generator=e.g, decoder=how))
                                        for m in e.models() for x, how in ((e.x, "continuous"), (core.to_uint8(e.x), "discrete"))]
        + [estimate.vlb_estimate(e.b(), e.bit_closure, e.bits, passes=12, generator=e.g),
           estimate.vlb_estimate(e.d(), e.closure, e.x[:2], passes=12, generator=e.g, decoder="continuous")],
    "training.check_first": lambda e: training.check_first(training.Run(e.net(), device=e.device), e.d(), e.x),
    "training.check_plan": lambda e: training.check_plan(PLAN, PLAN),
    "training.check_batch": lambda e: [training.check_batch(e.d(), e.x), training.check_batch(e.b(), e.bits)],
    "training.plot_losses": lambda e: training.plot_losses(e.run()),
    "keep.streams": lambda e: keep.streams(),
    "keep.put_streams": lambda e: keep.put_streams(keep.streams()),
    "keep.described": lambda e: [keep.described(e.d()), keep.described(e.net())],
    "keep.state_of": lambda e: keep.state_of(e.run()),
    "keep.write": lambda e: keep.write(keep.state_of(e.run()), e.path),
    "keep.read": lambda e: [keep.save_run(e.run(), e.path), keep.read(e.path)],
    "keep.newest": lambda e: [keep.save_run(e.run(), e.path.parent/"step-3.pt"), keep.newest(e.path.parent)],
    "keep.save_run": lambda e: keep.save_run(e.run(), e.path),
    "keep.check_loss": lambda e: keep.check_loss(e.run()),
    "keep.Keeper": lambda e: keep.Keeper(e.path.parent).close(),
    "keep.Keeper.__call__": lambda e: keep.Keeper(e.path.parent)(e.run(), end=True),
    "keep.Keeper.close": lambda e: keep.Keeper(e.path.parent).close(),
    "keep.alike": lambda e: keep.alike(keep.described(e.d()), keep.described(e.d())) or 1/0,
    "engine.least_loss": lambda e: [engine.least_loss(e.d(), m, e.x) for m in (e.net(), e.oracle())],
    "engine.Watch": lambda e: engine.Watch(3, False).close(),
    "engine.Watch.__call__": lambda e: engine.Watch(3, False, False)(e.run(), end=True),
    "engine.Watch.close": lambda e: engine.Watch(3, False, log=e.path.parent).close(),
    "engine.Watch.look": lambda e: engine.Watch(3, False, True, floor=.1, log=None).look(e.run(), {"loss": 1.}),
    "engine.Watch.measure": lambda e: engine.Watch(3, False, held=e.x).measure(e.run()),
    "engine.Watch.show": lambda e: engine.Watch(3, False).show("loss", training.plot_losses(e.run())),
    "engine.Team": lambda e: team(e).rank,
    "engine.Team.begin": lambda e: team(e).begin(e.run()),
    "engine.check_held": lambda e: engine.check_held(e.d(), e.net(classes=3), (e.x.cpu(), torch.arange(8) % 3)),
    "engine.tell": lambda e: engine.tell(e.run(), "here", engine.Watch(1, False, False)),
    "engine.team_of": lambda e: engine.team_of() is None or 1/0,
    "engine.smaller": lambda e: engine.smaller(PLAN, e.d(), e.net(), e.x.cpu(), {"device": e.device}),
    "sampling.plot_strip": lambda e: sampling.plot_strip([(5, e.x), (0, e.x)]),
    "likelihood.stops": lambda e: likelihood.stops(likelihood.angle(e.s), 4),
    "metrics.mean_interval": lambda e: metrics.mean_interval(e.x[:, 0]),
    "metrics.jackknife": lambda e: metrics.jackknife(metrics.frechet, e.x, e.z, groups=2, generator=e.g),
    "metrics.interval": lambda e: [metrics.interval(f, e.x, e.z, groups=3, generator=g) for g in (None, e.g) for f in (
        metrics.frechet, lambda a, b: (a.mean() - b.mean()).square())],
    "metrics.frechet_score": lambda e: str(metrics.frechet_score(e.x, e.z, e.x, groups=2, generator=e.g)),
    "metrics.mode_coverage": lambda e: str(metrics.mode_coverage(e.x, e.mixture.to(e.device))),
    "metrics.coverage_floor": lambda e: str(metrics.coverage_floor(e.mixture.to(e.device), 5)),
    "features.seeded": lambda e: seeded(e),
    "show.show_points": lambda e: show.show_points(e.x),
    "show.show_images": lambda e: show.show_images(e.bytes),
    "show.animate": lambda e: show.animate(lambda k, fig: show.show_points(e.x, ax=fig.subplots()), range(2)),
}

# What computes in float64 and gives float64: there, or on the CPU where the device knows none.
WIDE = {
    "core.precise": lambda e: core.precise(e.x),
    "data.Mixture": lambda e: data.Mixture(torch.ones(2)/2, e.x[:2], torch.eye(2)),
    "data.Mixture.to": lambda e: e.mixture.to(e.device),
    "data.Mixture.terms": lambda e: [p.terms(e.x) for p in (e.mixture, e.mixture.to(e.device))],
    "data.Mixture.mean": lambda e: e.mixture.to(e.device).mean,
    "data.Mixture.cov": lambda e: e.mixture.to(e.device).cov,
    "data.Mixture.standardised": lambda e: e.mixture.to(e.device).standardised(),
    "data.gaussian": lambda e: data.gaussian(e.x[0], torch.eye(2)),
    "oracle.Distance": lambda e: oracle.distance(e.d(), e.net(), e.oracle(), e.x),
    "oracle.distance": lambda e: [oracle.distance(e.d(), m, o, x, times=times, generator=e.g) for m in e.models()
                                  for o in (e.oracle(), e.rows()) for x, times in (
                                      (e.x, None), (e.x, [2, 3]), (e.x, e.t), (e.x.to(m.last.weight if m is not e.closure
                                                                                      else e.x), e.t.int()))],
}

EXEMPT = {
    **dict.fromkeys(["metrics.Interval", "metrics.FrechetScore", "metrics.Coverage", "estimate.Estimate"],
                    "plain numbers under names"),
    "gaussian.View": "two functions under names; its method is called",
    "core.Family": "the ground of the families, which are called",
    **dict.fromkeys([f"core.Diffusion{m}" for m in (
        "", ".dims", ".states", ".to", ".prior", ".q_step", ".q_marginal", ".q_posterior", ".q_sample", ".draw", ".predict",
        ".p_step", ".decoder", ".denoiser", ".reverse", ".loss")], "a protocol: both families are called"),
    **dict.fromkeys(["engine.Stop", "engine.Stop.hear", "engine.memory_is_full", "engine.writer", "keep.plan_of", "keep.NewerVersion"], "plain Python"),
    **dict.fromkeys(["estimate.budget_passes", "training.learning_rate", "sampling.timesteps", "sampling.sampler_of",
                     "nets.check_sizes", "families.check_form", "training.bell_centre", "chain.check_step"], "plain Python"),
    "data.images": "reads files, through torchvision",
    "checkpoints.opened": "reads files, through diffusers",
    **dict.fromkeys(["cli.Reader", "cli.Reader.error", "cli.copy_book", "cli.do_lab", "cli.pictures", "cli.load"], "files and words"),
    "cli.main": "the command, whose parts are called",
    **dict.fromkeys(["show.Living", "show.living", "show.of_lab"], "charts, which hold no tensor"),
    **dict.fromkeys(["data.check_weight", "data.check_means", "data.check_covs", "data.check_data", "schedule.check_beta",
                     "guidance.check_kinds", "guidance.check_mask",
                     "oracle.check_known", "oracle.check_shares", "oracle.check_oracle", "oracle.check_chosen",
                     "nets.check_times", "nets.check_classes", "core.check_smooth",
                     "likelihood.check_reals", "metrics.check_exact", "metrics.check_features", "metrics.check_widths",
                     "metrics.check_rows", "features.check_pictures", "features.check_labels", "sampling.check_strides",
                     "solvers.check_stops", "metrics.check_covariance",
                     "show.check_points", "show.check_tiles", "show.check_chart"], "a word of a signature: the doors of the calls run it"),
}


@cache
def bounds(e):
    "Bounds of reals, of bytes and of bits, of networks and of functions."
    return [bound.vlb(e.d(variance=v), m, x, decoder=how, generator=e.g, batch=20) for v in ("beta", "posterior")
            for m in e.models() for x, how in ((e.x, "continuous"), (core.to_uint8(e.x), "discrete"))] + [
        bound.vlb(e.b(), e.bit_closure, e.bits, generator=e.g), bound.vlb(e.b(), e.net(6), e.bits.cpu()),
        bound.vlb(e.d(variance="learned"), e.net(out=4), e.x, decoder="continuous"),
        bound.vlb(e.d(), e.unet(classes=3), e.bytes[:2].cpu(), torch.tensor([0, 1])),
        bound.vlb(e.d(), e.run().ema, e.x.cpu(), decoder="continuous")]


def on_tables(e):
    "What the means of an oracle ask for, beside its tables."
    x = core.precise(e.x).to(e.s.beta)
    return x, torch.full_like(x[:, :1], .8), torch.full_like(x[:, :1], .6)


def team(e):
    "Processes of which there is one."
    alone = type("Alone", (), dict(device=e.device, process_index=0, num_processes=1, reduce=lambda self, v, how: v))()
    return engine.Team(alone)


def averaged(average, model):
    training.ema_update(average, model, .9, 3)
    return average


def whole(run):
    "All that a run holds."
    return run.model, run.ema, run.history, run.loss, [v["exp_avg"] for v in run.optimizer.state.values()]


def commanded(e, then=lambda run: None):
    "What the command does with the best device that there is, whatever it is."
    run = str(e.path.with_name("run"))
    cli.do_train(classes=True, steps=2, out=run)
    then(run)


def loaded(e):
    "A run from a file, which goes on."
    run = e.run()
    keep.save_run(run, e.path)
    again = keep.load_run(e.path, device=e.device)
    engine.fit(again.d, again, e.x.cpu(), **e.few)
    return whole(keep.load_run(e.path, device="cpu"))[:0] + whole(again)[:4]


def seeded(e):
    with features.seeded(3, torch.device(e.device)): return torch.rand(2, device=e.device)


CALLS = THERE | TABLES | HERE | PLAIN | WIDE
ON = {"cuda": ("cuda", False), "cuda, tables too": ("cuda", True), "mps": ("mps", True)}
on = cache(lambda where: Env(*ON[where])) # made inside a test, where there are devices


def public(module):
    "Names of the functions, classes and methods that a module exports; types and tables are neither."
    for name in module.__all__:
        thing = getattr(module, name)
        if not inspect.isfunction(thing) and not inspect.isclass(thing): continue
        yield f"{module.__name__.removeprefix('dpm_nb.')}.{name}"
        for k, v in vars(thing).items() if inspect.isclass(thing) else ():
            if (not k.startswith("_") or k == "__call__") and (inspect.isfunction(v) or isinstance(v, property)):
                yield f"{module.__name__.removeprefix('dpm_nb.')}.{name}.{k}"


@pytest.mark.parametrize("module", MODULES, ids=[m.__name__.split(".")[1] for m in MODULES])
def test_every_public_function_is_called(module):
    names = {*public(module)}
    assert not (missing := names - CALLS.keys() - EXEMPT.keys()), f"no call on a device, and no reason why not: {missing}"
    of = lambda table: {n for n in table if n.split(".")[0] == module.__name__.split(".")[1]}
    assert not (gone := (of(CALLS) | of(EXEMPT)) - names), f"these are no longer there: {gone}"
    assert not CALLS.keys() & EXEMPT.keys()


@pytest.mark.parametrize("where", ON)
@pytest.mark.parametrize("name", CALLS)
def test_it_works_on_a_device(gpu, tmp_path, name, where):
    device, tables = ON[where]
    e = on(where)
    e.path = tmp_path/"run.pt"
    result = CALLS[name](e)
    if name in PLAIN: return
    spared = device == "mps"
    wanted = (CPU if name in HERE or spared and name in {**WIDE, **TABLES} or name in TABLES and not tables
              and name != "schedule.Schedule.to" else place(device))
    found = [*leaves(result)]
    assert found and {x.device for x in found} == {wanted}


@pytest.mark.parametrize("name", ["data.Mixture.log_prob", "data.Mixture.sample", "gaussian.GaussianDiffusion.p_step",
                                  "sampling.ddim", "binomial.bit_oracle", "oracle.Oracle.x0", "training.diffusion_loss"])
def test_numbers_are_those_of_the_cpu(gpu, name):
    "The device computes on the CPU, so what it gives has to be the same."
    wanted = [*leaves(CALLS[name](Env("cpu", True)))]
    for where in ("cuda, tables too", "mps"):
        for x, y in zip(leaves(CALLS[name](on(where))), wanted, strict=True):
            torch.testing.assert_close(x.cpu(), y, rtol=1e-3, atol=1e-3, check_dtype=False)


# ---------------------------------------------------------------- loops in which nothing waits

def trained(e, d, net, values, **kwargs): return training.train(d, net, values, 4, 4, device=e.device, **kwargs)


LOOPS = {
    **{f"train {view} {v} {w}": lambda e, view=view, v=v, w=w: trained(
        e, e.d(view, v), e.net(out=4 if v == "learned" else 2), e.x.cpu(), weight=w)
       for view in gaussian.VIEWS for v in ("beta", "posterior", "learned") for w in ("simple", "bound", "min_snr")},
    "train on bits": lambda e: trained(e, e.b(), e.net(6), e.bits.cpu()),
    "train on bytes": lambda e: trained(e, e.d(), e.unet(), e.bytes.cpu()),
    "train with labels": lambda e: trained(e, e.d(), e.net(classes=3), (e.x.cpu(), torch.arange(8) % 3)),
    "train on a mixture": lambda e: trained(e, e.d(), e.net(), lambda n, generator: e.unit[:n, :2] - .5),
    "go on": lambda e: trained(e, e.d(), e.run(), e.x.cpu()),
    **{f"ddpm {view} {v}": lambda e, view=view, v=v: sampling.ddpm(
        e.d(view, v, clip=(-3, 3)), e.net(out=4 if v == "learned" else 2), (4, 2), e.g)
       for view in gaussian.VIEWS for v in ("beta", "posterior", "learned")},
    "ddpm of a function": lambda e: sampling.ddpm(e.d(), e.closure, (4, 2), e.g),
    "ddpm of bits": lambda e: sampling.ddpm(e.b(), e.net(6), (4, 6), e.g),
    "ddpm with labels": lambda e: sampling.ddpm(e.d(), e.net(classes=3), (4, 2), e.g, y=torch.zeros(4, dtype=torch.long)),
    "ddpm of pictures": lambda e: sampling.ddpm(e.d(), e.unet(), (2, 1, 8, 8), e.g),
    "ddim": lambda e: sampling.ddim(e.d(), e.net(), (4, 2), e.g, steps=5),
    "ddim with noise": lambda e: sampling.ddim(e.d("v"), e.closure, (4, 2), e.g, steps=5, eta=1.),
    **{name: lambda e, name=name: getattr(solvers, name)(e.d("v"), e.closure, (4, 2), e.g, steps=[9, 6, 4, 2, 1, 0])
       for name in ("heun", "dpmpp_2m", "unipc")},
    **{f"ddpm of a chain seen less often, error {error}": lambda e, error=error: sampling.ddpm(
        *solvers.respace(e.d("v"), e.net(), [9, 6, 4, 2, 1, 0], error), (4, 2), e.g) for error in (None, torch.ones(5))},
    "flow": lambda e: likelihood.flow(e.d(), e.net(), e.x),
    "flow with signs": lambda e: likelihood.flow(e.d("v"), e.net(), e.x, probe=lambda x: likelihood.probe_vectors(x, 2, e.g)),
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("tables", [True, False], ids=["tables there", "tables here"])
def test_a_loop_waits_for_nothing(gpu, loop, tables):
    steps = loop(Env("cuda", tables))
    next(steps)
    gpu.waits.clear()
    assert len([*steps]) >= 3
    assert not gpu.waits, [*dict.fromkeys(gpu.waits)]


@pytest.mark.parametrize("where", ["long", "int"])
def test_an_inner_call_waits_for_nothing(gpu, where):
    "What a loop calls again and again, with tables on the device."
    e = Env("cuda", True)
    t, tb = (v.long() if where == "long" else v.int() for v in (e.t, e.t[:4]))
    b, bit_net, out, calls = e.b(), e.net(6), e.net(out=4), {}
    for view, v in itertools.product(gaussian.VIEWS, ("beta", "posterior", "learned")):
        d, net = e.d(view, v), out if v == "learned" else e.net()
        for w in d.weights: calls[view, v, w] = lambda d=d, net=net, w=w: d.loss(net, e.x, t, e.z, weight=w)
        calls[view, v, "p_step"] = lambda d=d, net=net: d.p_step(net, e.x, t)
        calls[view, v, "predict"] = lambda d=d, net=net: d.predict(net, e.x, t).x0
        for name in ("q_step", "q_marginal", "q_sample"): calls[view, v, name] = lambda d=d, n=name: getattr(d, n)(e.x, t)
        calls[view, v, "q_posterior"] = lambda d=d: d.q_posterior(e.x, e.z, t)
    for name in ("q_step", "q_marginal", "q_sample"): calls["bits", name] = lambda n=name: getattr(b, n)(e.bits, tb)
    calls["bits", "q_posterior"] = lambda: b.q_posterior(e.bits, e.bits, tb)
    calls["bits", "p_step"] = lambda: b.p_step(bit_net, e.bits, tb)
    calls["bits", "loss"] = lambda: b.loss(bit_net, e.bits, tb)
    waits = {}
    with INSIDE:
        for name, call in calls.items():
            gpu.waits.clear()
            call()
            if gpu.waits: waits[name] = [*gpu.waits]
    assert not waits
