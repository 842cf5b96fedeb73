"Living figures: stored whole, alive without a kernel, and what they draw is what `dpm_nb` computes."
import base64
import io
import json
import math
import re
import warnings

import altair
import pytest
import torch
import vl_convert
from conftest import LIVING as KIND
from conftest import NBS, NOTEBOOKS, cells
from readme import alts
from torch.distributions import Normal
from torch.testing import assert_close

from dpm_nb.chain import on_grid
from dpm_nb.data import two_bumps
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.schedule import Schedule, make_schedule

FIGURES = {f"{path.stem}-{cell.id}": (path, cell, output.data) for path in NOTEBOOKS for cell in cells(path, "code")
           for output in cell.outputs if KIND in output.get("data", {})}
each_figure = pytest.mark.parametrize("name", FIGURES)
DISSOLVE, STEPS = (next(name for name in FIGURES if name.startswith(chapter)) for chapter in ("02_schedule", "04_chain"))
FAMILIES = ["linear", "linear, not rescaled", "cosine", "sigmoid", "inverse_time"]
PLACES = [(0, 1000), (.37, 1000), (1, 1000), (.25, 10), (1, 10), (.99, 330)]


@each_figure
def test_is_stored_whole(name):
    "JupyterLab prefers HTML, which would need a network; colours of marks belong to the theme."
    path, cell, data = FIGURES[name]
    assert set(data) == {KIND, "image/png", "text/plain"}
    spec = data[KIND]
    altair.Chart.from_dict(spec)
    assert "/v5" in spec["$schema"] and vl_convert.vegalite_to_vega(spec, "5.20")
    assert alts(cell.source) == [spec["description"]] == [data["text/plain"]]
    png = base64.b64decode(data["image/png"])
    assert png.startswith(b"\x89PNG") and len(png) < 150_000 and len(json.dumps(spec)) < 200_000
    own = re.findall(r"#[0-9a-f]{6}\b", json.dumps({k: v for k, v in spec.items() if k != "config"}))
    assert not own, f"{name} names colours outside its config: {', '.join(own)}"


@each_figure
def test_asks_before_and_tells_after(name):
    path, cell, _ = FIGURES[name]
    if path.stem.startswith("9"): pytest.skip("The workshop asks nothing")
    page = cells(path)
    place = next(i for i, c in enumerate(page) if c.id == cell.id)
    before = next(c.source for c in page[place::-1] if c.cell_type == "markdown")
    assert "?" in before, f"No question stands before {name}"
    assert page[place+1].cell_type == "markdown" and "<summary>What you saw</summary>" in page[place+1].source


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    "A page of the browser, and a folder with Vega's script."
    from lab import chromium
    folder = tmp_path_factory.mktemp("living")
    (folder/"vega.js").write_text(vl_convert.javascript_bundle(vl_version="5.20"), encoding="utf-8")
    with chromium(folder) as page:
        page.folder, page.said = folder, []
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("console", lambda m: page.said.append(m.text) if m.type == "error" else None)
        yield page


def show(page, name, width=860):
    "Draw a stored figure on a page that has nothing else."
    spec = json.dumps(FIGURES[name][2][KIND])
    (page.folder/"page.html").write_text(
        '<!doctype html><meta charset="utf-8"><body style="margin: 16px"><script src="vega.js"></script><div id="f"></div>'
        f'<script>vegaEmbed("#f", {spec}, {{renderer: "svg"}}).then(r => window.view = r.view)</script>', encoding="utf-8")
    page.set_viewport_size({"width": width, "height": 900})
    page.said.clear()
    page.goto((page.folder/"page.html").as_uri())
    page.wait_for_function("window.view")
    assert not page.said, f"The browser complains of {name}: {page.said}"


def move(page, name, value):
    "Move a slider or make a choice, as a reader does."
    control = page.locator(f'.vega-bindings input[name="{name}"]')
    kind = control.first.get_attribute("type")
    if kind == "radio": page.locator(f'.vega-bindings input[name="{name}"][value="{value}"]').check()
    elif kind == "checkbox": control.set_checked(value)
    else: control.fill(str(value))
    page.evaluate("view.runAsync().then(() => true)")


@each_figure
def test_fits_a_column_and_a_phone(page, name):
    for width in (860, 390):
        show(page, name, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} pixels"


