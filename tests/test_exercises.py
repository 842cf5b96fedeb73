"The exercises: each check accepts a right answer however it is written, and refuses wrong ones by a law that they break."
import cmath
import contextlib
import io
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import CHAPTERS, NBS, cells
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import mse_loss, softplus

from dpm_nb.binomial import BinomialDiffusion
from dpm_nb.bound import bin_log_prob
from dpm_nb.gaussian import GaussianDiffusion, posterior_terms, view_terms
from dpm_nb.sampling import ddim_terms
from dpm_nb.schedule import Schedule

pytestmark = pytest.mark.filterwarnings("ignore:.*does not reach the prior") # two steps are short, and meant to be

PATH = NBS/"30_exercises.ipynb"
FOLDED = ("#| Imports", "# Check: ", "# Figure: ")
BLANKS = ["merge", "jump", "complete", "mean_from_noise", "turn_back", "bit_back", "step_cost", "last_cost", "algorithm_1",
          "algorithm_2", "stride", "log_density"]
CHECKS = ["e9", "e10", "e13", "e17", "v", "bits", "e6_step", "e6_last", "e19", "e20", "ddim", "likelihood"]
CHECK = {blank: f"check_{check}" for blank, check in zip(BLANKS, CHECKS)}
PREDICTIONS = {"see_steps": "b", "see_back": "c", "see_silent": "b", "see_stride": "b", "see_unit": "b"}


@pytest.fixture(scope="module")
def book():
    "What the folded cells of the notebook define."
    names = {}
    for cell in cells(PATH, "code"):
        if cell.source.startswith(FOLDED): exec(re.sub(r"^#\|.*", "", cell.source, flags=re.M), names)
    return names


def said(f, *args):
    "What a function prints."
    out = io.StringIO()
    with contextlib.redirect_stdout(out): f(*args)
    return out.getvalue().strip()


def in_one_line(text): return " ".join(text.split())


def verdict(book, name, f):
    f.__name__ = name
    return in_one_line(said(book[CHECK[name]], f))


# Right answers ---------------------------------------------------------------------------


def one(x): return torch.as_tensor(x).double().reshape(1, 1)


def chain(*alphas):
    "A Gaussian diffusion of steps with these shares."
    return GaussianDiffusion(Schedule([1 - float(a) for a in alphas]), variance="beta")


def complete_by_conditioning(xt, x0, a, s):
    "x_{t-1} and x_t are two bells given x_0; condition the first on the second."
    var, cov, total = 1-s, a**.5*(1-s), a*(1-s) + 1-a
    return s**.5*x0 + cov/total*(xt - (a*s)**.5*x0), var - cov**2/total


def complete_by_library(xt, x0, a, s):
    p = chain(s, a).q_posterior(one(xt), one(x0), 2)
    return p.mean.squeeze(), p.variance.squeeze()


def mean_by_library(xt, eps, a, bar):
    if abs(bar - a) < 1e-12: return (xt - (1-bar)**.5*eps)/bar**.5
    d = chain(bar/a, a)
    return d.q_posterior(one(xt), one((xt - (1-bar)**.5*eps)/bar**.5), 2).mean.squeeze()


def mean_by_weights(xt, eps, a, bar):
    x0, s = (xt - math.sqrt(1-bar)*eps)/math.sqrt(bar), bar/a
    return math.sqrt(a)*(1-s)/(1-bar)*xt + math.sqrt(s)*(1-a)/(1-bar)*x0


def turned_as_a_complex_number(xt, v, bar):
    back = complex(xt, v)*cmath.exp(1j*math.acos(math.sqrt(bar)))
    return back.real, back.imag


def turned_by_library(xt, v, bar):
    found = []
    for view in ("x0", "eps"):
        f, g = view_terms(view, "v", bar.sqrt(), (1-bar).sqrt())
        found.append(f*xt + g*v)
    return tuple(found)


def bits_by_votes(xt, x0, a, s):
    vote = lambda k: math.log((1 + k)/(1 - k))
    return 1/(1 + math.exp(-vote(a)*(2*xt - 1) - vote(s)*(2*x0 - 1)))


def bits_by_library(xt, x0, a, s):
    d = BinomialDiffusion(Schedule([1 - float(s), 1 - float(a)]))
    return d.q_posterior(one(xt), one(x0), 2).mean.squeeze()


def bits_by_weights(xt, x0, a, s):
    bar = a*s
    w_t, w_0 = a*(1-s**2)/(1-bar**2), s*(1-a**2)/(1-bar**2)
    return w_t*xt + w_0*x0 + (1-a)*(1-s)/(2*(1+bar))


