"Checkpoints: chains and networks of diffusers, written by it, and opened, scored, sampled and taught on by us."
import copy
import sys
from types import SimpleNamespace

import mpmath as mp
import pytest
import torch
from torch.testing import assert_close

from dpm_nb.bound import vlb
from dpm_nb.checkpoints import PREDICTS, FromZero, chain_of, from_diffusers
from dpm_nb.core import Network, rng
from dpm_nb.engine import fit
from dpm_nb.estimate import vlb_estimate
from dpm_nb.gaussian import posterior_terms
from dpm_nb.keep import load_run
from dpm_nb.likelihood import log_likelihood
from dpm_nb.sampling import ddim, sample, samplers
from dpm_nb.schedule import Schedule
from dpm_nb.solvers import dpmpp_2m

NEEDED = "diffusers is not installed: pip install -e '.[checkpoints]'"
SCHEDULES = "linear", "scaled_linear", "squaredcos_cap_v2"
QUIET = dict(progress=False, plot=False)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def diffusers(monkeypatch):
    "The library, with the network out of reach."
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("diffusers", reason=NEEDED)


def small(diffusers, channels=1, **more):
    "A small network with random weights."
    torch.manual_seed(0)
    more = dict(out_channels=channels) | more
    return diffusers.UNet2DModel(8, in_channels=channels, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
                                 down_block_types=("DownBlock2D",)*2, up_block_types=("UpBlock2D",)*2, **more)


@pytest.fixture
def folder(diffusers, tmp_path):
    "A checkpoint that diffusers wrote."
    scheduler = diffusers.DDPMScheduler(60, 0.002, 0.2, variance_type="fixed_large", clip_sample_range=1.5)
    diffusers.DDPMPipeline(small(diffusers), scheduler).save_pretrained(tmp_path/"ckpt")
    return tmp_path/"ckpt"


def stand_in(betas=None, **config):
    "What is read of a scheduler."
    betas = torch.linspace(1e-3, 0.3, 40) if betas is None else betas
    return SimpleNamespace(betas=betas, alphas_cumprod=torch.cumprod(1 - betas, 0), config=dict(prediction_type="epsilon") | config)


def wavy(x, i): return torch.tanh(1.3*x + 0.2)*(0.2 + 0.001*i.to(x).reshape(-1, *[1]*(x.ndim-1)))


def start(): return torch.randn(20, 2, dtype=torch.float64, generator=rng(0))


# ---------------------------------------------------------------- without the library

@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpmpp_2m", "unipc", "heun"])
def test_each_rule_asks_at_the_timestep(name):
    heard = []
    def net(x, i):
        heard.append(int(i[0]))
        return SimpleNamespace(sample=x/2), x   # never looked into, so this must fail below
    def told(x, i):
        heard.append(int(i[0]))
        return (x/2,)
    d, model = from_diffusers((told, stand_in()))
    sample(d, model, (3, 2), name, rng(0), **({} if name == "ddpm" else dict(steps=[40, 17, 3, 1, 0])))
    assert set(heard) == (set(range(40)) if name == "ddpm" else {39, 16, 2, 0})
    with pytest.raises(ValueError, match="model must return a tensor"): sample(d, FromZero(net), (3, 2), "ddim", steps=2)


def test_a_rescaled_chain_ends_at_no_signal():
    d = chain_of(stand_in(torch.tensor([.1, .2, .5, 1.]), prediction_type="v_prediction"))
    assert d.schedule.alpha_bar[-1] == 0 and sample(d, FromZero(wavy), (3, 2), "ddim", rng(0), steps=4).isfinite().all()
    with pytest.raises(ValueError, match="predicts must be 'v', 'x0' or 'u'"): chain_of(stand_in(torch.tensor([.1, .2, .5, 1.])))


def test_a_folder_needs_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"pip install 'dpm-nb\[checkpoints\]'"): from_diffusers("here")


@pytest.mark.parametrize("schedule", [torch.linspace(1e-4, .02, 1000), torch.linspace(.01, .02**.5, 1000)**2], ids=["linear", "scaled"])
def test_fifty_digits_are_on_our_side(schedule):
    s, kept, worst = chain_of(stand_in(schedule)).schedule, mp.mpf(1), 0.
    w_t, w_0, var = posterior_terms(s, torch.arange(1, 1001))
    with mp.workdps(50):
        for k, b in enumerate(map(mp.mpf, schedule.tolist())):
            before, kept = kept, kept*(1 - b)
            rest = (1 - before)/(1 - kept)
            pairs = (w_t, mp.sqrt(1-b)*rest), (w_0, mp.sqrt(before)*b/(1-kept)), (var, rest*b)
            if k: worst = max(worst, *(float(abs(mp.mpf(v[k].item())/e - 1)) for v, e in pairs))
    assert worst < 1e-13


