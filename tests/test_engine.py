"Long runs: killed at random moments, shared by processes, cut-off files, and what a file knows."
import copy
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn
from torch.testing import assert_close
from torch.utils.data import Dataset, TensorDataset

from dpm_nb.binomial import BinomialDiffusion
from dpm_nb.core import rng
from dpm_nb.data import digits, heartbeat, swiss_roll
from dpm_nb.engine import fit
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.keep import FORMAT, load_run, newest, save_run, state_of, write
from dpm_nb.nets import MLP, UNet
from dpm_nb.sampling import sample
from dpm_nb.schedule import cosine, linear
from dpm_nb.training import train

d, flips = GaussianDiffusion(linear(100)), BinomialDiffusion(linear(100))
noise = torch.randn(500, 2, generator=rng(0))
quiet = dict(progress=False, plot=False, device="cpu")
same = dict(rtol=0, atol=0)
KILLS = 20 if os.environ.get("DPM_NB_FULL") else 3


def net(*args, seed=0, **options):
    torch.manual_seed(seed)
    return MLP(*args or (2, 16), **options)


class Wide(GaussianDiffusion):
    "A diffusion of one's own."


# killed

RUN = """
import random, sys
import numpy as np
import torch
from torch.nn.functional import dropout
from dpm_nb.core import rng
from dpm_nb.data import swiss_roll
from dpm_nb.engine import fit
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.schedule import linear
torch.set_num_threads(1)
path, out = sys.argv[1:]
class Net(MLP):
    def forward(self, x, t, y=None): return super().forward(dropout(x, 0.1, self.training), t, y)
roll = swiss_roll(1000, generator=rng(0))
def shaken(n, generator):
    rows = torch.randint(len(roll), (n,), generator=generator)
    return roll[rows]*float(np.random.choice([-1, 1]))*(1 + random.random()/10), rows % 3
quiet = dict(progress=False, plot=False, device="cpu")
fit(GaussianDiffusion(linear(100)), MLP(2, 32, classes=3), shaken, 3, **quiet) # what is slow at first is not to be timed
torch.manual_seed(0), np.random.seed(0), random.seed(0)
print("ready", flush=True)
run = fit(GaussianDiffusion(linear(100)), Net(2, 32, classes=3), shaken, 400, batch=32, accumulate=2, every=7,
          path=path, keep=2, **quiet)
torch.save([run.losses, run.model.state_dict(), run.ema.state_dict(), run.generator.get_state(), torch.get_rng_state()], out)
"""