def cost_by_library(eps, eps_hat, a, bar):
    d, xt = chain(bar/a, a), torch.zeros(1, 1).double()
    q, p = (d.q_posterior(xt, one(-(1-bar)**.5*e/bar**.5), 2) for e in (eps, eps_hat))
    return kl_divergence(q, p).squeeze()


def cost_by_snr(eps, eps_hat, a, bar):
    snr = lambda bar: bar/(1-bar)
    return (snr(bar/a) - snr(bar))/2*(eps - eps_hat)**2/snr(bar)


def last_by_erf(x0, mu, sigma):
    below = lambda x: .5*math.erfc(-(x - mu)/sigma/math.sqrt(2))
    level = round((float(x0) + 1)*127.5)
    high = 1. if level == 255 else below(x0 + 1/255)
    low = 0. if level == 0 else below(x0 - 1/255)
    return -math.log(high - low)


def last_by_integral(x0, mu, sigma):
    "Simpson's rule where the interval is short, a tail where it has no end."
    below = lambda x: torch.special.ndtr((x - mu)/sigma)
    if x0 > .999: return -torch.log(below(2*mu - x0 + 1/255))
    if x0 < -.999: return -torch.log(below(x0 + 1/255))
    x = torch.linspace(float(x0) - 1/255, float(x0) + 1/255, 4001, dtype=torch.float64)
    return -torch.log(torch.trapezoid(torch.exp(-((x - mu)/sigma)**2/2)/sigma/(2*math.pi)**.5, x))


def alg1_by_library(model, x0, alpha_bar):
    d = GaussianDiffusion(Schedule(1 - alpha_bar[1:]/alpha_bar[:-1]))
    t, eps = torch.multinomial(torch.ones(d.schedule.T), len(x0), replacement=True) + 1, torch.randn_like(x0)
    return mse_loss(model(d.q_sample(x0, t, eps), t), eps)


def alg1_example_by_example(model, x0, alpha_bar):
    t = torch.tensor([1 + int(4*torch.rand(())) for _ in x0])
    eps = torch.randn(x0.shape, dtype=torch.float64)
    rows = [math.sqrt(alpha_bar[i])*row + math.sqrt(1 - alpha_bar[i])*e for i, row, e in zip(t, x0, eps)]
    return sum((eps - model(torch.stack(rows), t)).flatten()**2)/len(x0)


def alg1_by_log_snr(model, x0, alpha_bar):
    "The roots as those of sigmoids, and a loss for each example."
    t, eps = torch.randint_like(x0[:, 0], 1, len(alpha_bar)).long(), torch.empty_like(x0).normal_()
    log_snr = torch.logit(alpha_bar[t])[:, None]
    xt = torch.exp(-softplus(-log_snr)/2)*x0 + torch.exp(-softplus(log_snr)/2)*eps
    return (model(xt, t) - eps).square().flatten(1).mean(1)


def alg2_by_posterior(model, x, z, alpha):
    "The guess of x_0, put into the posterior's mean."
    bar = alpha.cumprod(0)
    for t in reversed(range(1, len(alpha))):
        s, x0 = bar[t-1], (x - (1-bar[t]).sqrt()*model(x, t))/bar[t].sqrt()
        x = alpha[t].sqrt()*(1-s)/(1-bar[t])*x + s.sqrt()*(1-alpha[t])/(1-bar[t])*x0
        x = x + (t > 1)*torch.sqrt(1-alpha[t])*z[t]
    return x


def alg2_by_library(model, x, z, alpha):
    d, x = chain(*alpha[1:]), one(x)
    for t in range(d.schedule.T, 0, -1):
        p = d.p_step(model, x, t)
        x = p.mean if t == 1 else p.mean + p.stddev*z[t]
    return x.squeeze()


def alg2_with_floats(model, x, z, alpha):
    x, t = float(x), len(alpha) - 1
    while t:
        a, bar = float(alpha[t]), math.prod(alpha[:t+1].tolist())
        eps = float(model(torch.tensor(x).double(), torch.tensor(t)))
        x = (x - (1-a)/math.sqrt(1-bar)*eps)/math.sqrt(a) + (math.sqrt(1-a)*float(z[t]) if t > 1 else 0)
        t -= 1
    return x


def stride_by_angle(xt, eps, bar_t, bar_s):
    "The turn: from the angle at t to that at s."
    at, to = math.acos(math.sqrt(bar_t)), math.acos(math.sqrt(bar_s))
    x0 = (xt - math.sin(at)*eps)/math.cos(at)
    return math.cos(to)*x0 + math.sin(to)*eps


