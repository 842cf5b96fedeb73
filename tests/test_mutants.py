"An equation that is changed by hand must fail a cell of its own notebook."
import matplotlib.pyplot as plt
import pytest
from conftest import NBS, cells, directives

MUTANTS = {
    "01: a score with the wrong sign": ("01_data", 'pull = -torch.einsum("...kji,...kj->...ki", self.white, z)', 'pull = torch.einsum("...kji,...kj->...ki", self.white, z)'),
    "01: a half in the log-density": ("01_data", "self.dim/2*math.log(2*math.pi)", "self.dim*math.log(2*math.pi)"),
    "01: the roll's variance": ("01_data", "(39*math.pi**2/4 - 4 -", "(39*math.pi**2/4 + 4 -"),
    "01: bytes one level off": ("01_data", "x.float()/127.5 - 1", "x.float()/128 - 1"),
    "12: the trace counted once": ("12_metrics", "trace - 2*shared", "trace - shared"),
    "12: the jackknife's bias": ("12_metrics", "bias += (G-1)*", "bias += G*"),
    "12: the mean's error without its root": ("12_metrics", "math.sqrt(len(x))", "len(x)"),
    "12: each point paired with itself": ("12_metrics", "len(x)/(len(x)-1)", "1"),
    "12: a pair counted once": ("12_metrics", "return 2*apart(a, b) -", "return apart(a, b) -"),
    "12: steps of the wrong length": ("12_metrics", "[low//m]", "[low//n]"),
    "12: directions that are no bases": ("12_metrics", "torch.linalg.qr(torch.randn(-(-L//F), F, F, generator=generator or rng(), dtype=a.dtype))[0]",
                                         "torch.randn(-(-L//F), F, F, generator=generator or rng(), dtype=a.dtype)/F**.5"),
    "12: the modes' weights upside down": ("12_metrics", "f/p.weight", "f*p.weight"),
    "12: a mode too many in the floor": ("12_metrics", "(len(p.weight)-1)", "len(p.weight)"),
    "12b: features in their own units squared": ("12b_pictures", ".rsqrt() @", ".reciprocal() @"),
    "12b: a network left in training": ("12b_pictures", "phi.eval().parameters()", "phi.parameters()"),
    "12b: the farthest for the nearest": ("12b_pictures", "part, b).argmin(1)", "part, b).argmax(1)"),
    "02: alpha for alpha_bar": ("02_schedule", "running_sum(torch.log1p(-self.beta))", "(torch.log1p(-self.beta), 0*self.beta)"),
    "02: a dropped 1-": ("02_schedule", "torch.expm1(log_alpha_bar).abs()", "log_alpha_bar.exp()"),
    "02: a sign in L_T": ("02_schedule", "-0.5*torch.log1p(-alpha_bar)", "-0.5*torch.log1p(alpha_bar)"),
    "02: beta not rescaled with T": ("02_schedule", "(end-start)*part)/T)", "(end-start)*part)/1000)"),
    "02: cosine without its square": ("02_schedule", "torch.sin(left[:-1]+left[1:])/torch.sin(left[:-1])**2", "torch.sin(left[:-1]+left[1:])/torch.sin(left[:-1])"),
    "02: an index in inverse time": ("02_schedule", "torch.arange(check_count(\"T\", T), 0, -1,", "torch.arange(check_count(\"T\", T)+1, 1, -1,"),
    "03: beta for its root in a step": ("03_gaussian", "at(s.beta.sqrt(), t, xs)", "at(s.beta, t, xs)"),
    "03: alpha for alpha_bar in the jump": ("03_gaussian", "Normal(at(s.alpha_bar.sqrt(), t, x0)*x0", "Normal(at(s.alpha.sqrt(), t, x0)*x0"),
    "03: the slide's misprint in the jump": ("03_gaussian", "at(s.beta_bar.sqrt(), t, x0)*noise_like", "at(s.beta_bar.sqrt().sqrt(), t, x0)*noise_like"),
    "03: an index in the posterior": ("03_gaussian", "kept, added = s.beta_bar[t-1]/s.beta_bar[t]", "kept, added = s.beta_bar[t]/s.beta_bar[t]"),
    "03: a root in the posterior's mean": ("03_gaussian", "s.alpha_bar[t-1].sqrt()*added", "s.alpha_bar[t-1]*added"),
    "03: beta for the posterior's variance": ("03_gaussian", "*added, kept*s.beta[t]", "*added, s.beta[t]"),
    "03: a sign in x0 from eps": ("03_gaussian", '{"eps": (1/a, -b/a)', '{"eps": (1/a, b/a)'),
    "03: a sign in v": ("03_gaussian", "tuple(a*e - b*x for", "tuple(a*e + b*x for"),
    "03: the score without its root": ("03_gaussian", "tuple(-e/b for e in eps)", "tuple(-e/(b*b) for e in eps)"),
    "03: learned variance, ends swapped": ("03_gaussian", "weight*cast(s.beta[t].log(), weight) + (1-weight)", "(1-weight)*cast(s.beta[t].log(), weight) + weight"),
    "03: noise at t=1": ("03_gaussian", "if t == 1: return mean", "if t == 0: return mean"),
    "03: a sign in the loss of a score": ("03_gaussian", "b*out + eps", "b*out - eps"),
    "03: a sign in the target of v": ("03_gaussian", "out - (a*eps - b*x0)", "out - (a*eps + b*x0)"),
    "03: the cross-entropy without its 2": ("03_gaussian", "torch.log(2*math.pi*var) + error/var", "torch.log(math.pi*var) + error/var"),
    "03: the cross-entropy without the posterior's width": ("03_gaussian", "p.variance, q.variance + (q.mean", "p.variance, (q.mean"),
    "04: a root in the kernel's mean": ("04_chain", "math.sqrt(1-beta)*self.x, math", "(1-beta)*self.x, math"),
    "04: Bayes without the data": ("04_chain", "(self.log_kernel(beta) + self.q.log())", "self.log_kernel(beta)"),
    "04: Bayes with the later density": ("04_chain", "+ self.q.log())", "+ self.forward(beta).q.log())"),
    "04: normalised over the wrong state": ("04_chain", ".softmax(-1)/self.h", ".softmax(0)/self.h"),
    "04: beta for its root in the Normal": ("04_chain", "return Normal(mean, math.sqrt(beta))", "return Normal(mean, beta)"),
    "04: averaged over the wrong state": ("04_chain", "(kl @ self.forward(beta).q)", "(kl @ self.q)"),
    "05: a bit flipped with beta": ("05_binomial", "torch.log1p(2*kept/thrown)", "torch.log1p(kept/thrown)"),
    "05: beta for beta_bar in the jump": ("05_binomial", "cast(same_odds(s.alpha_bar[t], s.beta_bar[t]), x0)", "cast(same_odds(s.alpha[t], s.beta[t]), x0)"),
    "05: a root in the draw": ("05_binomial", "at(s.alpha_bar, t, x0)*x0 + at(s.beta_bar, t, x0)/2", "at(s.alpha_bar.sqrt(), t, x0)*x0 + at(s.beta_bar, t, x0)/2"),
    "05: an index in the posterior": ("05_binomial", "same_odds(s.alpha_bar[t-1], s.beta_bar[t-1])", "same_odds(s.alpha_bar[t], s.beta_bar[t])"),
    "05: a sign in the posterior": ("05_binomial", "now*(2*xt-1) + start*(2*x0-1)", "now*(2*xt-1) - start*(2*x0-1)"),
    "05: a half in the mixture's constant": ("05_binomial", "s.beta[t]*lost/2/total", "s.beta[t]*lost/total"),
    "05: the mixture's sides swapped": ("05_binomial", "for x in (xt, 1-xt))", "for x in (1-xt, xt))"),
    "05: the KL's direction": ("05_binomial", "d = u.sigmoid(), v.sigmoid(), logsigmoid(v) - logsigmoid(u)", "d = v.sigmoid(), u.sigmoid(), logsigmoid(u) - logsigmoid(v)"),
    "05: the loss without its T": ("05_binomial", "return self.schedule.T*gap", "return gap"),
    "05: noise that is not uniform": ("05_binomial", "(p - noise_like(x0, eps, generator, torch.rand))", "(p - noise_like(x0, eps, generator))"),
    "06: the prior added": ("06_bound", "total = (total - d.prior(", "total = (total + d.prior("),
    "06: a step left out of a path": ("06_bound", "for t in range(1, d.schedule.T+1):", "for t in range(1, d.schedule.T):"),
    "06: the divergence turned round": ("06_bound", "kl_divergence(d.q_posterior(xt, x0, t), d.p_step(model, xt, t))", "kl_divergence(d.p_step(model, xt, t), d.q_posterior(xt, x0, t))"),
    "06: times from 1": ("06_bound", "n//B + 2, generator", "n//B + 1, generator"),
    "06: a byte of another width": ("06_bound", "((level+0.5)/127.5 - 1 - p.mean)", "((level+1)/127.5 - 1 - p.mean)"),
    "06: an end interval closed": ("06_bound", "torch.where(level < 255,", "torch.where(level < 256,"),
    "06: the tails not reflected": ("06_bound", "reflect = low + high > 0", "reflect = low + high > math.inf"),
    "06: nats for bits": ("06_bound", "*math.log(2)) - math.log2", "*1.) - math.log2"),
    "06: a unit the wrong way": ("06_bound", "- math.log2(check_number", "+ math.log2(check_number"),
    "06: a term not divided by its share": ("06_bound", "value/share[t]", "value*share[t]"),
    "06: the control's mean": ("06_bound", "(self.gain**2*var).sum", "(self.gain*var).sum"),
    "06: slopes from the own half": ("06_bound", "for h in (~half, half):", "for h in (half, ~half):"),
    "06: differences counted twice": ("06_bound", ".square().mean()/2/z.numel()", ".square().mean()/z.numel()"),
    "07: alpha_bar for its root in the noised data": ("07_oracle", "A.sqrt()*self.means", "A*self.means"),
    "07: blame without the width of a bump": ("07_oracle", "(var.log() + y**2/var)", "(y**2/var)"),
    "07: a bump's pull the wrong way": ("07_oracle", "o.means + pull", "o.means - pull"),
    "07: a half in the blame": ("07_oracle", "a**2*o.means.square().sum(1)/2)/S", "a**2*o.means.square().sum(1))/S"),
    "07: the root of 1 - alpha_bar": ("07_oracle", "x + b**2*(r @", "x + b*(r @"),
    "07: the decoder's width": ("07_oracle", "d.decoder(lambda x, t: x, d.schedule.beta.new_zeros(1, 1)).variance[0]", "reverse_var(d.schedule, torch.tensor([1]), 'beta')"),
    "07: an index in the price of a distance": ("07_oracle", "step_variance(d)[t-1]", "step_variance(d)[t-2]"),
    "08: a wavelength": ("08_nets", "(-math.log(slowest)/n)", "(-math.log(slowest)/(n-1))"),
    "08: attention over channels": ("08_nets", "h.transpose(-1, -2).reshape(x.shape)", "h.reshape(x.shape)"),
    "09: times from 0": ("09_training", ".clamp_(max=T-1) + 1", ".clamp_(max=T-1)"),
    "09: the average's weights swapped": ("09_training", "get_ema_multi_avg_fn(mu)", "get_ema_multi_avg_fn(1-mu)"),
    "09: the bound's half": ("09_training", "return s.T/2*drop/base", "return s.T*drop/base"),
    "10: the misprinted mean in a stride": ("10_sampling", "s.alpha_bar[e].sqrt() - keep*s.alpha_bar[t].sqrt()", "s.alpha_bar[e].sqrt()"),
    "10: a root in the stride's noise": ("10_sampling", "(s.beta_bar[e] - std**2)", "(s.beta_bar[e] - std)"),
    "10: Algorithm 2 stops early": ("10_sampling", "for t in range(d.schedule.T, 0, -1):", "for t in range(d.schedule.T, 1, -1):"),
    "11: the angle from the wrong side": ("11_likelihood", "torch.atan2(s.beta_bar.sqrt(), s.alpha_bar.sqrt())", "torch.atan2(s.alpha_bar.sqrt(), s.beta_bar.sqrt())"),
    "11: unit vectors, one too few": ("11_likelihood", "expand(D, *x.shape)", "expand(D, *x.shape)[1:]"),
    "11: signs of 0 and 1": ("11_likelihood", "< 0.5).to(x)*2 - 1", "< 0.5).to(x)"),
    "11: the first half": ("11_likelihood", "n[1] = 0.5", "n[1] = 0."),
    "11: a sign between two stops": ("11_likelihood", "n[2:] += (1 - p*rate)/2", "n[2:] += (1 + p*rate)/2"),
    "11: Euler for Heun": ("11_likelihood", "d.predict(model, x + h*v, t).v)", "v)"),
    "11: volume gained for lost": ("11_likelihood", "total = total + w*(z.sum(", "total = total - w*(z.sum("),
    "11: a byte's interval shifted": ("11_likelihood", "generator, torch.rand) - 0.5)/127.5", "generator, torch.rand))/127.5"),
}


def first_failure(notebook, old, new):
    "Run a notebook's cells with one exported cell changed; the number of the first that fails, or None."
    sources = [(i, c.source) for i, c in enumerate(cells(NBS/f"{notebook}.ipynb")) if c.cell_type == "code" and not directives(c) & {"slow", "gpu"}]
    changed = [i for i, source in sources if old in source and source.startswith("#| export")]
    assert len(changed) == 1, f"{old!r} stands in {len(changed)} exported cells of {notebook}"
    space = {"__name__": "__main__", "display": lambda *shown, **options: None}
    for i, source in sources:
        try: exec(compile(source.replace(old, new) if [i] == changed else source, f"{notebook}, cell {i}", "exec"), space)
        except Exception: return i
        finally: plt.close("all")


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_dies(name, monkeypatch):
    plt.switch_backend("agg")
    monkeypatch.chdir(NBS)
    notebook, old, new = MUTANTS[name]
    cell = first_failure(notebook, old, new)
    assert cell is not None, f"no cell of {notebook} noticed that {old!r} became {new!r}"
    print(f"cell {cell} noticed")