def start(path, out):
    return subprocess.Popen([sys.executable, "-c", RUN, str(path), str(out)], stdout=subprocess.PIPE, cwd=ROOT,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_run_killed_at_random_moments_is_the_run_left_alone(tmp_path):
    "A real process dies by SIGKILL again and again, at any moment, also while it reads or writes; the last call ends the run."
    alone = start(tmp_path/"alone", tmp_path/"alone.pt")
    alone.stdout.readline()
    began = time.monotonic()
    assert alone.wait() == 0
    took, moments, left = time.monotonic() - began, random.Random(0), set()
    for _ in range(KILLS):
        process = start(tmp_path/"run", tmp_path/"run.pt")
        process.stdout.readline()
        try: process.wait(took*moments.uniform(0, 1.5)/KILLS)
        except subprocess.TimeoutExpired: process.kill()
        assert process.wait() == -signal.SIGKILL, "it came to its end before it was to die"
        left.add(max((p.name for p in (tmp_path/"run").glob("step-*.pt")), default=""))
    assert len(left) > KILLS//3, "it hardly ever came far enough to write"
    assert start(tmp_path/"run", tmp_path/"run.pt").wait() == 0
    assert_close(torch.load(tmp_path/"run.pt"), torch.load(tmp_path/"alone.pt"), **same)


SHARED = """
import os, sys
import torch
from dpm_nb.core import rng
from dpm_nb.data import swiss_roll
from dpm_nb.engine import fit
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import MLP
from dpm_nb.schedule import linear
torch.set_num_threads(1)
rank, folder = int(os.environ.get("RANK", 0)), sys.argv[1]
seen = []
class Net(MLP):
    def forward(self, x, t, y=None):
        seen.append((x.detach(), t, y))
        return super().forward(x, t, y)
roll = swiss_roll(1000, generator=rng(0))
torch.manual_seed(rank)                         # another network in each process: the first one's counts
where = os.path.join(folder, "run")
for steps in (30, 30):                          # the second call finds an ended run
    run = fit(GaussianDiffusion(linear(100)), Net(2, 16, classes=3), (roll, torch.arange(1000) % 3), steps, batch=64,
              path=where, every=10, progress=False, plot=False, device="cpu")
torch.save([run.losses, [*run.ema.parameters()], seen], os.path.join(folder, f"out{rank}.pt"))
wrote = [n for n in os.listdir(where) if n.endswith(".part")]
assert not wrote
"""


def test_two_processes_are_one(tmp_path):
    "Two CPU processes give the losses of one to 1e-5, each example is seen once, and only the first writes."
    pytest.importorskip("accelerate")
    folders, program = [tmp_path/"one", tmp_path/"two"], tmp_path/"shared.py"
    program.write_text(SHARED)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for folder, launch in zip(folders, ([], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"])):
        folder.mkdir()
        done = subprocess.run([sys.executable, *launch, str(program), str(folder)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    load = lambda path: torch.load(path, weights_only=False)
    one, (first, second) = load(folders[0]/"out0.pt"), [load(folders[1]/f"out{r}.pt") for r in (0, 1)]
    assert_close(first[0], second[0], **same)
    assert_close(first[0], one[0], rtol=1e-5, atol=1e-5)
    for p, q, r in zip(first[1], one[1], second[1]):
        assert_close(p, q, rtol=1e-4, atol=1e-5)
        assert torch.equal(p, r)
    assert len(one[2]) == len(first[2]) == len(second[2]) == 30
    for k, whole in enumerate(one[2]):
        for v, a, b in zip(whole, first[2][k], second[2][k]):
            assert len(a) == len(b) == 32 and torch.equal(torch.cat([a, b]), v)
    assert sorted(p.name for p in (folders[1]/"run").iterdir()) == ["step-000000020.pt", "step-000000030.pt"]


# a folder of checkpoints

def test_bad_files_are_passed_over(tmp_path):
    "Cut-off and foreign files: a sentence of warning, and the last good one is found."
    whole = fit(d, net(), noise, 40, **quiet)
    class Dies(MLP):
        calls = 0
        def forward(self, *args):
            self.calls += 1
            if self.calls == 26: raise ZeroDivisionError
            return super().forward(*args)
    def half():
        torch.manual_seed(0)
        return Dies(2, 16)
    with pytest.raises(ZeroDivisionError): fit(d, half(), noise, 40, path=tmp_path, every=5, keep=3, **quiet)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [f"step-{k:09}.pt" for k in (15, 20, 25)]
    good = (tmp_path/names[2]).read_bytes()
    (tmp_path/names[2]).write_bytes(good[:len(good)*2//3])
    torch.save({"weights": 1}, tmp_path/"step-000000030.pt")
    (tmp_path/"step-000000040.pt.part").write_bytes(b"half")
    (tmp_path/"notes.txt").write_text("mine")
    model = half()
    model.calls = 100
    with pytest.warns(UserWarning) as told: run = fit(d, model, noise, 40, path=tmp_path, every=5, keep=3, **quiet)
    said = [str(w.message) for w in told]
    assert len(said) == 2 and all("the one before it is taken" in s for s in said)
    assert model.calls == 120                               # 20 steps, from step 20 on
    assert_close(run.losses, whole.losses, **same)
    assert_close(run.ema.state_dict(), whole.ema.state_dict(), **same)
    assert newest(tmp_path)["step"] == 40 and (tmp_path/"notes.txt").exists()


def test_a_newer_versions_file_is_not_written_over(tmp_path):
    fit(d, net(), noise, 10, path=tmp_path, every=5, **quiet)
    newer = tmp_path/"step-000000015.pt"
    torch.save(state_of(fit(d, net(), noise, 15, **quiet)) | {"format": FORMAT + 1}, newer)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="which a newer version wrote"): fit(d, net(), noise, 20, path=tmp_path, every=5, **quiet)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_where_no_file_is_good_nothing_begins(tmp_path):
    (tmp_path/"step-000000005.pt").write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="path must hold a checkpoint that can be read, got .* none of 1 can"):
        fit(d, net(), noise, 3, path=tmp_path, **quiet)
    (tmp_path/"file").write_text("")
    with pytest.raises(ValueError, match="path must be a folder"): fit(d, net(), noise, 3, path=tmp_path/"file", **quiet)
    with pytest.raises(FileNotFoundError): load_run(tmp_path/"nothing")
    (tmp_path/"empty").mkdir()
    with pytest.raises(FileNotFoundError, match="path must hold a checkpoint"): load_run(tmp_path/"empty")


OTHER = {"steps": 31, "batch": 64, "lr": 1e-2, "ema": 0.9, "weight": "bound", "uniform": 1., "drop": 0.3, "warmup": 0.2, "fall": "straight",
         "clip": None, "decay": 0.1, "accumulate": 2, "precision": "bf16", "seed": 1}


def test_a_call_with_another_plan_says_which_argument(tmp_path):
    run = fit(d, net(), noise, 30, path=tmp_path, **quiet)
    assert OTHER.keys() == run.plan.keys()
    for name, value in OTHER.items():
        with pytest.raises(ValueError, match=f"^{name} must be .* to finish this run"):
            fit(d, net(), noise, **{"steps": 30, name: value}, path=tmp_path, **quiet)
    with pytest.raises(ValueError, match="d must be that of the run"): fit(GaussianDiffusion(linear(101)), net(), noise, 30, path=tmp_path, **quiet)
    with pytest.raises(ValueError, match="model must be that of the run"): fit(d, net(2, 8), noise, 30, path=tmp_path, **quiet)
    before = time.monotonic()
    model = net(seed=3)
    again = fit(d, model, noise, 30, path=tmp_path, **quiet)
    assert time.monotonic() - before < 2 and again.model is model
    assert_close(model.state_dict(), run.model.state_dict(), **same)
    assert_close(load_run(tmp_path, device="cpu").losses, run.losses, **same)


def test_a_run_goes_on_in_a_folder_of_its_own(tmp_path):
    "A second plan for the same run, stopped and taken up again from the first one's file."
    first = fit(d, net(), noise, 20, path=tmp_path/"a", **quiet)
    whole = fit(d, first, noise, 30, batch=32, **quiet)
    again = lambda: load_run(tmp_path/"a", device="cpu")
    run = again()
    loop = train(d, run, noise, 30, 32, device="cpu")
    for run in loop:
        if run.step == 33: break
    (tmp_path/"b").mkdir()
    save_run(run, tmp_path/"b"/"step-000000033.pt")
    more = fit(d, again(), noise, 30, batch=32, path=tmp_path/"b", **quiet)
    assert more.step == 50 and more.begun == 20
    assert_close(more.losses, whole.losses, **same)


def test_a_loss_that_is_not_finite_is_never_kept(tmp_path):
    nan = lambda m, x, g: m(x, torch.ones(len(x))).square().mean(1)*float("nan")
    with pytest.raises(ValueError, match="loss must stay finite"): fit(nan, net(), noise, 5, path=tmp_path, every=1, **quiet)
    assert not [*tmp_path.iterdir()]


def test_the_clock_keeps_too(tmp_path):
    fit(d, net(), noise, 30, path=tmp_path, minutes=1e-9, keep=5, **quiet)
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"step-{k:09}.pt" for k in range(26, 31)]


# watched

def test_whoever_looks_changes_nothing(tmp_path):
    "Samples, a bound, a log, and a network put into eval mode: the run is the run that nobody looked at."
    class Drops(MLP):
        def forward(self, x, t): return super().forward(nn.functional.dropout(x, 0.2, self.training), t)
    def go(**looks):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        def shaken(n, generator): return torch.randn(n, 2, generator=generator)*(1 + random.random()/10 + np.random.rand()/10)
        return fit(d, Drops(2, 16), shaken, 150, **quiet | looks)
    looked = []
    def watch(run):
        looked.append(run.step)
        run.model.eval()
        return sample(run, 3, progress=False), torch.rand(3), np.random.rand(), random.random()
    plain, seen = go(), go(watch=watch, held=noise[:50], log=tmp_path/"log", floor=0.1)
    assert looked[-1] == 150
    assert_close(seen.losses, plain.losses, **same)
    assert_close(seen.ema.state_dict(), plain.ema.state_dict(), **same)


def test_the_log_has_every_loss(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run = fit(d, net(), noise, 30, held=noise[:50], log=tmp_path, **quiet)
    log = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    log.Reload()
    assert_close(torch.tensor([e.value for e in log.Scalars("loss")]), run.losses, **same)
    assert [e.step for e in log.Scalars("loss")] == [*range(1, 31)] and log.Scalars("bits/dim")[-1].step == 30


def test_without_tensorboard_a_log_is_a_mistake(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="log must be None where TensorBoard is not installed"): fit(d, net(), noise, 2, log="here", **quiet)


# files

class Own(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.a, self.b = nn.Linear(2, width), nn.Linear(width, 2)
    def forward(self, x, t): return self.b(self.a(x).relu())


@pytest.mark.parametrize("wrong", [lambda: net(3, 16), lambda: net(2, 32), lambda: net(2, 16, depth=2), lambda: net(2, 16, classes=2), Own])
def test_a_wrong_network_stays_as_it_was(wrong, tmp_path):
    save_run(fit(d, net(), noise, steps=2, **quiet), tmp_path/"run.pt")
    model = wrong().eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="model must have the layers of the run in .*run.pt, got another"):
        load_run(tmp_path/"run.pt", model, device="cpu")
    assert_close(model.state_dict(), before, **same)
    assert not model.training


@pytest.mark.parametrize("saved", ["plain", "compiled"])
@pytest.mark.parametrize("read", ["remade", "plain", "compiled"])
def test_a_compiled_networks_run_and_a_plain_ones_are_one(saved, read, tmp_path):
    torch._dynamo.reset()
    made = {"remade": lambda: None, "plain": net, "compiled": lambda: torch.compile(net(seed=9), backend="eager")}
    run = fit(d, made[saved](), noise, steps=4, **quiet)
    save_run(run, tmp_path/"run.pt")
    back = load_run(tmp_path/"run.pt", made[read](), device="cpu")
    assert back.step == 4 and back.plan == run.plan and back.shape == (2,) and repr(back.d) == repr(d)
    assert_close(sample(back, 3, seed=0), sample(run, 3, seed=0))
    for r in (run, back): fit(d, r, noise, steps=3, **quiet)
    assert_close(back.losses, run.losses)
    save_run(back, tmp_path/"again.pt")
    assert load_run(tmp_path/"again.pt", device="cpu").step == 7


@pytest.mark.parametrize("family, model, data", [
    (GaussianDiffusion(cosine(30), "v", "posterior", clip=(-1, 1)), lambda: UNet(1, (8, 16), attention=(1,)), digits()[0][:50]),
    (GaussianDiffusion(linear(30), "u", "learned"), lambda: MLP(2, 17, out=4), noise),
    (BinomialDiffusion(linear(30), "x0"), lambda: nn.Sequential(), noise), (flips, lambda: MLP(20, 16, classes=5), None)])
def test_a_file_knows_the_chain_and_the_network(family, model, data, tmp_path):
    if data is None: data, model = (heartbeat(50, generator=rng(0)), torch.arange(50) % 5), model
    model = model()
    if isinstance(model, nn.Sequential):                           # bits by probabilities, and a network of one's own
        class Sure(MLP):
            def forward(self, x, t): return super().forward(x, t).sigmoid()
        model, data = Sure(2, 16), (noise > 0).float()
    run = fit(family, model, data, steps=2, batch=16, **quiet)
    save_run(run, tmp_path/"run.pt")
    own = None if type(model) in (MLP, UNet) else type(model)(2, 16)
    back = load_run(tmp_path/"run.pt", own, device="cpu")
    assert repr(back.d) == repr(family) and getattr(back.model, "recipe", 0) == getattr(model, "recipe", 0)
    assert_close(back.d.schedule.log_snr, family.schedule.log_snr, **same)
    assert_close(back.ema.state_dict(), run.ema.state_dict(), **same)
    assert_close(back.losses, run.losses, **same)
    assert torch.equal(back.generator.get_state(), run.generator.get_state()) and repr(back) == repr(run)


def test_what_a_file_cannot_name_has_to_be_given(tmp_path):
    save_run(fit(Wide(linear(20)), Own(), noise, steps=2, **quiet), tmp_path/"run.pt")
    with pytest.raises(ValueError, match="model must be given"): load_run(tmp_path/"run.pt", device="cpu")
    back = load_run(tmp_path/"run.pt", Own(), device="cpu")
    with pytest.raises(ValueError, match="run must know its diffusion"): sample(back, 2)
    back = load_run(tmp_path/"run.pt", Own(), Wide(linear(20)), "cpu")
    assert type(back.d) is Wide and sample(back, 2, seed=0).shape == (2, 2)
    with pytest.raises(ValueError, match="model must have the layers"): load_run(tmp_path/"run.pt", Own(5))


def test_a_folder_refuses_another_diffusion_or_network_of_ones_own(tmp_path):
    "A file cannot make them again, but it knows them apart."
    class Third(Wide): pass
    class Other(Own): pass
    plan = dict(steps=2, batch=4, path=tmp_path, every=1, **quiet)
    fit(Wide(linear(20)), Own(), noise, **plan)
    again = fit(Wide(linear(20)), Own(), noise, **plan)
    assert again.step == 2
    for d, model, name in ((Third(linear(20)), Own(), "d"), (Wide(linear(50)), Own(), "d"), (Wide(linear(20)), Other(), "model"),
                           (lambda m, b, g: m(b, torch.ones(len(b))).square().mean(1), Own(), "d")):
        with pytest.raises(ValueError, match=f"{name} must be that of the run in"): fit(d, model, noise, **plan)


@pytest.mark.parametrize("part", ["history", "d", "ema", "generator"])
def test_a_file_that_lacks_a_part_is_refused(tmp_path, part):
    run = fit(GaussianDiffusion(linear(20)), MLP(2, 8), noise, steps=2, **quiet)
    state = state_of(run)
    del state[part]
    write(state, tmp_path/"run.pt")
    with pytest.raises(ValueError, match="path must name a whole file"): load_run(tmp_path/"run.pt")
    state = state_of(run) | {"ema": {}}
    write(state, tmp_path/"run.pt")
    net = MLP(2, 8)
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(ValueError, match="model must have the layers"): load_run(tmp_path/"run.pt", net, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters())), "a network that does not fit was changed"


def test_a_run_in_float64_comes_back_in_float64(tmp_path):
    run = fit(d, net().double(), noise, steps=2, **quiet)
    save_run(run, tmp_path/"run.pt")
    back = load_run(tmp_path/"run.pt", device="cpu")
    assert back.dtype == torch.float64
    assert_close(back.ema.state_dict(), run.ema.state_dict(), **same)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], torch.zeros(3), {"model": {}, "ema": {}, "optimizer": {}}])
def test_files_that_are_no_run_say_so(content, tmp_path):
    torch.save(content, tmp_path/"other.pt")
    with pytest.raises(ValueError, match="path must name a whole file that save_run wrote, got .*other.pt"): load_run(tmp_path/"other.pt", net())


def test_reading_runs_no_code(tmp_path):
    class Harm:
        def __reduce__(self): return exec, ("raise SystemExit('code ran')",)
    torch.save({"model": Harm(), "ema": {}, "optimizer": {}, "net": None}, tmp_path/"run.pt")
    with pytest.raises(Exception) as e: load_run(tmp_path/"run.pt", net())
    assert "code ran" not in str(e.value)


# what is one's own, and what fails

class Rows(Dataset):
    def __init__(self, *parts): self.parts = parts
    def __len__(self): return len(self.parts[0])
    def __getitem__(self, i): return tuple(p[i] for p in self.parts)


class Keeps(nn.Module):
    "A network of one's own whose layers are called `model`, with a running mean in a buffer."
    def __init__(self):
        super().__init__()
        self.model, self.norm = MLP(2, 16, 1), nn.BatchNorm1d(2)

    def forward(self, x, t): return self.model(self.norm(x), t)


def few(model, **kwargs):
    torch.manual_seed(0)
    return fit(GaussianDiffusion(linear(10)), model(), torch.randn(64, 2), steps=6, batch=16, **quiet, **kwargs)


def test_held_data_change_nothing_and_are_looked_at_before_anything_is_trained():
    alone, looked = few(Keeps), few(Keeps, held=torch.randn(20, 2))
    for a, b in ((alone.losses, looked.losses), (alone.model.state_dict(), looked.model.state_dict())):
        assert_close(a, b, **same)
    net = MLP(2, 16, 1)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    for held, said in ((torch.randn(20, 3), "x must have shape"), (torch.randn(1, 2), "held must be at least two"),
                       (lambda n, generator: torch.randn(n, 2), "held must be at least two")):
        with pytest.raises(ValueError, match=said): few(lambda: net, held=held)
    assert_close(net.state_dict(), before, **same)


def test_a_network_that_calls_its_layers_model_goes_on(tmp_path, capsys):
    one = few(Keeps, path=tmp_path)
    again = few(Keeps, path=tmp_path)
    assert_close(one.ema.state_dict(), again.ema.state_dict(), **same)
    assert f"{tmp_path.name} stands at step 6, and 0 are left" in capsys.readouterr().out
    ahead = fit(GaussianDiffusion(linear(10)), few(Keeps), torch.randn(64, 2), steps=6, batch=16, **quiet)
    with pytest.raises(ValueError, match="model must not be ahead of the run in .*step 6, got a run at step 12"):
        few(lambda: ahead, path=tmp_path)


def test_whoever_watches_may_stop_a_run_and_it_is_kept(tmp_path):
    def enough(run): raise KeyboardInterrupt
    run = few(Keeps, path=tmp_path, watch=enough)
    assert load_run(tmp_path, model=Keeps(), device="cpu").step == run.step


def test_a_write_that_fails_leaves_nothing_about(tmp_path, monkeypatch):
    run = few(lambda: MLP(2, 16, 1))
    def full(state, file):
        file.write(b"half")
        raise RuntimeError("unexpected pos 64 vs 0")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="path must be where a file can be written, got .*unexpected pos"): save_run(run, tmp_path/"run.pt")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("form", [lambda x, y: (x, y), lambda x, y: TensorDataset(x, y), lambda x, y: Rows(x, y),
                                  lambda x, y: lambda n, generator: (x[:n], y[:n])], ids=["pair", "tensors", "Dataset", "function"])
def test_labels_out_of_range_are_found_wherever_they_come_from(form):
    x, y = torch.randn(64, 2), torch.full((64,), 3)
    with pytest.raises(ValueError, match="y must lie in 0..2, or be -1 for none, got values from 3 to 3"):
        fit(GaussianDiffusion(linear(10)), MLP(2, 16, 1, classes=3), form(x, y), steps=1, **quiet)