def stride_by_library(xt, eps, bar_t, bar_s):
    if bar_s == bar_t: return xt
    s = Schedule([1 - float(bar_s), 1 - float(bar_t/bar_s)]) if bar_s < 1 else Schedule([1 - float(bar_t)])
    keep, pull, _ = ddim_terms(s, [2, 1, 0] if bar_s < 1 else [1, 0])[0]
    return keep*xt + pull*(xt - (1-bar_t).sqrt()*eps)/bar_t.sqrt()


def stride_as_a_difference(xt, eps, bar_t, bar_s):
    return (bar_s/bar_t)**.5*xt + ((1-bar_s)**.5 - (bar_s*(1-bar_t)/bar_t)**.5)*eps


def density_by_sums(xT, angles, growth):
    total = sum(-.5*x*x - .5*math.log(2*math.pi) for x in xT.tolist())
    return total + sum((g + h)/2*(b - a) for a, b, g, h in zip(angles, angles[1:], growth, growth[1:]))


def density_by_numpy(xT, angles, growth):
    h = np.diff(angles.numpy())
    return -.5*(xT.numpy()**2).sum() - len(xT)*np.log(2*np.pi)/2 + h @ (growth.numpy()[:-1] + growth.numpy()[1:])/2


def density_of_many(xT, angles, growth):
    "The bell of all dimensions at once."
    p = torch.distributions.MultivariateNormal(torch.zeros_like(xT), torch.eye(len(xT)).to(xT))
    return p.log_prob(xT) + torch.cumulative_trapezoid(growth, angles)[-1]


RIGHT = {
    "merge": [lambda a, s: math.sqrt(a*(1-s) + (1-a)), lambda a, s: torch.hypot(torch.sqrt(a - a*s), torch.sqrt(1-a)),
              lambda a, s: abs(complex(math.sqrt(a)*math.sqrt(1-s), math.sqrt(1-a)))],
    "jump": [lambda x0, t, eps, alpha: chain(*alpha[1:]).q_sample(one(x0), t, one(eps)).squeeze(),
             lambda x0, t, eps, alpha: math.sqrt(math.prod(alpha[1:t+1].tolist()))*float(x0)
                                       + math.sqrt(1 - math.prod(alpha[1:t+1].tolist()))*float(eps),
             lambda x0, t, eps, alpha: Normal(alpha.log().cumsum(0)[t].div(2).exp()*x0,
                                              (1 - alpha.log().cumsum(0)[t].exp()).sqrt()).icdf(Normal(0., 1.).cdf(eps))],
    "complete": [complete_by_conditioning, complete_by_library,
                 lambda xt, x0, a, s: ((math.sqrt(a)*(1-s)*xt + math.sqrt(s)*(1-a)*x0)/(1-a*s), (1-s)/(1-a*s)*(1-a))],
    "mean_from_noise": [mean_by_library, mean_by_weights, lambda xt, eps, a, bar: xt/a.sqrt() - (1-a)/(a*(1-bar)).sqrt()*eps],
    "turn_back": [turned_as_a_complex_number, turned_by_library,
                  lambda xt, v, bar: torch.tensor([[bar**.5, -(1-bar)**.5], [(1-bar)**.5, bar**.5]]).double() @ torch.stack([xt, v])],
    "bit_back": [bits_by_votes, bits_by_library, bits_by_weights],
    "step_cost": [cost_by_library, cost_by_snr,
                  lambda eps, eps_hat, a, bar: float(1-a)/(2*(float(a) - float(bar)))*(float(eps) - float(eps_hat))**2],
    "last_cost": [last_by_erf, last_by_integral, lambda x0, mu, sigma: -bin_log_prob(Normal(one(mu), one(sigma)), one(x0)).squeeze()],
    "algorithm_1": [alg1_by_library, alg1_example_by_example, alg1_by_log_snr],
    "algorithm_2": [alg2_by_posterior, alg2_by_library, alg2_with_floats],
    "stride": [stride_by_angle, stride_by_library, stride_as_a_difference],
    "log_density": [density_by_sums, density_by_numpy, density_of_many],
}


# Wrong answers, with words of the law that each breaks ---------------------------------------


def alg1(low=1, high=1, draw=torch.randn_like, a=.5, b=.5, target="eps", power=2, scale=1., late=0, each=True):
    "Algorithm 1 with one thing changed."
    def algorithm_1(model, x0, bar):
        T, n = len(bar) - 1, len(x0) if each else 1
        t = torch.randint(low, T + high, (n,)).expand(len(x0))
        eps, left = draw(x0), bar[t][:, None]
        xt = left**a*x0 + (1-left)**b*eps
        want = eps if target == "eps" else x0
        return scale*((want - model(xt, t - late))**power).mean()
    return algorithm_1