@each_figure
def test_every_control_changes_the_picture(page, name):
    show(page, name)
    picture = lambda: page.locator("#f svg").inner_html()
    controls = page.locator(".vega-bindings input").evaluate_all(
        "all => all.map(i => [i.name, i.type == 'radio' ? [i.value] : i.type == 'checkbox' ? [true, false] : [i.min, i.max]])")
    assert controls, f"{name} has nothing to move"
    seen = {}
    for control, values in controls:
        for value in values:
            move(page, control, value)
            seen.setdefault(control, set()).add(picture())
    dead = [control for control, pictures in seen.items() if len(pictures) < 2]
    assert not dead, f"Nothing changes with {', '.join(dead)}"


MARKS = """() => {
  const found = {}
  function walk(item, name) {
    if (item.marktype == "group" || item.items && !item.marktype) return item.items.forEach(i => walk(i, item.name || name))
    if (item.role == "mark") (found[item.name] ??= []).push(...item.items.map(i => [i.x, i.y, i.width, i.fill, i.text]))
  }
  walk(view.scenegraph().root, "")
  return found
}"""
ITEMS = MARKS.replace("[i.x, i.y, i.width, i.fill, i.text]", """({x: i.x, y: i.y, x2: i.x2, y2: i.y2, width: i.width,
    size: i.size, angle: i.angle, text: i.text, dash: i.strokeDash, stroke: i.stroke})""")


def told(text):
    "A number that a figure says in words."
    return float(text.replace("−", "-").replace("∞", "inf").replace(",", ""))


def column(items, *fields):
    "Fields of marks as `ITEMS` gives them, `(marks, fields)`."
    return torch.tensor([[i[f] for f in fields] for i in items], dtype=torch.float64)


def stored():
    "What the figure holds of x0, eps and the digit: `(1001, 2)` twice, and the digit `(784,)` in [-1, 1]."
    lines = FIGURES[DISSOLVE][2][KIND]["data"]["values"].splitlines()
    assert lines[0] == "k,u,v,eps_u,eps_v,grey"
    rows = [line.split(",") for line in lines[1:]]
    assert [int(r[0]) for r in rows] == list(range(1001))
    table = torch.tensor([[float(v) for v in r[1:5]] for r in rows], dtype=torch.float64)
    return table[:, :2], table[:, 2:], torch.tensor([int(r[5]) for r in rows[:784]], dtype=torch.float64)/127.5 - 1


