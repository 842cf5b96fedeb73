"The talk: a slide for each of the slides that the book follows, mended and alive; figures that draw what `dpm_nb` computes; a slide show on the site."
import math
import re
import shutil
import sys

import number
import pages
import pytest
import torch
import yaml
from conftest import CHROMIUM, NBS, ROOT, TALK, cells, run
from test_living import FIGURES, ITEMS, KIND, MARKS, column, move, page, show, told
from test_living_bound import Coin, computed
from test_living_gaussian import second_step
from test_page import BOOK
from torch.distributions import Normal
from torch.testing import assert_close

from dpm_nb.chain import on_grid
from dpm_nb.core import at
from dpm_nb.data import digits, two_bumps
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import Schedule, cosine

TITLES = ["Generative models", "Generative models: explicit or implicit", "The generation process", "Why use Markov chains",
          "The variational lower bound", "Forward and backward", "The backward process: Bayes' rule",
          "The backward process: what to estimate", "The DPM algorithm"]
ALIVE = dict(zip(("chain", "budget", "jump", "posterior", "algorithm"), (name for name in FIGURES if name.startswith("40_talk"))))
THEIRS = ROOT.parent/"shared"/"slides.md"
QUARTO = shutil.which("quarto")


def slides():
    "The markdown of each slide, by its title."
    found, title = {}, None
    for cell in cells(TALK, "markdown"):
        if cell.source.startswith("## "): title = cell.source.splitlines()[0][3:]
        if title: found[title] = found.get(title, "") + cell.source + "\n\n"
    return found


def shown(text): return pages.FOLDED.sub("", text)


each_slide = pytest.mark.parametrize("title", TITLES)


def test_is_one_slide_for_each_of_theirs():
    assert list(slides()) == TITLES
    assert BOOK[0][0] == TALK.name and cells(TALK)[1].source.startswith(f"# {BOOK[0][2]}")
    if not THEIRS.exists(): return
    heads = [(re.findall(r"^# (.*)", part, re.M) or [""])[0] for part in re.split(r"(?m)^---$", THEIRS.read_text(encoding="utf-8"))]
    assert len(heads) == len(TITLES)
    plain = lambda text: re.sub(r"^the ", "", text.lower())
    for title, head in zip(TITLES, heads): assert plain(title).startswith(plain(head)), f"{title} stands where the talk has {head}"


@each_slide
def test_slide_says_why_and_has_notes(title):
    text = slides()[title]
    why, = re.findall(r"^Why\? .*$", text, re.M)
    links = re.findall(r"\]\((\w+\.ipynb)(?:#([^()\s]+))?\)", why)
    assert links and number.citations(why, [(0, len(why))]), f"{title} leads to no equation: {why}"
    for file, anchor in links:
        heads = {h.strip().replace(" ", "-") for c in cells(NBS/file, "markdown") for h in re.findall(r"^#+ (.*)$", c.source, re.M)}
        assert not anchor or anchor in heads, f"{title} leads to {file}#{anchor}, which is no heading"
    known = number.equations(number.read(NBS))
    for n in number.citations(why, [(0, len(why))]):
        assert known[n].name in [file for file, _ in links], f"{title} cites ({n}) and does not lead to {known[n].name}"
    said, = [m[2] for m in pages.FOLDED.finditer(text) if m[1] == "What is said"]
    assert len(said.split()) > 60, f"The speaker has little to say of {title}"


@each_slide
def test_slide_is_no_wall_of_text(title):
    words = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)\s]*\)|^Why.*$", " ", shown(slides()[title]), flags=re.S | re.M)
    assert len(re.findall(r"[^\W\d_]{2,}", words)) < 75, f"{title} is a wall of text"


def test_misprints_are_mended():
    jump, box = (shown(slides()[TITLES[k]]) for k in (5, 7))
    normals = re.findall(r"\\mathcal N\\big\((.*?)\\big\)", jump)
    assert normals == [r"\sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t)\,I"], "The variance of the jump has no root"
    mean = re.search(r"\\mathcal N\\Big\(x_\{t-1\};\\ (.*?),\\ ", box)[1]
    derived = re.search(r"^&= (\\frac1\{\\sqrt\{\\alpha_t\}\}.*?\\Big\))", box, re.M)[1]
    assert mean == derived and r"\bar\alpha_t}}\Big(" not in mean, "The box has the mean that is derived above it"


def test_living_figures_are_named():
    assert len(ALIVE) == 5 == sum(name.startswith("40_talk") for name in FIGURES)


# The figures -------------------------------------------------------------------------------


def points(marks, wide, high, x, y):
    "Places of marks in the units of the axes, from ranges of a panel of `wide` by `high` pixels."
    p = column(marks, "x", "y")
    return x[0] + p[:, 0]*(x[1] - x[0])/wide, y[1] - p[:, 1]*(y[1] - y[0])/high