def alg2(last=False, sign=-1, root=.5, own=True, beta=True, late=0, stop=1, box=False, unshrink=True):
    "Algorithm 2 with one thing changed."
    def algorithm_2(model, x, z, alpha):
        bar = alpha.cumprod(0)
        for t in range(len(alpha)-1, stop-1, -1):
            share, eps = (1-alpha[t] if beta else alpha[t])/(1 - (bar if own else alpha)[t])**.5, model(x, t)
            mean = x + sign*share*eps
            if box: mean = (x - (1-bar[t])**.5*eps)/bar[t]**.5
            elif unshrink: mean = mean/alpha[t]**.5
            x = mean + (1-alpha[t])**root*z[max(t-late, 0)]*(t > 1 or last)
        return x
    return algorithm_2


def jump(root_x=.5, root_eps=.5, late=0, own=False, swap=False, sign=1, beta=False):
    "The jump with one thing changed."
    def jump(x0, t, eps, alpha):
        if beta: alpha = torch.cat([alpha[:1], 1-alpha[1:]])
        bar = alpha[t] if own else alpha[:t+1-late].prod()
        if swap: x0, eps = eps, x0
        return bar**root_x*x0 + sign*(1-bar)**root_eps*eps
    return jump


def last(half=1/255, sign=-1, unit=1., ends=True, low=True, power=1):
    "L_0 with one thing changed."
    def last_cost(x0, mu, sigma):
        below = Normal(mu, sigma**power).cdf
        high = 1 if ends and x0 > .999 else below(x0 + half)
        return sign*torch.as_tensor(high - (0 if ends and low and x0 < -.999 else below(x0 - half))).log()/unit
    return last_cost


def bits_with_roots(xt, x0, a, s):
    "The Gaussian's weights, of (3.5)."
    w_t, w_0 = a**.5*(1-s)/(1-a*s), s**.5*(1-a)/(1-a*s)
    return w_t*xt + w_0*x0 + (1-w_t-w_0)/2


def bits_never_alike(xt, x0, a, s):
    "A bit that is thrown is taken to be the other one."
    way = lambda bit: (a if xt == bit else 1-a)*(s if x0 == bit else 1-s)
    return way(1)/(way(1) + way(0))


def turn(xt, v, bar): return bar**.5*xt - (1-bar)**.5*v, (1-bar)**.5*xt + bar**.5*v


PRIOR = Normal(0., 1.)

