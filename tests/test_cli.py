"The console command: what it imports, how it answers, that a killed run goes on, that no changed file is written over."
import json
import subprocess
import sys
import time
from importlib import import_module

import pytest
import torch
from conftest import NBS, ROOT, run
from PIL import Image
from torch.testing import assert_close

from dpm_nb import cli, keep
from dpm_nb.data import digits

COMMAND = [sys.executable, "-c", "from dpm_nb.cli import main; main()"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    "A folder of its own, in which the lines are typed."
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(capsys):
    "A function that types a line and gives the exit code and the lines of stdout and stderr."
    def enter(line):
        code = 0
        try: cli.main(line.split())
        except SystemExit as e: code = e.code
        said = capsys.readouterr()
        return code, said.out.splitlines(), [s for s in said.err.splitlines() if "|" not in s]
    return enter


def own_pictures(folder, n=60):
    "Pictures as people have them: colours, larger than wanted, not square, in sub-folders that are classes."
    x, y = digits(True)
    for i in range(n):
        name = "round" if y[i] in (0, 6, 8, 9) else "thin"
        (folder/name).mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray(x[i, 0].numpy()).resize((24, 24), Image.Resampling.NEAREST)
        wide = Image.new("RGB", (40, 24))
        wide.paste(Image.merge("RGB", [grey, grey, Image.new("L", grey.size)]), (8, 0))
        wide.save(folder/name/f"{i:03}.png")


def killed_at_first_checkpoint(line, folder):
    "Start a line in a process of its own, and kill it by the signal that nobody can catch."
    begun = subprocess.Popen([*COMMAND, *line.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not [*folder.glob("step-*.pt")] and begun.poll() is None and time.monotonic() < until: time.sleep(.005)
    alive = begun.poll() is None
    begun.kill()
    begun.wait()
    assert alive, f"`dpm-nb {line}` was over before it could be killed"


def test_nothing_heavy_is_imported_before_a_command_runs():
    code = "import sys; from dpm_nb.cli import main"
    heavy = "torch", "numpy", "matplotlib", "sklearn", "PIL", "IPython", "torchvision"
    found = run(sys.executable, "-c", f"{code}; print(*[m for m in {heavy} if m in sys.modules])", cwd=ROOT).strip()
    assert not found, f"`import dpm_nb.cli` imports {found}"
    took = []
    for _ in range(3):
        start = time.perf_counter()
        run(*COMMAND, "--help", cwd=ROOT)
        took.append(time.perf_counter() - start)
    assert min(took) < 1, f"`dpm-nb --help` takes {min(took):.1f} s"


def test_help_says_what_each_argument_is(typed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, said, _ = typed("--help")
    assert code == 0 and all(f"    {name} " in "\n".join(said) for name in ("lab", "train", "sample", "score"))
    wanted = {"lab": ["folder", "--copy"], "train": ["--data", "--classes", "--steps", "--seed", "--out", "--side", "--every", "--root"],
              "sample": ["run", "--n", "--method", "--steps", "--label", "--guidance", "--seed", "--out"],
              "score": ["run", "--n", "--passes", "--seed"]}
    for name, options in wanted.items():
        code, said, _ = typed(f"{name} --help")
        text = "\n".join(said)
        assert code == 0 and text.startswith(f"usage: dpm-nb {name} [-h]") and "pdb" not in text and "xtra" not in text
        for option in options: assert any(line.lstrip().startswith(option) and len(line.split()) > 3 for line in said), (name, option, text)


WRONG = ["", "trian", "train --steps many", "train --stpes 3", "train --data nowhere", "train --steps 0", "train --seed -1",
         "train --data empty", "sample", "sample nowhere", "score nowhere", "lab file", "train --classes --data flat --side 8"]


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_answered_in_one(line, typed, elsewhere):
    (elsewhere/"empty").mkdir()
    (elsewhere/"file").write_text("a file")
    own_pictures(elsewhere/"flat")
    (elsewhere/"flat"/"round").rename(elsewhere/"flat_pictures")
    for path in (elsewhere/"flat_pictures").iterdir(): path.rename(elsewhere/"flat"/path.name)
    code, _, said = typed(line)
    assert code == 2 and len(said) == 1 and said[0].startswith("dpm-nb"), said
    assert not [*elsewhere.rglob("step-*.pt")]


def test_a_stranger_trains_is_killed_goes_on_samples_and_scores(typed, elsewhere):
    own_pictures(elsewhere/"mine")
    line = "train --data mine --classes --side 8 --steps 8 --every 3 --seed 1 --out"
    killed_at_first_checkpoint(f"{line} killed", elsewhere/"killed")
    code, said, _ = typed(f"{line} killed")
    assert code == 0 and said[0] == "54 pictures (3, 8, 8) to learn from, 6 held back, class 0 is round, class 1 is thin"
    assert "killed stands at step " in said[1]
    typed(f"{line} whole")
    one, two = (keep.read(elsewhere/name/"step-000000008.pt") for name in ("killed", "whole"))
    for part in ("model", "ema", "optimizer", "history", "generator"): assert_close(one[part], two[part], rtol=0, atol=0)
    assert keep.alike(one["plan"], two["plan"])

    code, said, _ = typed("sample killed --n 6 --method dpmpp_2m --steps 4 --label 1 --guidance 2 --out six.png")
    picture = Image.open(elsewhere/"six.png")
    assert code == 0 and said == ["six.png: 6 pictures"] and picture.mode == "RGB"
    assert picture.size == (17*8, 26*8) # two columns, three rows, a pixel between, each of them eight times
    again = typed("sample killed --n 6 --method dpmpp_2m --steps 4 --label 1 --guidance 2 --out again.png")
    assert again[0] == 0 and (elsewhere/"again.png").read_bytes() == (elsewhere/"six.png").read_bytes()

    code, said, _ = typed("score killed")
    assert code == 0 and "bits/dim, 95% interval" in said[0] and "on 6 pictures that were held back, after 8 steps" in said[0]
    mean, low, high = (float(said[0].split()[i].strip(",")) for i in (0, 4, 6))
    assert low < mean < high and said == typed("score killed")[1]

    for wrong in ("train --data mine --side 8 --steps 8 --every 3 --seed 1 --out killed", line.replace("8 --every", "9 --every") + " killed",
                  "train --data digits --classes --steps 8 --seed 1 --out killed", "sample killed --label 2", "sample killed --method best",
                  "sample killed --method ddpm --steps 3", "sample killed --n 0"):
        code, _, said = typed(wrong)
        assert code == 2 and len(said) == 1, (wrong, said)
    Image.new("RGB", (9, 9)).save(elsewhere/"mine"/"thin"/"more.png")
    for wrong in (f"{line} killed", "score killed"):
        code, _, said = typed(wrong)
        assert code == 2 and "must be the pictures and classes that the run was begun with" in said[0]


def test_a_run_without_classes_is_asked_without_one(typed):
    assert typed("train --steps 2 --out plain")[0] == 0
    assert typed("sample plain --n 2 --steps 2")[0] == 0
    code, _, said = typed("sample plain --n 2 --steps 2 --label 3")
    assert code == 2 and len(said) == 1


def test_pictures_are_turned_cut_and_grey_where_they_are(elsewhere):
    own_pictures(elsewhere/"mine", 30)
    x, y, names = cli.pictures(elsewhere/"mine", 8)
    whole = digits(True)[0][:30]
    order = sorted(range(30), key=lambda i: (digits(True)[1][i] not in (0, 6, 8, 9), i))
    assert names == ["round", "thin"] and x.shape == (30, 3, 8, 8)
    assert_close(x[:, :1], whole[order], rtol=0, atol=0) # the border is cut off, and a mean of nine equal pixels is the pixel
    assert not x[:, 2].any()
    turned = Image.new("L", (6, 6))
    turned.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6 # the camera was held on its side: a quarter turn to the right
    (elsewhere/"turned").mkdir()
    for i in range(20): turned.save(elsewhere/"turned"/f"{i}.jpg", exif=exif, quality=100)
    grey, _, names = cli.pictures(elsewhere/"turned", 6)
    assert grey.shape == (20, 1, 6, 6) and names == ["."] and int(grey[0].flatten().argmax()) == 5


def test_lab_copies_every_chapter_and_opens_the_contents(typed, elsewhere, monkeypatch):
    opened = []
    lab = import_module("jupyterlab.labapp")
    monkeypatch.setattr(lab, "main", lambda argv: opened.append((argv, sorted(p.name for p in elsewhere.glob("book/*.ipynb")))))
    code, said, _ = typed("lab book")
    monkeypatch.chdir(elsewhere)
    assert code == 0 and said[-1] == "the chapters lie in book"
    argv, there = opened[0]
    assert argv[0] == "index.ipynb" and there == sorted(p.name for p in NBS.glob("*.ipynb"))
    assert (elsewhere/"book"/"matplotlibrc").exists() and not (elsewhere/"book"/"references.bib").exists()

    changed = elsewhere/"book"/"00_core.ipynb"
    changed.write_text("mine")
    before = {p.name: p.stat().st_mtime_ns for p in (elsewhere/"book").glob("*.ipynb")}
    assert typed("lab book --copy") == (0, ["00_core.ipynb stays as you changed it", "the chapters lie in book"], [])
    assert changed.read_text() == "mine" and len(opened) == 1
    assert before == {p.name: p.stat().st_mtime_ns for p in (elsewhere/"book").glob("*.ipynb")}, "what is the same is written again"

    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    code, _, said = typed("lab")
    assert code == 2 and said == ['dpm-nb lab: JupyterLab is not there: pip install "dpm-nb[lab]"']
    assert (elsewhere/"dpm-nb"/"index.ipynb").exists()


def test_an_upgrade_brings_newer_chapters_and_spares_changed_ones(elsewhere, monkeypatch):
    package = elsewhere/"package"
    (package/"nbs").mkdir(parents=True)
    monkeypatch.setattr(cli, "files", lambda name: package)
    for name in "ab": (package/"nbs"/f"{name}.ipynb").write_text(f"{name}, version 1")
    assert cli.copy_book("book") == []
    (elsewhere/"book"/"b.ipynb").write_text("b, changed")
    for version in (2, 3):
        for name in "ab": (package/"nbs"/f"{name}.ipynb").write_text(f"{name}, version {version}")
        assert cli.copy_book("book") == ["b.ipynb"]
        assert (elsewhere/"book"/"a.ipynb").read_text() == f"a, version {version}"
        assert (elsewhere/"book"/"b.ipynb").read_text() == "b, changed"
    (elsewhere/"book"/"b.ipynb").write_text("b, version 1") # as it was copied: nobody's work is lost
    assert cli.copy_book("book") == [] and (elsewhere/"book"/"b.ipynb").read_text() == "b, version 3"
    (elsewhere/"book"/".dpm-nb.json").unlink()
    (elsewhere/"book"/"a.ipynb").write_text("a, version 2")
    assert cli.copy_book("book") == ["a.ipynb"]
    assert json.loads((elsewhere/"book"/".dpm-nb.json").read_text())["a.ipynb"] is None


@pytest.mark.parametrize("size, widths, patch", [(8, (32, 64), 1), (16, (32, 64), 1), (28, (32, 64), 2), (64, (64, 128, 256), 2), (128, (64, 128, 256), 4)])
def test_the_network_fits_the_pictures(size, widths, patch, monkeypatch):
    asked = {}
    x = torch.zeros(20, 3, size, size, dtype=torch.uint8)
    monkeypatch.setattr(cli, "load", lambda note: ((x, None), (x, None), []))
    monkeypatch.setattr("dpm_nb.engine.fit", lambda d, net, data, steps, **plan: asked.update(plan, net=net, d=d, steps=steps))
    cli.main(["train", "--steps", "5000", "--out", "run", "--seed", "7"])
    assert asked["net"].recipe["widths"] == widths and asked["net"].recipe["patch"] == patch and asked["net"].recipe["channels"] == 3
    assert asked["ema"] == .998 and asked["seed"] == 7 and asked["minutes"] == .5 and asked["every"] is None
    assert asked["d"].schedule.T == 1000 and asked["d"].predicts == "v"
    cli.main(["train", "--steps", "500", "--out", "run"])
    assert asked["ema"] == .99


def test_the_interval_is_that_of_the_estimate(typed, monkeypatch):
    from dpm_nb import estimate
    asked = []
    def told(d, model, x, y, passes, generator):
        asked.append((len(x), passes))
        return estimate.Estimate(2., .1, passes)
    typed("train --steps 1 --out run --classes")
    monkeypatch.setattr(estimate, "vlb_estimate", told)
    code, said, _ = typed("score run")
    assert code == 0 and said == ["2.0000 bits/dim, 95% interval 1.8040 to 2.1960, on 400 pictures that were held back, after 1 steps"]
    typed("score run --n 10")
    assert asked == [(400, 32), (10, 108)] # a pilot asks every t of a thousand, here of ten pictures