@pytest.mark.parametrize("T, xt", [(1, -.3), (4, .5), (2, .9), (16, -1.2), (64, -.3)])
def test_chain_draws_states_and_the_step_back(page, T, xt):
    show(page, ALIVE["chain"])
    move(page, "xt", xt)
    move(page, "T", T)
    seen, q0 = page.evaluate(ITEMS), on_grid(two_bumps(), n=1401)
    n, alpha, t = min(T, 8), .01**(1/T), max(1, T//2)
    marks = seen["states_layer_0_marks"]
    assert len(marks) == 81*(n+1)
    for j in range(n+1):
        share, rib = .01**(j/n), sorted(marks[81*j:81*(j+1)], key=lambda i: -i["y"])
        q = (q0 if j == 0 else q0.forward(1-share)).q[300:1101]             # from -4 to 4, by 0.01
        place = torch.arange(81)*7.5 + 100
        below, above = place.floor().long(), place.ceil().long()
        want = (q[below] + q[above])/2
        got = (column(rib, "x") - column(rib, "x2"))[:, 0].abs()
        assert_close(got/got.max(), want/want.max(), rtol=0, atol=2e-3)
        base = column(rib, "x", "x2").min(1).values
        assert_close(base, torch.full((81,), j/n*320/(1 + .85/n)).double(), rtol=0, atol=1e-3)
    before = q0 if t == 1 else q0.forward(1 - alpha**(t-1))
    i = round(700 + 100*xt)
    r = before.reverse(1 - alpha)[i]
    mean = (r*q0.x).sum()*q0.h
    sd = ((r*(q0.x - mean)**2).sum()*q0.h).sqrt()
    curve = seen["back_layer_0_marks"]
    u, y = points(curve, 320, 165, (-4, 4), (0, 1))
    x = mean + u[:161]*sd
    k = ((x + 7)/q0.h).floor().long()
    part = (x + 7)/q0.h - k
    want = sd*(r[k]*(1 - part) + r[k+1]*part)
    assert_close(y[:161], want, rtol=0, atol=3e-3)
    assert_close(y[161:], Normal(0., 1.).log_prob(u[161:]).exp(), rtol=0, atol=1e-6)
    said, = {i["text"] for i in seen["states_layer_1_marks"]}
    beta, = re.fullmatch(rf"T = {T} steps?, each of β = (\S+)", said).groups()
    assert_close(told(beta), 1 - alpha, rtol=.03, atol=0)


@pytest.mark.filterwarnings("ignore:.*does not reach the prior")
@pytest.mark.parametrize("T, top, end", [(8, .8, -1), (2, .3, -2), (64, 1.3, -2), (20, -.5, -1.5), (5, 0, -.5)])
def test_budget_draws_the_three_parts(page, T, top, end):
    show(page, ALIVE["budget"])
    for name, value in (("T", T), ("top", top), ("end", end)): move(page, name, value)
    seen = page.evaluate(ITEMS)
    snr = torch.logspace(top, end, T, dtype=torch.float64)
    bar = torch.cat([torch.ones(1).double(), snr/(1 + snr)])
    s = Schedule(1 - bar[1:]/bar[:-1])
    parts, _ = computed(Coin(s, "x0", "posterior"), lambda x, t: torch.tanh(at(s.alpha_bar.sqrt()/s.beta_bar, t, x)*x))
    bars = torch.cat([parts[-1:], parts[1:-1].flip(0), parts[:1]])          # L_T, L_{T-1}, ..., L_1, L_0
    drawn = column(sorted(seen["parts_layer_0_marks"], key=lambda i: i["x"] + 1e-6*i["width"]), "x", "width")*3/310
    assert_close(drawn[:, 1].sum(), bars.sum(), rtol=1e-4, atol=1e-5)
    assert_close(drawn[:, 1].sort().values, bars.sort().values, rtol=1e-3, atol=1e-5)
    want = dict(zip(("L_T", "the steps", "L_0"), (parts[-1], parts[1:-1].sum(), parts[0])))
    for name, bits in (i["text"].split(": ") for i in seen["each_layer_1_marks"]):
        assert_close(told(bits), want[name].item(), rtol=0, atol=6e-4)
    said, = [i["text"] for name in seen if name.startswith("parts") for i in seen[name] if i["text"]]
    assert_close(told(re.search(r"together (\S+) bits", said)[1]), bars.sum().item(), rtol=0, atol=6e-3)
    assert bars.sum() > 1


@pytest.mark.parametrize("t", [0, 1, 10, 50, 99, 100])
def test_jump_draws_the_digit_and_its_bell(page, t):
    show(page, ALIVE["jump"])
    move(page, "t", t)
    d, spec = GaussianDiffusion(cosine(100)), FIGURES[ALIVE["jump"]][2][KIND]
    rows = spec["hconcat"][0]["layer"][0]["data"]["values"]
    grey, eps = (torch.tensor([float(r[k]) for r in rows], dtype=torch.float64) for k in ("grey", "eps"))
    assert_close(grey, digits()[0][0].flatten().double(), rtol=0, atol=0)
    x0, A = grey/127.5 - 1, d.schedule.alpha_bar[t].item()
    if t == 100: A = math.cos(math.pi/2)**2                                 # the figure does not cap the last beta
    for which, var in (("1 − ᾱ", 1 - A), ("its root, a misprint", (1 - A)**.5)):
        move(page, "variance", which)
        seen = page.evaluate(MARKS)
        drawn = torch.tensor([[int(v) for v in re.findall(r"\d+", m[3])] for m in seen["pixels_layer_0_marks"]]).double()
        right = d.q_sample(x0[None], t, eps[None])[0] if 0 < t < 100 and var == 1 - A else A**.5*x0 + var**.5*eps
        want = ((right + 1.6)/3.2).clamp(0, 1)*255
        assert_close(drawn, want[:, None].expand(64, 3), rtol=0, atol=.51)
    if not 0 < t < 100: return
    curves = page.evaluate(ITEMS)["bells_marks"]
    x, y = points(curves, 200, 150, (-3.5, 3.5), (0, 1.2))
    right = d.q_marginal(torch.ones(1, 1, dtype=torch.float64), t)
    wrong = Normal(right.mean[0], right.variance[0]**.25)
    for k, bell in enumerate((right, wrong)):
        part = slice(141*k, 141*(k+1))
        assert_close(y[part], bell.log_prob(x[part]).exp().flatten(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("xt, x0, before, alpha", [(1.2, -1, .6, .7), (1.2, -1, .6, .99), (-.4, 1.5, .98, .3), (2.5, 2, .02, .02)])
def test_posterior_draws_the_witnesses_and_their_product(page, xt, x0, before, alpha):
    show(page, ALIVE["posterior"])
    for name, value in (("xt", xt), ("x0", x0), ("A", before), ("alpha", alpha)): move(page, name, value)
    d, one = second_step(before, 1-alpha), lambda v: torch.tensor([[v]], dtype=torch.float64)
    data, both = d.q_marginal(one(x0), 1), d.q_posterior(one(xt), one(x0), 2)
    here = Normal(one(xt/alpha**.5), one(((1-alpha)/alpha)**.5))
    seen = page.evaluate(ITEMS)
    x, y = points(seen["witnesses_marks"], 320, 112, (-3, 3), (0, 1.05))
    for k, (q, line) in enumerate(zip((data, here, both), seen["told_layer_1_marks"])):
        part = slice(301*k, 301*(k+1))
        assert_close(y[part], (q.log_prob(x[part]) - q.log_prob(q.mean)).exp().flatten(), rtol=1e-6, atol=1e-6)
        said = re.search(r": (\S+) ± (\S+)$", line["text"]).groups()
        assert_close([told(v) for v in said], [q.mean.item(), q.stddev.item()], rtol=0, atol=.0051)


@pytest.mark.parametrize("T, gone", [(20, 20), (20, 12), (7, 7), (2, 1), (1, 1), (1, 20), (13, 0)])
def test_algorithm_draws_algorithm_2(page, T, gone):
    show(page, ALIVE["algorithm"])
    for name, value in (("T", T), ("gone", gone)): move(page, name, value)
    spec = FIGURES[ALIVE["algorithm"]][2][KIND]
    head, *lines = spec["data"]["values"].splitlines()
    noise = torch.tensor([[float(v) for v in line.split(",")[1:]] for line in lines], dtype=torch.float64)
    assert noise.shape == (60, 21) and head.split(",")[1:] == [f"z{k}" for k in range(1, 22)]
    d = GaussianDiffusion(cosine(T), "x0", "beta")
    net = lambda x, t: torch.tanh(at(d.schedule.alpha_bar.sqrt()/d.schedule.beta_bar, t, x)*x)
    end, x = max(T - gone, 0), noise[:, 20:]
    walk = {T: x}
    for t in range(T, end, -1):
        p = d.p_step(net, x, t)
        x = walk[t-1] = p.mean + (p.variance.sqrt()*noise[:, t-1:t] if t > 1 else 0)
    seen = page.evaluate(ITEMS)
    _, y = points(seen["ends_marks"], 310, 116, (0, T), (-3.2, 3.2))
    assert_close(y.sort().values, x[:, 0].sort().values, rtol=0, atol=1e-4)
    if gone: assert_close(points(seen["paths_marks"], 310, 116, (0, T), (-3.2, 3.2))[1].sort().values,
                          torch.cat([*walk.values()]).flatten().sort().values, rtol=0, atol=1e-4)
    said, = [i["text"] for name in seen for i in seen[name] if i["text"]]
    assert said == f"t = {end}: {int(((x.abs() - 1).abs() < .1).sum())} of 60 within 0.1 of a face"


# The slide show ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A folder with the talk as the site's step makes it of the notebook."
    folder = tmp_path_factory.mktemp("talk")
    code = "import sys; from pathlib import Path; from nbdev.processors import FilterDefaults; from nbdev.serve_drv import exec_nb; " \
           "exec_nb(*map(Path, sys.argv[1:]), FilterDefaults)"
    run(sys.executable, "-c", code, TALK, folder/TALK.name, cwd=ROOT, PYTHONPATH=f"{ROOT/'tools'}:{ROOT}")
    return folder


def test_site_makes_slides_of_the_notebook(made):
    front, *rest = cells(made/TALK.name)
    settings = yaml.safe_load(front.source.strip().strip("-"))
    assert settings["output-file"] == "talk.html" and settings["subtitle"] == settings["description"]
    assert settings["format"]["revealjs"]["width"] == 1280 and settings["execute"]["echo"] is False
    text = "\n".join(c.source for c in rest if c.cell_type == "markdown")
    assert text.lstrip().startswith("## ") or text.index("## ") < text.index("```"), "Something stands before the first slide"
    assert text.count("::: {.why}") == 9 and text.count("::: {.notes}") == 9 + len(ALIVE)
    assert "<details>" not in text and "A run takes" not in text
    assert len(re.findall(r"\[[\d.]+\]\([\w.]+#e-[\d-]+\)", text)) >= 9, "Citations are no links"
    for name in ("theme", "include-in-header", "include-after-body"):
        files = settings["format"]["revealjs"][name]
        for file in [files] if isinstance(files, str) else files: assert file == "default" or (ROOT/"tools"/"site"/file).exists()


@pytest.fixture(scope="module")
def rendered(made):
    "The address of the slides, as Quarto renders them."
    if not QUARTO: pytest.skip("Quarto is not on PATH (https://quarto.org/docs/get-started/)")
    import vl_convert
    shutil.copytree(ROOT/"tools"/"site", made, dirs_exist_ok=True)
    (made/"vega.js").write_text(vl_convert.javascript_bundle(vl_version="5.20"), encoding="utf-8")
    settings = yaml.safe_load((ROOT/"_quarto.yml").read_text(encoding="utf-8"))
    settings["project"] = {"type": "website", "output-dir": "_docs", "resources": ["vega.js", "living.js"]}
    settings["website"] = {"title": "talk"}
    (made/"_quarto.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    run("quarto", "render", TALK.name, cwd=made)
    return (made/"_docs"/"talk.html").as_uri()


NOW = "Reveal.getIndices().h"
FIGURE = "() => Reveal.getCurrentSlide().querySelector('figure.living svg').innerHTML"


@pytest.mark.skipif(not CHROMIUM, reason="No Chromium on PATH; DPM_NB_CHROMIUM can name one")
def test_slides_step_and_live(rendered, page):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(color_scheme="light")
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(rendered)
    page.wait_for_function("window.Reveal?.isReady() && document.querySelectorAll('figure.living svg').length == 5")
    assert page.evaluate("Reveal.getTotalSlides()") == 10
    for k, title in enumerate(TITLES, 1):
        page.keyboard.press("ArrowRight")
        assert page.evaluate(NOW) == k
        head = page.evaluate("Reveal.getCurrentSlide().querySelector('h2').innerText")
        assert head.replace("’", "'") == title
        assert len(page.evaluate("Reveal.getSlideNotes()")) > 300, f"{title} has no notes"
        assert page.locator("section.present .why a").first.is_visible() and not page.locator("section.present aside.notes").first.is_visible()
        assert not page.locator("section.present div.sourceCode").count(), f"{title} shows code"
        wide = page.evaluate("[...Reveal.getCurrentSlide().querySelectorAll('img, figure, h2, .vega-bindings')].filter(e => !e.closest('noscript'))"
                             ".filter(e => { const b = e.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth }).length")
        assert not wide, f"{title} is wider than the screen"

        slider = page.locator("section.present figure.living input[type=range]")
        if not slider.count(): continue
        before, value = page.evaluate(FIGURE), slider.last.input_value()
        slider.last.focus()
        page.keyboard.press("ArrowLeft")                        # moves the slider, not the slide
        page.wait_for_function(f"before => ({FIGURE})() != before", arg=before)
        assert slider.last.input_value() != value and page.evaluate(NOW) == k
        box = slider.last.bounding_box()
        page.mouse.click(box["x"] + .3*box["width"], box["y"] + box["height"]/2)    # lets the keys go again
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(NOW) == 8
    light = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.body.classList.contains('quarto-dark')")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != light
    page.unroute(re.compile("^https?:"))