WRONG = {
    "merge": {
        "root missing": (lambda a, s: 1 - a*s, "keeps everything"),
        "widths added": (lambda a, s: (a*(1-s))**.5 + (1-a)**.5, "variances add"),
        "older noise not shrunk": (lambda a, s: ((1-s) + (1-a))**.5, "keeps nothing"),
        "alpha where its root is": (lambda a, s: (a**2*(1-s) + 1-a)**.5, "variances add"),
        "what is kept": (lambda a, s: (a*s)**.5, "keeps everything"),
        "sign": (lambda a, s: -(1-a*s)**.5, "keeps everything"),
        "beta for alpha": (lambda a, s: (1-(1-a)*(1-s))**.5, "keeps everything"),
    },
    "jump": {
        "root of alpha_bar missing": (jump(root_x=1), "t = 1"),
        "root of the noise missing": (jump(root_eps=1), "t = 1"),
        "the slide's misprint": (jump(root_eps=.25), "t = 1"),
        "one step too few": (jump(late=1), "t = 1"),
        "alpha_t for alpha_bar_t": (jump(own=True), "without noise every step"),
        "arguments swapped": (jump(swap=True), "t = 1"),
        "sign": (jump(sign=-1), "t = 1"),
        "beta for alpha": (jump(beta=True), "t = 1"),
        "noises added as widths": (lambda x0, t, eps, alpha: alpha[:t+1].prod()**.5*x0 + sum(
            (alpha[i+1:t+1].prod()*(1-alpha[i]))**.5 for i in range(1, t+1))*eps, "variance v of the noise"),
        "nothing left of the noise beside data": (lambda x0, t, eps, alpha: alpha[:t+1].prod()**.5*x0
                                                  + (1-alpha[:t+1].prod())**.5*eps*(t == 1 or x0 == 0), "added up"),
    },
    "complete": {
        "M doubled": (lambda xt, x0, a, s: tuple(k*v for k, v in zip((2, 1), complete_by_conditioning(xt, x0, a, s))), "same place"),
        "sign of M": (lambda xt, x0, a, s: tuple(k*v for k, v in zip((-1, 1), complete_by_conditioning(xt, x0, a, s))), "same place"),
        "roots missing": (lambda xt, x0, a, s: ((a*(1-s)*xt + s*(1-a)*x0)/(1-a*s), (1-s)/(1-a*s)*(1-a)), "same place"),
        "precision for variance": (lambda xt, x0, a, s: (complete_by_conditioning(xt, x0, a, s)[0], (1-a*s)/(1-s)/(1-a)), "variance is 1/P"),
        "arguments swapped": (lambda xt, x0, a, s: complete_by_conditioning(x0, xt, a, s), "same place"),
        "beta for alpha": (lambda xt, x0, a, s: complete_by_conditioning(xt, x0, 1-a, s), "same place"),
        "variances averaged": (lambda xt, x0, a, s: (complete_by_conditioning(xt, x0, a, s)[0], ((1-a)/a + 1-s)/2), "variance is 1/P"),
        "witnesses believed alike": (lambda xt, x0, a, s: ((xt/a**.5 + s**.5*x0)/2, (1-s)/(1-a*s)*(1-a)), "lowest"),
        "jump to t for t-1": (lambda xt, x0, a, s: complete_by_conditioning(xt, x0, a, a*s), "same place"),
        "beta as the variance": (lambda xt, x0, a, s: (complete_by_conditioning(xt, x0, a, s)[0], 1-a), "variance is 1/P"),
    },
    "mean_from_noise": {
        "the slide's box": (lambda xt, e, a, bar: (xt - (1-bar)**.5*e)/bar**.5, "without noise"),
        "sign": (lambda xt, e, a, bar: (xt + (1-a)/(1-bar)**.5*e)/a**.5, "t = 1"),
        "root missing below": (lambda xt, e, a, bar: (xt - (1-a)/(1-bar)*e)/a**.5, "t = 1"),
        "alpha for beta": (lambda xt, e, a, bar: (xt - a/(1-bar)**.5*e)/a**.5, "t = 1"),
        "not unshrunk": (lambda xt, e, a, bar: xt - (1-a)/(1-bar)**.5*e, "without noise"),
        "alpha without root": (lambda xt, e, a, bar: (xt - (1-a)/(1-bar)**.5*e)/a, "without noise"),
        "all of the noise": (lambda xt, e, a, bar: (xt - (1-bar)**.5*e)/a**.5, "Bayes"),
        "alpha_t for alpha_bar_t": (lambda xt, e, a, bar: (xt - (1-a)**.5*e)/a**.5, "Bayes"),
        "arguments swapped": (lambda xt, e, a, bar: (e - (1-a)/(1-bar)**.5*xt)/a**.5, "without noise"),
    },
    "turn_back": {
        "sign of v in x_0": (lambda xt, v, bar: (bar**.5*xt + (1-bar)**.5*v, (1-bar)**.5*xt + bar**.5*v), "pure noise"),
        "sign of v in eps": (lambda xt, v, bar: (bar**.5*xt - (1-bar)**.5*v, (1-bar)**.5*xt - bar**.5*v), "nothing is noised"),
        "roots missing": (lambda xt, v, bar: (bar*xt - (1-bar)*v, (1-bar)*xt + bar*v), "make x_t again"),
        "swapped": (lambda xt, v, bar: ((1-bar)**.5*xt + bar**.5*v, bar**.5*xt - (1-bar)**.5*v), "nothing is noised"),
        "arguments swapped": (lambda xt, v, bar: (bar**.5*v - (1-bar)**.5*xt, (1-bar)**.5*v + bar**.5*xt), "nothing is noised"),
        "beta for alpha": (lambda xt, v, bar: ((1-bar)**.5*xt - bar**.5*v, bar**.5*xt + (1-bar)**.5*v), "nothing is noised"),
        "v as u": (lambda xt, v, bar: ((xt - (1-bar)**.5*v)/(bar**.5 + (1-bar)**.5), (xt + bar**.5*v)/(bar**.5 + (1-bar)**.5)), "nothing is noised"),
        "v stretched": (lambda xt, v, bar: turn(xt, v*(bar**.5 + (1-bar)**.5), bar), "there and back"),
    },
    "bit_back": {
        "the Gaussian's roots": (bits_with_roots, "throws every bit"),
        "thrown bits never alike": (bits_never_alike, "throws every bit"),
        "not divided by the sum": (lambda xt, x0, a, s: (1+a*(2*xt-1))*(1+s*(2*x0-1))/4, "throws every bit"),
        "arguments swapped": (lambda xt, x0, a, s: bits_by_votes(x0, xt, a, s), "throws every bit"),
        "sign of the data's vote": (lambda xt, x0, a, s: bits_by_votes(xt, 1-x0, a, s), "throws every bit"),
        "sign of what is seen": (lambda xt, x0, a, s: bits_by_votes(1-xt, x0, a, s), "no vote"),
        "jump to t for t-1": (lambda xt, x0, a, s: bits_by_votes(xt, x0, a, a*s), "throws every bit"),
        "votes averaged": (lambda xt, x0, a, s: (bits_by_votes(xt, x0, a, 0.) + bits_by_votes(xt, x0, 0., s))/2, "throws every bit"),
        "only the jump": (lambda xt, x0, a, s: s*x0 + (1-s)/2, "no vote"),
        "ones preferred": (lambda xt, x0, a, s: bits_by_weights(xt, x0, a, s) + a*(1-a)*s*(1-s), "ones and zeros are alike"),
        "chances added": (lambda xt, x0, a, s: bits_by_votes(xt, x0, a, 0.) + bits_by_votes(xt, x0, 0., s) - .5, "share of those"),
    },
    "step_cost": {
        "half missing": (lambda e, h, a, bar: (1-a)/(a-bar)*(e-h)**2, "divergence"),
        "square missing": (lambda e, h, a, bar: (1-a)/(2*(a-bar))*(e-h), "twice the error"),
        "beta for the width": (lambda e, h, a, bar: (1-a)/(2*a*(1-bar))*(e-h)**2, "divergence"),
        "sign": (lambda e, h, a, bar: -(1-a)/(2*(a-bar))*(e-h)**2, "divergence"),
        "noise of both added": (lambda e, h, a, bar: (1-a)/(2*(a-bar))*(e+h)**2, "costs nothing"),
        "weight left away": (lambda e, h, a, bar: (e-h)**2, "divergence"),
        "root of the variance": (lambda e, h, a, bar: (1-a)**2/(2*((a-bar)/a/(1-bar)*(1-a))**.5*a*(1-bar))*(e-h)**2, "divergence"),
        "alpha for beta": (lambda e, h, a, bar: a/(2*(a-bar))*(e-h)**2, "divergence"),
        "absolute error": (lambda e, h, a, bar: (1-a)/(2*(a-bar))*abs(e-h), "twice the error"),
    },
    "last_cost": {
        "interval half as wide": (last(half=1/510), "over its interval"),
        "interval twice as wide": (last(half=2/255), "over its interval"),
        "sign": (last(sign=1), "over its interval"),
        "bits for nats": (last(unit=math.log(2)), "over its interval"),
        "ends closed": (last(ends=False), "lies beyond"),
        "lower end closed": (last(low=False), "lies beyond"),
        "variance for width": (last(power=2), "over its interval"),
        "small chances raised": (lambda x0, mu, sigma: -last()(x0, mu, sigma).neg().exp().clamp(min=1e-3).log(), "add up to 1"),
        "the density": (lambda x0, mu, sigma: -Normal(mu, sigma).log_prob(x0), "costs nothing"),
        "density times the interval": (lambda x0, mu, sigma: -Normal(mu, sigma).log_prob(x0) - math.log(2/255), "costs nothing"),
    },
    "algorithm_1": {
        "times from 0": (alg1(low=0, high=0), "its own time"),
        "T left out": (alg1(high=0), "its own time"),
        "one time for all": (alg1(each=False), "its own time"),
        "root of alpha_bar missing": (alg1(a=1), "told x_0"),
        "root of the noise missing": (alg1(b=1), "told x_0"),
        "even noise": (alg1(draw=torch.rand_like), "noise of its own"),
        "the same noise for all": (alg1(draw=lambda x: torch.randn(1, 1).to(x).expand_as(x)), "noise of its own"),
        "asks for the picture": (alg1(target="x0"), "told x_0"),
        "square missing": (alg1(power=1), "loses the mean square"),
        "half": (alg1(scale=.5), "loses the mean square"),
        "time of the network off by one": (alg1(late=1), "its own time"),
    },
    "algorithm_2": {
        "noise in the last step": (alg2(last=True), "adds no noise"),
        "sign": (alg2(sign=1), "told x_0"),
        "beta for its root": (alg2(root=1), "sqrt(beta) z"),
        "alpha_t for alpha_bar_t": (alg2(own=False), "sqrt(beta) z"),
        "alpha for beta": (alg2(beta=False), "told x_0"),
        "the slide's box": (alg2(box=True), "sqrt(beta) z"),
        "stops before the last step": (alg2(stop=2), "once for each t"),
        "noise of another step": (alg2(late=1), "sqrt(beta) z"),
        "not unshrunk": (alg2(unshrink=False), "told x_0"),
        "no noise at all": (alg2(root=99.), "sqrt(beta) z"),
    },
    "stride": {
        "keeps the old noise": (lambda x, e, t, s: s**.5*(x - (1-t)**.5*e)/t**.5 + (1-t)**.5*e, "guess of x_0"),
        "no noise": (lambda x, e, t, s: s**.5*(x - (1-t)**.5*e)/t**.5, "from t to t"),
        "root missing": (lambda x, e, t, s: s*(x - (1-t)**.5*e)/t**.5 + (1-s)**.5*e, "from t to t"),
        "arguments swapped": (lambda x, e, t, s: stride_as_a_difference(x, e, s, t), "guess of x_0"),
        "sign": (lambda x, e, t, s: s**.5*(x + (1-t)**.5*e)/t**.5 + (1-s)**.5*e, "from t to t"),
        "variance for width": (lambda x, e, t, s: s**.5*(x - (1-t)**.5*e)/t**.5 + (1-s)*e, "from t to t"),
        "only unshrunk": (lambda x, e, t, s: (s/t)**.5*x, "guess of x_0"),
        "straight line": (lambda x, e, t, s: x + (s-t)/(1-t)*((x - (1-t)**.5*e)/t**.5 - x), "jump to s"),
    },
    "log_density": {
        "sign": (lambda x, a, g: PRIOR.log_prob(x).sum() - torch.trapezoid(g, a), "denser before"),
        "mean over dimensions": (lambda x, a, g: PRIOR.log_prob(x).mean() + torch.trapezoid(g, a), "nothing grows"),
        "constant forgotten": (lambda x, a, g: -(x**2).sum()/2 + torch.trapezoid(g, a), "nothing grows"),
        "half forgotten": (lambda x, a, g: -(x**2 + math.log(2*math.pi)/2).sum() + torch.trapezoid(g, a), "nothing grows"),
        "no angle": (lambda x, a, g: PRIOR.log_prob(x).sum() + g.sum(), "denser before"),
        "the stop before": (lambda x, a, g: PRIOR.log_prob(x).sum() + g[:-1] @ a.diff(), "from stop to stop"),
        "the stop after": (lambda x, a, g: PRIOR.log_prob(x).sum() + g[1:] @ a.diff(), "from stop to stop"),
        "all stops alike": (lambda x, a, g: PRIOR.log_prob(x).sum() + g.mean()*(a[-1] - a[0]), "from stop to stop"),
        "the last stops left out": (lambda x, a, g: PRIOR.log_prob(x).sum() + torch.trapezoid(g[a <= 1.5], a[a <= 1.5]), "keeps each quantile"),
        "bits for nats": (lambda x, a, g: (PRIOR.log_prob(x).sum() + torch.trapezoid(g, a))/math.log(2), "nothing grows"),
    },
}