# ---------------------------------------------------------------- beside the library

@pytest.mark.parametrize("width", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("view", PREDICTS)
def test_our_steps_are_theirs(diffusers, view, schedule, width):
    "Of Algorithm 2, from the same states and noise; as far as their float32 tables go."
    scheduler = diffusers.DDPMScheduler(1000, beta_schedule=schedule, prediction_type=view, variance_type=width)
    d, model = from_diffusers((wavy, scheduler))
    step, x = d.reverse(Network(model)), start()
    for t in [*range(1000, 0, -41), *range(20, 0, -1)]:
        theirs = scheduler.step(model(x, torch.full((20,), t)), t-1, x, generator=rng(t)).prev_sample
        x = step(x, t, rng(t))
        assert_close(x, theirs, rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("view", PREDICTS)
def test_our_strides_are_theirs(diffusers, view, schedule, clip):
    scheduler = diffusers.DDIMScheduler(1000, beta_schedule=schedule, prediction_type=view, clip_sample=clip)
    scheduler.set_timesteps(25)
    d, model = from_diffusers((wavy, scheduler))
    x, stops = start(), scheduler.timesteps
    for (_, new), i in zip(ddim(d, model, xT=x, steps=[*(stops+1).tolist(), 0]), stops):
        out = model(x, torch.full((20,), i+1))
        theirs = scheduler.step(out, i, x, use_clipped_model_output=True).prev_sample
        assert_close(new, theirs, rtol=1e-4, atol=1e-4*new.abs().max().item())
        x = new


def test_a_learned_width_is_theirs(diffusers):
    scheduler = diffusers.DDPMScheduler(100, 0.001, 0.2, variance_type="learned_range", clip_sample=False)
    both = lambda x, i: torch.cat([wavy(x, i), torch.sin(x)], 1)
    d, model = from_diffusers((both, scheduler))
    step, x = d.reverse(Network(model)), start()[:, :, None, None].repeat(1, 1, 2, 2)
    for t in range(100, 0, -1):
        theirs = scheduler.step(model(x, torch.full((20,), t)), t-1, x, generator=rng(t)).prev_sample
        x = step(x, t, rng(t))
        assert_close(x, theirs, rtol=1e-3, atol=1e-3)
    both = small(diffusers, out_channels=2)
    d, model = from_diffusers((both, scheduler))
    assert vlb(d, model, torch.zeros(2, 1, 8, 8), decoder="continuous").bits_per_dim.isfinite().all()


def test_every_sampler_of_a_chain_names_the_same_chain(diffusers):
    like = chain_of(diffusers.DDPMScheduler(prediction_type="v_prediction", clip_sample=False)).schedule.alpha_bar
    for kind in ("DDIM", "PNDM", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "LMSDiscrete", "DPMSolverMultistep",
                 "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep"):
        d = chain_of(getattr(diffusers, f"{kind}Scheduler")(prediction_type="v_prediction", beta_start=1e-4, beta_end=.02))
        assert_close(d.schedule.alpha_bar, like, rtol=1e-4, atol=1e-7)
        assert d.predicts == "v" and d.variance == "posterior"
        assert d.clip == ((-1., 1.) if kind == "DDIM" else None), kind
    rescaled = diffusers.DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False)
    assert chain_of(rescaled).schedule.alpha_bar[-1] == 0


@pytest.mark.parametrize("kind, options, error, said", [
    ("FlowMatchEulerDiscrete", {}, TypeError, "tables betas and alphas_cumprod, got FlowMatchEulerDiscreteScheduler"),
    ("EDMEuler", {}, TypeError, "tables betas"),
    ("ScoreSdeVe", {}, TypeError, "tables betas"),
    ("IPNDM", {}, TypeError, "tables betas"),
    ("CogVideoXDDIM", {}, ValueError, "product of 1 - betas, got CogVideoXDDIMScheduler"),
    ("EulerDiscrete", dict(timestep_type="continuous"), ValueError, "timestep_type='continuous'"),
    ("UniPCMultistep", dict(use_flow_sigmas=True, prediction_type="flow_prediction"), ValueError, "use_flow_sigmas=True"),
    ("DDPM", dict(prediction_type="flow_prediction"), ValueError, "prediction_type must be one of 'epsilon'"),
    ("DDPM", dict(thresholding=True), ValueError, "thresholding=True"),
    ("DDPM", dict(variance_type="learned"), ValueError, "variance_type must be one of 'fixed_small'"),
    ("DDPM", dict(variance_type="fixed_large_log"), ValueError, "variance_type must be one of 'fixed_small'"),
    ("DDPM", dict(rescale_betas_zero_snr=True), ValueError, "predicts must be 'v', 'x0' or 'u'")])
def test_what_is_no_chain_is_refused(diffusers, kind, options, error, said):
    scheduler = getattr(diffusers, f"{kind}Scheduler")(**options)
    with pytest.raises(error, match=said) as e: from_diffusers((wavy, scheduler))
    assert "\n" not in str(e.value)


def test_a_folder_is_opened_scored_sampled_and_taught_on(diffusers, folder, tmp_path):
    d, model = from_diffusers(folder)
    assert repr(d).endswith("'eps', 'beta', clip=(-1.5, 1.5))") and d.schedule.T == 60 and not model.training
    for a, b in zip(model.parameters(), small(diffusers).parameters(), strict=True): assert torch.equal(a, b)
    x = torch.randint(256, (8, 1, 8, 8), dtype=torch.uint8, generator=rng(0))
    e, b = vlb_estimate(d, model, x, passes=30, generator=rng(0)), vlb(d, model, x, generator=rng(1)).bits_per_dim
    assert abs(e.mean - b.mean()) < 5*e.stderr + 5*b.std()/8**.5
    assert log_likelihood(d, model, b.new_zeros(2, 1, 8, 8), steps=3, probes=1, generator=rng(0)).isfinite().all()
    for method in samplers:
        made = sample(d, model, (3, 1, 8, 8), method, rng(0), **({} if method == "ddpm" else dict(steps=20)))
        assert made.shape == (3, 1, 8, 8) and made.dtype == torch.float32 and made.isfinite().all()
    run = fit(d, model, x, steps=3, batch=4, path=tmp_path/"run", device="cpu", **QUIET)
    back = load_run(tmp_path/"run", model=FromZero(small(diffusers)))
    for a, b in zip(back.ema.parameters(), run.ema.parameters(), strict=True): assert torch.equal(a, b)
    diffusers.DDPMPipeline(run.ema.unet, diffusers.DDPMScheduler()).save_pretrained(tmp_path/"again")
    for a, b in zip(from_diffusers(str(tmp_path/"again"))[1].parameters(), run.ema.parameters(), strict=True): assert torch.equal(a, b)


def test_classes_go_in_as_y(diffusers):
    unet = small(diffusers, num_class_embeds=3)
    d, model = from_diffusers((unet, stand_in(clip_sample=True)))
    x, y = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8, generator=rng(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    run = fit(d, model, (x, y), steps=2, batch=4, device="cpu", **QUIET)
    one, two = (sample(run, 4, y=k, method="dpmpp_2m", steps=5, seed=0, progress=False) for k in (0, 1))
    assert not torch.equal(one, two) and vlb(d, model, x, y).bits_per_dim.isfinite().all()
    state, t = torch.zeros(2, 1, 8, 8), torch.tensor([1, 40])
    assert torch.equal(run.ema(state, t, y[:2]), run.ema.unet(state, t-1, class_labels=y[:2]).sample)


def test_twenty_steps_of_2m_are_those_of_the_library(diffusers, folder):
    "From one noise, with a network of theirs, on the stops of theirs."
    d, model = from_diffusers(folder)
    scheduler = diffusers.DPMSolverMultistepScheduler(60, .002, .2, timestep_spacing="trailing", final_sigmas_type="zero")
    scheduler.set_timesteps(20)
    d = copy.copy(d)
    d.clip, x = None, torch.randn(3, 1, 8, 8, generator=rng(0))
    *_, (_, ours) = dpmpp_2m(d, model, xT=x, steps=[*(scheduler.timesteps+1).tolist(), 0])
    with torch.no_grad():
        for i in scheduler.timesteps: x = scheduler.step(model.unet(x, i).sample, i, x).prev_sample
    assert_close(ours, x, rtol=0, atol=1e-3*x.abs().max().item())


@pytest.mark.parametrize("source", ["no/such", "no/such/folder", "a b"])
def test_a_wrong_name_is_one_sentence(diffusers, source):
    with pytest.raises(ValueError, match="source must name a folder") as e: from_diffusers(source)
    assert "\n" not in str(e.value)


def test_latents_are_refused_by_name(diffusers):
    pipe = SimpleNamespace(components=dict(vqvae=wavy, unet=wavy, scheduler=stand_in()))
    with pytest.raises(ValueError, match="a unet and a scheduler alone, got SimpleNamespace of vqvae, unet, scheduler"): from_diffusers(pipe)
    assert isinstance(from_diffusers((wavy, stand_in()))[0].schedule, Schedule)
