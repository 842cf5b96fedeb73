"Guided densities and filled holes: equal to what is known exactly, on any family, behind one door."
import math

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from dpm_nb.binomial import BinomialDiffusion
from dpm_nb.core import rng
from dpm_nb.data import Mixture, gaussian, ring
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.guidance import ClassOracle, class_log_prob, inpaint, resampled, tilted_log_prob
from dpm_nb.nets import MLP, UNet, guided
from dpm_nb.oracle import Oracle
from dpm_nb.sampling import ddpm, sample
from dpm_nb.schedule import Schedule, cosine, linear

KIND = torch.tensor([0, 0, 1, 2])


def uneven():
    "Four bumps of four forms and weights, in three classes."
    covs = torch.tensor([[[.3, .1], [.1, .2]], [[.1, 0.], [0., .4]], [[.2, -.1], [-.1, .3]], [[.05, 0.], [0., .05]]])
    means = torch.tensor([[-1., 0.], [.5, 1.], [1., -.5], [0., -1.]])
    return Mixture(torch.tensor([.1, .2, .3, .4]).double(), means.double(), covs.double())


def test_class_is_bayes_by_hand():
    p, x = uneven(), torch.randn(50, 2, dtype=torch.float64, generator=rng(0))
    bells = torch.stack([w*MultivariateNormal(m, C).log_prob(x).exp() for w, m, C in zip(p.weight, p.means, p.covs)], 1)
    want = torch.stack([bells[:, :2].sum(1), bells[:, 2], bells[:, 3]], 1)
    assert_close(class_log_prob(p, KIND, x).exp(), want/want.sum(1, keepdim=True))
    assert_close(tilted_log_prob(p, KIND, x, 2, 3.), bells.sum(1).log() + 3*(want[:, 2]/want.sum(1)).log())


@pytest.mark.parametrize("view", ["eps", "x0", "v", "score", "u"])
def test_class_oracle_is_the_oracle_of_each_class(view):
    d, p = GaussianDiffusion(cosine(50), view), uneven()
    model, x = ClassOracle(d, p, KIND), torch.randn(8, 2, generator=rng(1))
    t, y = torch.arange(1, 9), torch.tensor([0, 1, 2, -1, 0, 1, 2, -1])
    said = model(x, t, y)
    own = [Oracle(d, Mixture(p.weight[KIND == k]/p.weight[KIND == k].sum(), p.means[KIND == k], p.covs[KIND == k])) for k in range(3)]
    for i, k in enumerate(y.tolist()):
        one = (Oracle(d, p) if k < 0 else own[k])(x[i:i+1], t[i:i+1])
        assert_close(said[i:i+1], one)
    assert_close(model(x, t), Oracle(d, p)(x, t))
    assert model.classes == 3
    with pytest.raises(ValueError, match="y must lie in 0..2"): sample(d, guided(model, 2.), (1, 2), y=torch.tensor([3]))


def test_one_round_is_algorithm_2():
    d, net = GaussianDiffusion(linear(20), "eps", clip=(-2, 2)), MLP(2)
    one, two = (sample(d, net, (5, 2), how, rng(0), **more) for how, more in ((ddpm, {}), (resampled, {"rounds": 1})))
    assert torch.equal(one, two)
    assert not torch.equal(one, sample(d, net, (5, 2), resampled, rng(0), rounds=2))


def moments(how, seed, **more):
    "Mean and variance of 20,000 samples, of a bell seen by its oracle."
    d = GaussianDiffusion(cosine(60), "x0")
    return sample(d, Oracle(d, gaussian(torch.tensor([.5]), torch.tensor([[.3]]))), (20_000, 1), how, rng(seed), **more).double()


@pytest.mark.parametrize("rounds", [2, 4])
def test_rounds_leave_the_true_density_alone(rounds):
    "Five standard errors, and the 2% that steps of this length miss in width."
    x = moments(resampled, rounds, rounds=rounds)
    assert abs(x.mean() - .5) < 5*(.3/len(x))**.5
    assert abs(x.var() - .3) < 5*.3*(2/len(x))**.5 + .006