# What is asked ---------------------------------------------------------------------------


def answers():
    "The answers that fold out."
    found = {}
    for cell in cells(PATH, "markdown"):
        for code in re.findall(r"```python\n(.*?)```", cell.source, re.S): found[re.search(r"def (\w+)", code)[1]] = code
    return found


def test_there_are_twelve_of_each():
    assert list(answers()) == BLANKS and list(RIGHT) == BLANKS and list(WRONG) == BLANKS and len(BLANKS) == 12
    assert all(len(RIGHT[b]) >= 3 and len(WRONG[b]) >= 5 for b in BLANKS)


@pytest.mark.parametrize("name", BLANKS)
def test_the_folded_answer_is_right(name, book):
    names = dict(book)
    exec(answers()[name], names)
    assert said(book[CHECK[name]], names[name]).startswith(f"Right: {name} obeys ")


@pytest.mark.parametrize("name, way", [(n, i) for n in BLANKS for i in range(len(RIGHT[n]))])
def test_any_right_way_is_accepted(name, way, book):
    got = verdict(book, name, RIGHT[name][way])
    assert got.startswith("Right: "), got


@pytest.mark.parametrize("name, mistake", [(n, m) for n in BLANKS for m in WRONG[n]])
def test_a_wrong_answer_is_refused_by_a_law(name, mistake, book):
    f, words = WRONG[name][mistake]
    got = verdict(book, name, f)
    assert got.startswith("Not yet: ") and " should be " in got and words in got and "stops with" not in got, got
    assert got.count(". ") == 0 and got.endswith(")."), got


@pytest.mark.parametrize("name", BLANKS)
def test_a_blank_is_called_a_blank(name, book):
    stored = next(c for c in cells(PATH, "code") if c.source.startswith(f"def {name}("))
    names = dict(book)
    got = said(exec, stored.source, names)
    assert got.startswith("Not filled yet: "), got
    assert got in "".join(o.get("text", "") for o in stored.outputs), f"{name} does not store what its check says"
    for nothing in (None, NotImplemented, ...): assert verdict(book, name, lambda *a, nothing=nothing: nothing).startswith("Not filled yet")


@pytest.mark.parametrize("name", BLANKS)
def test_an_answer_that_stops_is_told_so(name, book):
    assert "stops with ZeroDivisionError, " in verdict(book, name, lambda *a: 1/0)
    assert "stops with TypeError, " in verdict(book, name, lambda: 0)


def test_the_input_that_is_told_is_the_smallest(book):
    "A merge that fails from a place on is told at the first input beyond it, whatever order the inputs were written in."
    def shown(limit):
        f = lambda a, s: (1-a*s)**.5 + (a + s >= limit)
        return [float(v) for v in re.findall(r"=([\d.]+)[,)]", verdict(book, "merge", f))]
    assert shown(1.4) == [1, .5] and shown(1.6) == [1, 1]