def test_dissolve_holds_data_and_noise():
    "Both have mean square 1, and know nothing of each other."
    x0, eps, digit = stored()
    assert digit.min() == -1 and digit.max() > .98 and .1 < (digit > 0).double().mean() < .2
    assert_close((x0**2).mean().item(), 1., rtol=0, atol=.05)
    for mean in (eps.mean(0), (eps**2).mean(0)/2**.5 - .5**.5, (x0*eps).mean(0)): assert (mean.abs() < 4/1001**.5).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_dissolve_draws_what_is_computed(page, family):
    show(page, DISSOLVE)
    x0, eps, digit = stored()
    move(page, "schedule", family)
    for part, T in PLACES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            s = Schedule(torch.linspace(1e-4, .02, T, dtype=torch.float64)) if "not" in family else make_schedule(family, T)
        t, d = math.floor(part*T + .5), GaussianDiffusion(s, "v")
        jump = lambda x0, eps: d.q_sample(x0, t, eps) if t else x0
        move(page, "T", T)
        move(page, "part", part)

        move(page, "shown", "swiss roll")
        seen = page.evaluate(MARKS)
        drawn = torch.tensor([[x/40 - 3.5, 3.5 - y/40] for x, y, *_ in seen["roll_marks"]], dtype=torch.float64)
        assert_close(drawn, jump(x0, eps), rtol=0, atol=1e-9)
        assert not seen.get("pixels_marks")

        move(page, "shown", "digit")
        seen = page.evaluate(MARKS)
        pixels = seen["pixels_marks"]
        assert not seen.get("roll_marks")
        places = torch.tensor([[10*(k % 28), 10*(k//28)] for k in range(784)], dtype=torch.float64)
        assert_close(torch.tensor([p[:2] for p in pixels], dtype=torch.float64), places, rtol=0, atol=1e-9)
        grey = torch.tensor([[int(v) for v in re.findall(r"\d+", p[3])] for p in pixels], dtype=torch.float64)
        want = (jump(digit, eps[:784, 0]).clamp(-1, 1) + 1)*127.5
        assert_close(grey, want[:, None].expand(784, 3), rtol=0, atol=.5 + 1e-6)

        check_panels(seen, family, s, t)


def check_panels(seen, family, s, t):
    "The curves, the dots, the meter, and what stands above them."
    curve = lambda name: torch.tensor([[x, y] for x, y, *_ in seen[name]], dtype=torch.float64)
    across, bar = torch.arange(s.T+1, dtype=torch.float64)*280/s.T, s.alpha_bar[t].item()
    for name, high in (("signal", 80*(1-s.alpha_bar)), ("snr", 80*(13-s.log_snr.clamp(-13, 13))/26)):
        want = torch.stack([across, high], 1)
        assert_close(curve(f"{name}_layer_0_marks"), want, rtol=0, atol=1e-6)
        assert_close(curve(f"{name}_layer_1_marks"), want[t:t+1], rtol=0, atol=1e-6)
    bits = max(s.prior_bits, 1e-7)
    filled = 280*math.log(bits/1e-7)/math.log(3/1e-7)
    assert_close(float(seen["mismatch_layer_0_marks"][0][2]), filled, rtol=0, atol=1e-4)
    assert_close(seen["mismatch_layer_1_marks"][0][0], 280*math.log(.01/1e-7)/math.log(3/1e-7), rtol=0, atol=1e-6)

    words = [m[4] for name, marks in seen.items() for m in marks if m[4]]
    step, signal, snr, mismatch = words
    assert step == f"{family}: T = {s.T}, t = {t}"
    assert signal.startswith("signal left: ᾱ = ")
    assert_close(float(signal.split(" = ")[1].replace("−", "-")), bar, rtol=5e-3, atol=1e-15)
    said = snr.removeprefix("signal against noise: log SNR = ").replace("−", "-").replace("∞", "inf")
    assert_close(float(said), s.log_snr[t].item(), rtol=0, atol=.0051)
    said = re.fullmatch(r"prior mismatch: (?:(below 0\.000001)|([\d.]+)) bits/dim(, too much)?", mismatch)
    assert bool(said[1]) == (s.prior_bits < 1e-6) and bool(said[3]) == (s.prior_bits > .01)
    if said[2]: assert_close(float(said[2]), s.prior_bits, rtol=.05, atol=0)


@pytest.mark.parametrize("xt, size", [(-.3, -.3), (.7, -1.), (2.5, -.02), (-1.25, -2.)])
def test_small_steps_draw_the_exact_step_back(page, xt, size):
    show(page, STEPS)
    move(page, "x_t", xt)
    move(page, "size", size)
    rows = page.evaluate("Object.keys(view._runtime.data).map(n => view.data(n)).find(d => d.length && 'total' in d[0])")
    seen = {k: torch.tensor([r[k] for r in rows], dtype=torch.float64) for k in ("exact", "normal", "kernel", "states", "total")}
    q, beta, part = on_grid(two_bumps(), n=1401), 10**size, slice(300, 1101)     # the grid's points from -4 to 4
    i = round(700 + 100*xt)
    r, fit = q.reverse(beta)[i], q.normal(beta).log_prob(q.x)[i]
    kernel = Normal(xt/math.sqrt(1-beta), math.sqrt(beta/(1-beta))).log_prob(q.x).exp()
    for name, want in (("exact", r), ("normal", fit.exp()), ("states", q.q), ("kernel", kernel)):
        assert_close(seen[name], want[part], rtol=0, atol=1e-5)
    nats = (torch.xlogy(r, r) - r*fit).sum().item()*q.h
    assert_close(seen["total"][0].item(), nats, rtol=1e-3, atol=1e-6)
    words, = {m[4] for marks in page.evaluate(MARKS).values() for m in marks if m[4]}
    said = re.fullmatch(r"x_t = (−?[\d.]+), β = ([\d.]+): ([\d.]+(?:e[-−]\d+)?) nats from a Normal", words)
    assert said, words
    place, size, miss = (float(number.replace("−", "-")) for number in said.groups())
    assert_close((place, size), (xt, beta), rtol=5e-3, atol=0)
    assert_close(miss, nats, rtol=.05, atol=1e-6)
