"Wrong input to `data`, `show`, `metrics` and `features` meets one clear sentence, and never a number."
import math
from pathlib import Path

import matplotlib
import pytest
import torch

from dpm_nb import core as C
from dpm_nb import data as D
from dpm_nb import features as P
from dpm_nb import metrics as M
from dpm_nb import show as S

matplotlib.use("Agg")
NAN, INF = math.nan, math.inf
ONE, EYE = torch.ones(1), torch.eye(2)
MEAN, COV, WEIGHT = torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2), torch.ones(3)/3
RING = D.ring()
POINTS = torch.randn(20, 2)
BYTES = torch.zeros(5, 1, 8, 8, dtype=torch.uint8)
LABELS = torch.arange(5)
NET = P.Classifier()


def mean(x): return x.mean()


WRONG = {
    # data: mixtures
    "weight is a list": (TypeError, "weight must be", lambda: D.Mixture([.5, .5], MEAN, COV)),
    "weight of integers": (TypeError, "weight must hold real", lambda: D.Mixture(torch.ones(1, dtype=torch.long), MEAN[:1], COV[:1])),
    "weight with NaN": (ValueError, "weight must be finite", lambda: D.Mixture(WEIGHT*NAN, MEAN, COV)),
    "weight without sum 1": (ValueError, "weight must be positive", lambda: D.Mixture(torch.ones(3), MEAN, COV)),
    "weight below 0": (ValueError, "weight must be positive", lambda: D.Mixture(torch.tensor([-.5, .5, 1.]), MEAN, COV)),
    "no bumps": (ValueError, "weight must be positive", lambda: D.Mixture(WEIGHT[:0], MEAN[:0], COV[:0])),
    "other number of means": (ValueError, "means must have shape", lambda: D.Mixture(WEIGHT, MEAN[:2], COV)),
    "means without K": (ValueError, "means must have shape", lambda: D.Mixture(ONE, torch.zeros(2), EYE)),
    "means that are a number": (ValueError, "means must have shape", lambda: D.Mixture(ONE, torch.tensor(1.), EYE)),
    "no means": (TypeError, "'means'", lambda: D.Mixture(WEIGHT, covs=COV)),
    "no weight": (TypeError, "'weight'", lambda: D.Mixture(means=MEAN, covs=COV)),
    "weight in a table": (ValueError, "weight must have shape (K,)", lambda: D.Mixture(torch.ones(1, 1), MEAN[:1], COV[:1])),
    "weight that is a number": (ValueError, "weight must have shape (K,)", lambda: D.Mixture(torch.tensor(1.), MEAN[:1], COV[:1])),
    "means of integers": (TypeError, "means must hold real", lambda: D.Mixture(WEIGHT, MEAN.long(), COV)),
    "covs of other size": (ValueError, "covs must have shape", lambda: D.Mixture(WEIGHT, MEAN, torch.eye(3))),
    "covs without axes": (ValueError, "covs must have shape", lambda: D.Mixture(WEIGHT, MEAN, torch.tensor(1.))),
    "covs for other K": (ValueError, "covs must have shape", lambda: D.Mixture(WEIGHT, MEAN, COV[:2])),
    "covs not symmetric": (ValueError, "covs must be symmetric", lambda: D.Mixture(WEIGHT, MEAN, torch.tensor([[1., .5], [0., 1.]]))),
    "covs not positive": (ValueError, "positive definite", lambda: D.Mixture(WEIGHT, MEAN, -COV)),
    "covs with NaN": (ValueError, "covs must be finite", lambda: D.Mixture(WEIGHT, MEAN, COV*NAN)),
    "terms at integers": (TypeError, "x must hold real", lambda: RING.terms(torch.zeros(4, 2, dtype=torch.long))),
    "log_prob in other dimension": (ValueError, "x must have shape", lambda: RING.log_prob(torch.zeros(4, 3))),
    "log_prob of a list": (TypeError, "x must be a torch.Tensor", lambda: RING.log_prob([0., 0.])),
    "log_prob of NaN": (ValueError, "x must be finite", lambda: RING.log_prob(torch.full((1, 2), NAN))),
    "score in other dimension": (ValueError, "x must have shape", lambda: RING.score(torch.zeros(3))),
    "score of infinity": (ValueError, "x must be finite", lambda: RING.score(torch.full((1, 2), INF))),
    "sample of none": (ValueError, "n must be at least 1", lambda: RING.sample(0)),
    "sample of a half": (TypeError, "n must be a whole", lambda: RING.sample(2.5)),
    "sample from a seed": (TypeError, "generator must be a Generator", lambda: RING.sample(5, 0)),
    "gaussian of lists": (TypeError, "mean must be", lambda: D.gaussian([0., 0.], EYE)),
    "gaussian of other size": (ValueError, "cov must have shape", lambda: D.gaussian(torch.zeros(3), EYE)),
    "gaussian at a number": (ValueError, "mean must have shape", lambda: D.gaussian(torch.tensor(0.), EYE)),
    "gaussian not symmetric": (ValueError, "cov must be symmetric", lambda: D.gaussian(torch.zeros(2), torch.tensor([[1., .5], [0., 1.]]))),
    "gaussian not positive": (ValueError, "positive definite", lambda: D.gaussian(torch.zeros(2), -EYE)),
    "two_bumps weight 1": (ValueError, "weight must be a finite", lambda: D.two_bumps(1)),
    "two_bumps weight 0": (ValueError, "weight must be a finite", lambda: D.two_bumps(0.)),
    "two_bumps weight over 1": (ValueError, "weight must be a finite", lambda: D.two_bumps(1.5)),
    "two_bumps out of reach": (ValueError, "gap must be", lambda: D.two_bumps(gap=1e300)),
    "two_bumps gap": (ValueError, "gap must be", lambda: D.two_bumps(gap=-1)),
    "two_bumps gap as text": (TypeError, "gap must be a real number", lambda: D.two_bumps(gap="4")),
    "ring of none": (ValueError, "k must be", lambda: D.ring(0)),
    "ring of width 0": (ValueError, "width must be", lambda: D.ring(width=0)),
    "ring of width 1e200": (ValueError, "width must be", lambda: D.ring(width=1e200)),
    "ring of width NaN": (ValueError, "width must be", lambda: D.ring(width=NAN)),
    # data: roll and heartbeat
    "curve at integers": (TypeError, "u must hold real", lambda: D.swiss_curve(torch.arange(3))),
    "curve at a number": (TypeError, "u must be a torch.Tensor", lambda: D.swiss_curve(.5)),
    "density of a roll without noise": (ValueError, "noise must", lambda: D.swiss_density(0.)),
    "density of no bells": (ValueError, "bumps must", lambda: D.swiss_density(bumps=0)),
    "roll of none": (ValueError, "n must be", lambda: D.swiss_roll(0)),
    "roll of True": (TypeError, "n must be", lambda: D.swiss_roll(True)),
    "roll with noise 2": (ValueError, "noise must be", lambda: D.swiss_roll(10, 2)),
    "roll with noise below 0": (ValueError, "noise must be", lambda: D.swiss_roll(10, -.1)),
    "roll with noise None": (TypeError, "noise must be", lambda: D.swiss_roll(10, None)),
    "roll from a seed": (TypeError, "generator must be a Generator", lambda: D.swiss_roll(10, .1, 0)),
    "heartbeat from a seed": (TypeError, "generator must be a Generator", lambda: D.heartbeat(4, 20, 5, 0)),
    "heartbeat of none": (ValueError, "n must be", lambda: D.heartbeat(0)),
    "heartbeat shorter than its period": (ValueError, "length must be at least the period", lambda: D.heartbeat(4, 3, 5)),
    "heartbeats of period 0": (ValueError, "period must be", lambda: D.heartbeats(20, 0)),
    "heartbeats of a half": (TypeError, "length must be", lambda: D.heartbeats(2.5)),
    # data: pictures
    "to_real of reals": (TypeError, "x must be a tensor of torch.uint8", lambda: C.to_real(torch.zeros(3))),
    "to_real of a list": (TypeError, "x must be a", lambda: C.to_real([0, 255])),
    "to_uint8 of bytes": (TypeError, "x must hold real", lambda: C.to_uint8(BYTES)),
    "to_uint8 of NaN": (ValueError, "x must be finite", lambda: C.to_uint8(torch.tensor([NAN]))),
    "digits of a name": (TypeError, "train must be", lambda: D.digits("test")),
    "images unknown": (ValueError, "'mnist', 'fashion_mnist', 'cifar10', got 'MNIST'", lambda: D.images("MNIST")),
    "images of a name for train": (TypeError, "train must be", lambda: D.images("mnist", train="test")),
    "images of a number for download": (TypeError, "download must be", lambda: D.images("mnist", download=1)),
    "images without a root": (TypeError, "root must be a str or Path, got None", lambda: D.images("mnist", None)),
    "tile of points": (ValueError, "x must have shape", lambda: S.tile(POINTS, 3)),
    "tile of four channels": (ValueError, "C 1 or 3", lambda: S.tile(torch.zeros(2, 4, 8, 8), 3)),
    "tile of nothing": (ValueError, "x must have shape", lambda: S.tile(BYTES[:0], 3)),
    "tile of NaN": (ValueError, "x must be finite", lambda: S.tile(torch.full((1, 1, 2, 2), NAN), 3)),
    "tile of integers": (TypeError, "x must hold real", lambda: S.tile(BYTES.long(), 3)),
    "tile in no columns": (ValueError, "ncol must be", lambda: S.tile(BYTES, 0)),
    "tile with a gap below 0": (ValueError, "gap must be", lambda: S.tile(BYTES, 2, -1)),
    "show_images of a list": (ValueError, "x must have shape", lambda: S.show_images([1, 2])),
    "show_images in a half column": (TypeError, "ncol must be", lambda: S.show_images(BYTES, 1.5)),
    "show_points in three dimensions": (ValueError, "x must have shape", lambda: S.show_points(torch.zeros(4, 3))),
    "show_points of NaN": (ValueError, "x must be finite", lambda: S.show_points(POINTS*NAN)),
    "show_density on a line": (TypeError, "p must be", lambda: D.show_density(D.two_bumps())),
    "show_density of points": (TypeError, "p must be", lambda: D.show_density(POINTS)),
    "show_density of no size": (ValueError, "lim must be", lambda: D.show_density(RING, 0)),
    "animate a picture": (TypeError, "draw must be", lambda: S.animate(BYTES, [1])),
    "animate no frames": (ValueError, "frames must not be empty", lambda: S.animate(mean, [])),
    "animate on no dots": (ValueError, "dpi must be", lambda: S.animate(mean, [1], dpi=0)),
    "animate at no pace": (ValueError, "interval must be", lambda: S.animate(mean, [1], interval=-1)),
    "animate a number": (TypeError, "frames must be", lambda: S.animate(mean, 5)),
    # metrics: distances
    "factor of a vector": (ValueError, "cov must have shape", lambda: M.factor(ONE)),
    "factor of a matrix with two sides": (ValueError, "cov must be symmetric", lambda: M.factor(torch.tensor([[1., 5.], [0., 1.]]))),
    "factor of a negative variance": (ValueError, "cov must be symmetric, with no negative variance", lambda: M.factor(-EYE)),
    "gaussian_frechet of a negative variance": (ValueError, "cov_b must be symmetric", lambda: M.gaussian_frechet(ONE, EYE[:1, :1], ONE, -EYE[:1, :1])),
    "factor of NaN": (ValueError, "cov must be finite", lambda: M.factor(EYE*NAN)),
    "gaussian_frechet of other widths": (ValueError, "same number of features", lambda: M.gaussian_frechet(torch.zeros(3), EYE, torch.zeros(2), EYE)),
    "gaussian_frechet of lists": (TypeError, "mean_a must be", lambda: M.gaussian_frechet([0, 0], EYE, torch.zeros(2), EYE)),
    "gaussian_frechet of numbers": (ValueError, "same number of features", lambda: M.gaussian_frechet(ONE[0], EYE, ONE[0], EYE)),
    "moments of no features": (ValueError, "F at least 1", lambda: M.moments(POINTS[:, :0])),
    "moments of one row": (ValueError, "at least 3", lambda: M.moments(POINTS[:1])),
    "frechet of one row": (ValueError, "a must have shape", lambda: M.frechet(POINTS[:1], POINTS)),
    "frechet of a vector": (ValueError, "b must have shape", lambda: M.frechet(POINTS, POINTS[:, 0])),
    "frechet of other widths": (ValueError, "b must have 2 features", lambda: M.frechet(POINTS, torch.randn(20, 3))),
    "frechet of NaN": (ValueError, "a must be finite", lambda: M.frechet(POINTS*NAN, POINTS)),
    "frechet of integers": (TypeError, "b must hold real", lambda: M.frechet(POINTS, POINTS.long())),
    "frechet of a list": (TypeError, "a must be a torch.Tensor", lambda: M.frechet([[1.]], POINTS)),
    "jackknife of nothing": (ValueError, "sets must be", lambda: M.jackknife(mean)),
    "jackknife of one row": (ValueError, "sets must be", lambda: M.jackknife(mean, POINTS[:1])),
    "jackknife of NaN": (ValueError, "sets must be finite", lambda: M.jackknife(M.frechet, POINTS, POINTS*NAN)),
    "jackknife of a list": (ValueError, "sets must be", lambda: M.jackknife(mean, [1., 2.])),
    "jackknife of a number": (TypeError, "f must be a Callable, got 3", lambda: M.jackknife(3, POINTS)),
    "jackknife of what is no number": (ValueError, "f(*sets) must be a finite number", lambda: M.jackknife(lambda x: x.sum()*NAN, POINTS)),
    "jackknife from a seed": (TypeError, "generator must be a Generator", lambda: M.jackknife(mean, POINTS, generator=0)),
    "jackknife of one group": (ValueError, "groups must be at least 2", lambda: M.jackknife(mean, POINTS, groups=1)),
    "interval of a number below 0": (ValueError, "f must give", lambda: M.interval(mean, -POINTS.abs())),
    "interval of NaN": (ValueError, "sets must be finite", lambda: M.interval(mean, POINTS*NAN)),
    "interval unbiased by name": (TypeError, "unbiased must be a bool", lambda: M.interval(mean, POINTS.abs(), unbiased="yes")),
    "interval in half a group": (TypeError, "groups must be", lambda: M.interval(mean, POINTS.abs(), groups=.5)),
    "interval at level 1": (ValueError, "level must be", lambda: M.interval(mean, POINTS.abs(), level=1)),
    "frechet_score of NaN": (ValueError, "samples must be finite", lambda: M.frechet_score(POINTS*NAN, POINTS, POINTS)),
    "frechet_score of other widths": (ValueError, "test must have 2 features", lambda: M.frechet_score(POINTS, POINTS, torch.randn(20, 3))),
    "frechet_score of two rows": (ValueError, "train must have shape", lambda: M.frechet_score(POINTS, POINTS[:2], POINTS)),
    # metrics: means, pairs, directions and modes
    "mean_interval of a table": (ValueError, "x must have shape (N,)", lambda: M.mean_interval(POINTS)),
    "mean_interval of one number": (ValueError, "N at least 2", lambda: M.mean_interval(ONE)),
    "mean_interval of integers": (TypeError, "x must hold real", lambda: M.mean_interval(LABELS)),
    "mean_interval of NaN": (ValueError, "x must be finite", lambda: M.mean_interval(torch.tensor([1., NAN]))),
    "mean_interval at level 1": (ValueError, "level must be", lambda: M.mean_interval(POINTS[:, 0], 1)),
    "energy_distance of other widths": (ValueError, "b must have 2 features", lambda: M.energy_distance(POINTS, torch.randn(20, 3))),
    "energy_distance of infinity": (ValueError, "b must be finite", lambda: M.energy_distance(POINTS, POINTS*INF)),
    "energy_distance of a list": (TypeError, "a must be a torch.Tensor", lambda: M.energy_distance([[1.]], POINTS)),
    "energy_distance in no batches": (ValueError, "batch must be", lambda: M.energy_distance(POINTS, POINTS, batch=0)),
    "sliced_wasserstein from a seed": (TypeError, "generator must be a Generator", lambda: M.sliced_wasserstein(POINTS, POINTS, generator=0)),
    "sliced_wasserstein of a vector": (ValueError, "a must have shape", lambda: M.sliced_wasserstein(POINTS[:, 0], POINTS)),
    "sliced_wasserstein of no directions": (ValueError, "directions must be", lambda: M.sliced_wasserstein(POINTS, POINTS, 0)),
    "sliced_wasserstein of half a direction": (TypeError, "directions must be", lambda: M.sliced_wasserstein(POINTS, POINTS, .5)),
    "sorted_distance of other widths": (ValueError, "b must have 2 features", lambda: M.sorted_distance(POINTS, torch.randn(20, 3))),
    "mode_coverage in other dimension": (ValueError, "x must have shape", lambda: M.mode_coverage(torch.zeros(4, 3), RING)),
    "mode_coverage of a function": (TypeError, "p must be a Mixture", lambda: M.mode_coverage(POINTS, mean)),
    "mode_coverage of many mixtures": (ValueError, "means of shape (K, D)", lambda: M.mode_coverage(POINTS, D.Mixture(WEIGHT, MEAN.expand(4, 3, 2), EYE))),
    "mode_coverage within radius 0": (ValueError, "radius must be", lambda: M.mode_coverage(POINTS, RING, 0)),
    "coverage_floor of no points": (ValueError, "n must be", lambda: M.coverage_floor(RING, 0)),
    "coverage_floor of points": (TypeError, "p must be a Mixture", lambda: M.coverage_floor(POINTS, 5)),
    # features
    "Classifier of one class": (ValueError, "classes must be", lambda: P.Classifier(classes=1)),
    "Classifier of half a channel": (TypeError, "channels must be", lambda: P.Classifier(.5)),
    "training on points": (ValueError, "x must have shape", lambda: P.train_classifier(POINTS, LABELS)),
    "training on integers": (TypeError, "x must hold real", lambda: P.train_classifier(BYTES.long(), LABELS)),
    "training on NaN": (ValueError, "x must be finite", lambda: P.train_classifier(BYTES*NAN, LABELS)),
    "training on tiny pictures": (ValueError, "at least 4", lambda: P.train_classifier(BYTES[..., :2], LABELS)),
    "training on real labels": (TypeError, "y must be a tensor of integers", lambda: P.train_classifier(BYTES, LABELS.float())),
    "training on a list of labels": (TypeError, "y must be a tensor of integers", lambda: P.train_classifier(BYTES, [0, 1, 2, 3, 4])),
    "training on too few labels": (ValueError, "each of 5 pictures", lambda: P.train_classifier(BYTES, LABELS[:4])),
    "training on labels below 0": (ValueError, "class number from 0", lambda: P.train_classifier(BYTES, LABELS - 1)),
    "training on labels in a table": (ValueError, "y must hold a class number", lambda: P.train_classifier(BYTES, LABELS[:, None])),
    "training on true and false": (TypeError, "y must be a tensor of integers", lambda: P.train_classifier(BYTES, LABELS > 2)),
    "training on no device": (TypeError, "device must be", lambda: P.train_classifier(BYTES, LABELS, device=3)),
    "training that goes astray": (ValueError, "hidden layer must be finite", lambda: P.train_classifier(BYTES, LABELS, epochs=3, lr=1e30)),
    "training for no epochs": (ValueError, "epochs must be", lambda: P.train_classifier(BYTES, LABELS, epochs=0)),
    "training at rate 0": (ValueError, "lr must be", lambda: P.train_classifier(BYTES, LABELS, lr=0)),
    "training in half batches": (TypeError, "batch must be", lambda: P.train_classifier(BYTES, LABELS, batch=.5)),
    "training from seed -1": (ValueError, "seed must be", lambda: P.train_classifier(BYTES, LABELS, seed=-1)),
    "hidden of three channels": (ValueError, "x must have 1 channels", lambda: NET.hidden(torch.zeros(2, 3, 8, 8))),
    "measure of one picture": (ValueError, "at least 3", lambda: P.Classifier().measure(BYTES[:1])),
    "features of points": (ValueError, "x must have shape", lambda: NET.features(POINTS)),
    "features in no batches": (ValueError, "batch must be", lambda: NET.features(BYTES, 0)),
    "confidence of a function": (TypeError, "net must be a Classifier", lambda: P.confidence(mean, BYTES)),
    "confidence on NaN": (ValueError, "x must be finite", lambda: P.confidence(NET, BYTES*NAN)),
    "features_of a picture": (TypeError, "phi must be a Callable, got Tensor", lambda: P.features_of(BYTES, BYTES)),
    "features_of points": (ValueError, "x must have shape", lambda: P.features_of(mean, POINTS)),
    "features_of with one number": (ValueError, "phi(x) must have shape", lambda: P.features_of(mean, BYTES)),
    "features_of with a list": (TypeError, "phi(x) must be", lambda: P.features_of(list, BYTES)),
    "features_of with NaN": (ValueError, "phi(x) must be finite", lambda: P.features_of(lambda x: x*NAN, BYTES)),
    "features_of in no batches": (ValueError, "batch must be", lambda: P.features_of(NET.features, BYTES, 0)),
    "nearest of other shapes": (ValueError, "batches of the same shape", lambda: P.nearest(BYTES, torch.zeros(5, 1, 4, 4))),
    "nearest of nothing": (ValueError, "train must have shape (B, ...), two axes or more and none empty", lambda: P.nearest(BYTES, BYTES[:0])),
    "nearest of numbers": (ValueError, "samples must have shape (B, ...)", lambda: P.nearest(torch.zeros(5), torch.zeros(5))),
    "nearest of integers": (TypeError, "samples must hold real", lambda: P.nearest(BYTES.long(), BYTES)),
    "nearest of NaN": (ValueError, "train must be finite", lambda: P.nearest(BYTES, BYTES*NAN)),
    "nearest of a list": (TypeError, "train must be a torch.Tensor", lambda: P.nearest(BYTES, [1, 2])),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_meets_one_clear_sentence(case):
    error, says, call = WRONG[case]
    with pytest.raises(error) as e: call()
    assert says in str(e.value) and "\n" not in str(e.value), str(e.value)


NAMES = {"mnist": "images-idx3", "fashion_mnist": "images-idx3", "cifar10": "data_batch_"}


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_say_where_to_put_them(name, tmp_path):
    with pytest.raises(FileNotFoundError) as e: D.images(name, tmp_path, download=False)
    assert str(tmp_path/D.SOURCES[name][1]) in str(e.value) and NAMES[name] in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("name", NAMES)
def test_no_network_says_the_same(name, tmp_path, monkeypatch):
    def unreachable(*args, **kwargs): raise OSError("no network")
    monkeypatch.setattr("socket.create_connection", unreachable)
    with pytest.raises(FileNotFoundError, match="put the unpacked files"): D.images(name, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03\0\0\0\x09", b"not the format at all"])
def test_broken_files_say_the_same(content, tmp_path):
    folder = tmp_path/"MNIST"/"raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"): (folder/f"{part}-{kind}-ubyte").write_bytes(content)
    with pytest.raises(FileNotFoundError, match="could not be read"): D.images("mnist", tmp_path)


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path/"file").write_text("")
    with pytest.raises(FileNotFoundError, match="put the unpacked files"): D.images("mnist", tmp_path/"file")