def laws_of(name, book):
    "The laws that a check asks."
    found, judge = [], book["judge"]
    book["judge"] = lambda f, *laws: found.extend(laws)
    try: book[CHECK[name]](None)
    finally: book["judge"] = judge
    return found


@pytest.mark.parametrize("name", BLANKS)
def test_laws_are_cited_asked_in_order_and_each_of_them_needed(name, book):
    laws = laws_of(name, book)
    assert len(laws) >= 3
    broken = [verdict(book, name, f) for f, _ in WRONG[name].values()]
    for law in laws:
        sizes = [book["size"](c) for c in law.cases]
        assert sizes == sorted(sizes) and re.search(r"\(\d+[a-z]?\.\d+\)$", law.__doc__), law.__doc__
        assert any(law.__doc__ in b for b in broken), f"No wrong answer is refused by the law that {law.__doc__}"


def test_a_number_of_float32_will_do(book):
    assert verdict(book, "merge", lambda a, s: torch.sqrt(1 - a*s).float()).startswith("Right: ")


@pytest.mark.parametrize("name, truth", PREDICTIONS.items())
def test_a_prediction_is_shown_only_once_it_is_made(name, truth, book):
    for nothing in ("?", "", None, "d"):
        assert not re.search(r"\d", said(book[name], nothing)), f"{name} tells before one has chosen"
    for choice in "abc":
        got = said(book[name], choice).splitlines()
        assert got[-1].startswith(f"You said {choice}, and " + ("so it is" if choice == truth else f"it is {truth}")), got
        assert len(got) > 1 and re.search(r"\d", got[0])
    stored = next(c for c in cells(PATH, "code") if c.source.endswith(f"{name}(choice)"))
    assert stored.source.startswith('choice = "?"') and "First choose" in stored.outputs[0].text


def test_two_right_blanks_make_a_machine(book):
    "A small network needs no proof here, only a picture that shows two bumps of the right size."
    names = dict(book)
    for name in ("algorithm_1", "algorithm_2"): exec(answers()[name], names)
    with plt.ioff(): share = names["your_machine"](names["algorithm_1"], names["algorithm_2"])
    assert abs(share - .3) < 5*(.21/2000)**.5 + .05
    assert f"{share:.3f} of your walkers end on the left" in plt.gca().get_title()
    plt.close("all")
    blank = lambda *a: ...
    assert "9 and 10" in said(names["your_machine"], blank, blank)
    assert "blank of 10" in said(lambda: names["your_machine"](names["algorithm_1"], blank, steps=1))


def test_the_figures_told_in_the_questions_are_right():
    assert [round(.98**n, 2) for n in (100, 200)] == [.13, .02] and round(.98**100/2, 2) == .07
    assert round(1/.9, 2) == 1.11 and abs(.81**.5 - .9) < 1e-12 and round(math.log(2), 2) == .69


def test_all_questions_of_the_chapters_are_there_as_they_stand(book):
    stored = next(o.data["text/markdown"] for c in cells(PATH, "code") for o in c.outputs if "text/markdown" in o.get("data", {}))
    asked = [p for p in CHAPTERS if p.name[0].isdigit() and any("1. *Compute.*" in c.source for c in cells(p, "markdown"))]
    assert len(asked) >= 19 and stored.count("*Compute.*") == stored.count("*Predict.*") == len(re.findall(r"\*Break\.?\*", stored)) == len(asked)
    assert [f"]({p.name})\n" in stored for p in asked] == [True]*len(asked)
    assert stored.count("<details>") == stored.count("</details>") == len(asked)
    now = read_anew(book)
    assert stored == now, "The chapters' questions have changed: run `make notebooks ARGS=30`"


def read_anew(book):
    had, book["beside"] = book["beside"], lambda: NBS
    try: return book["pencil"]()
    finally: book["beside"] = had


def test_a_notebook_alone_says_where_the_questions_are(book, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(book["dpm_nb"], "__file__", str(tmp_path/"dpm_nb"/"__init__.py"))
    assert "https://" in book["pencil"]()