@pytest.mark.parametrize("g", [2., 4.])
def test_broad_crowd_gives_the_closed_forms(g):
    "(10c.6): a variance of (2r-1)/(2rg-1) where the crowd has no score; five standard errors and 3% for finite steps."
    d = GaussianDiffusion(cosine(300), "x0")
    oracle = lambda v, m: Oracle(d, gaussian(torch.tensor([m]), torch.tensor([[v]])))
    crowd, own = oracle(400., 0.), oracle(.01, 1.)
    model = guided(lambda x, t, y=None: (crowd if y is None else own)(x, t), g)
    xT = math.sqrt(400*d.schedule.alpha_bar[-1] + d.schedule.beta_bar[-1])*torch.randn(4000, 1, generator=rng(0), dtype=torch.float64)
    for r in (1, 3):
        x = sample(d, model, None, resampled, rng(r), y=torch.zeros(4000), xT=xT, rounds=r)
        want = .01*(2*r-1)/(2*r*g-1)
        assert abs(x.var()/want - 1) < 5*(2/4000)**.5 + .05, (r, float(x.var()/want))


def test_what_is_known_stays_and_the_rest_is_filled():
    d = GaussianDiffusion(cosine(20), "v", clip=(-1, 1))
    bytes_ = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8, generator=rng(0))
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, :4] = True
    net = UNet(1, (8, 8)).eval()
    x = sample(d, net, method=inpaint, generator=rng(1), known=bytes_, mask=mask, rounds=2)
    real = d.states(bytes_)
    assert torch.equal(x[:, :, :4], real[:, :, :4]) and not torch.equal(x[:, :, 4:], real[:, :, 4:])
    many = sample(d, net, (5, 1, 8, 8), inpaint, rng(1), known=bytes_[:1], mask=mask)
    assert_close(many[:, :, :4], real[:1, :, :4].expand(5, 1, 4, 8))
    assert many[:, :, 4:].std(0).min() > 0


def test_bits_are_filled_as_well():
    d = BinomialDiffusion(cosine(10))
    known, mask = torch.tensor([[1., 0., 1., 1., 0., 0.]]), torch.arange(6) < 3
    x = sample(d, MLP(6), (50, 6), inpaint, rng(0), known=known, mask=mask, rounds=3)
    assert torch.equal(x[:, :3], known[:, :3].expand(50, 3)) and set(x.unique().tolist()) == {0., 1.}


@pytest.mark.parametrize("corr", [.3, .8])
def test_one_round_hears_half_and_many_hear_all(corr):
    "(10c.12) at one round, the posterior at many; five standard errors and 4% for finite steps and rounds."
    d = GaussianDiffusion(cosine(100), "x0")
    o, n, c = Oracle(d, gaussian(torch.zeros(2), torch.tensor([[1., corr], [corr, 1.]]))), 4000, 2.
    mask, known = torch.tensor([True, False]), torch.tensor([[c, 0.]])
    for r, mean in ((1, c/corr*(1 - math.sqrt(1-corr**2))), (12, corr*c)):
        x = sample(d, o, (n, 2), inpaint, rng(0), known=known, mask=mask, rounds=r)[:, 1]
        assert abs(x.mean() - mean) < 5/n**.5 + .04*c


def test_a_walk_may_be_short():
    x = sample(GaussianDiffusion(Schedule([.5, 1.]), "x0"), lambda x, t: 0*x, (3, 2), inpaint, rng(0),
               known=torch.ones(1, 2), mask=torch.tensor([True, False]))
    assert_close(x, torch.tensor([[1., 0.]]).expand(3, 2))


@pytest.mark.parametrize("more, said", [
    (dict(kind=torch.tensor([0, 0, 1])), "kind must hold a class, 0, 1, ..., for each of 8 bumps"),
    (dict(kind=torch.tensor([0, 0, 0, 0, 2, 2, 2, 2])), "leave none out"),
    (dict(kind=torch.zeros(8)), "kind must hold a class"),
    (dict(kind=[0]*8), "kind must hold a class")])
def test_refuses_classes(more, said):
    with pytest.raises(ValueError, match=said): ClassOracle(GaussianDiffusion(cosine(9)), ring(), **more)


@pytest.mark.parametrize("more, said", [
    (dict(mask=torch.tensor([1, 0])), "mask must hold True or False"),
    (dict(mask=torch.ones(3, dtype=torch.bool)), r"mask must hold True or False and broadcast to \(4, 2\)"),
    (dict(mask=torch.ones(2, dtype=torch.bool), rounds=0), "rounds must be at least 1"),
    (dict(mask=torch.ones(1, 1, 4, 2, dtype=torch.bool)), "mask must hold True or False")])
def test_refuses_masks(more, said):
    with pytest.raises(ValueError, match=said): inpaint(GaussianDiffusion(cosine(9)), MLP(2), known=torch.zeros(4, 2), **more)