def test_mnist_files_are_read(tmp_path):
    folder = tmp_path/"MNIST"/"raw"
    folder.mkdir(parents=True)
    pixels = torch.randint(256, (4, 28, 28), dtype=torch.uint8)
    def idx(sizes, body): return bytes([0, 0, 8, len(sizes)]) + b"".join(s.to_bytes(4, "big") for s in sizes) + body
    for part in ("train", "t10k"):
        (folder/f"{part}-images-idx3-ubyte").write_bytes(idx((4, 28, 28), bytes(pixels.flatten().tolist())))
        (folder/f"{part}-labels-idx1-ubyte").write_bytes(idx((4,), bytes([3, 1, 4, 1])))
    x, y = D.images("mnist", str(tmp_path), download=False)
    assert torch.equal(x, pixels.unsqueeze(1)) and x.dtype == torch.uint8 and y.tolist() == [3, 1, 4, 1]


def test_errors_change_nothing(tmp_path):
    "Neither the socket's waiting time nor the random streams."
    import socket
    state = torch.random.get_rng_state()
    with pytest.raises(FileNotFoundError): D.images("mnist", tmp_path, download=False)
    with pytest.raises(ValueError): P.train_classifier(BYTES, LABELS, seed=-1)
    assert socket.getdefaulttimeout() is None and torch.equal(state, torch.random.get_rng_state())


def test_data_does_not_load_what_it_may_not_need():
    import subprocess
    import sys
    code = "import sys, dpm_nb.features, dpm_nb.show; print([m for m in ('torchvision', 'matplotlib', 'sklearn', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(D.__file__).parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout
