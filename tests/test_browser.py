"In JupyterLab: each notebook reads as it is meant and its figures move, untrusted and with nothing run; three chapters run from top to bottom."
import re
import time

import number
import pytest
from conftest import IN_LAB, NBS, NOTEBOOKS, ROOT, cells, living
from lab import Hands, chromium, jupyterlab

BOOKS = {p.name: nb for p, nb in number.read(ROOT/"nbs").items()}
SHIFT = "Shift+" # an arrow alone leads JupyterLab to another cell
IDLE = "Python 3 (ipykernel) | Idle"
PROMPTS = """cells => cells.filter(c => c.querySelector('.cm-content')?.textContent.trim())
                   .map(c => c.querySelector('.jp-InputPrompt').textContent.trim())"""
SEEN = """() => [...document.querySelectorAll('.jp-Notebook mjx-container')].flatMap(e => {
  const label = e.querySelector('mjx-labels')?.getBoundingClientRect()
  if (!label?.width || label.right > e.closest('.jp-Cell').getBoundingClientRect().right) return []
  return [...e.querySelectorAll('mlabeledtr > mtd:first-child')].map(n => n.textContent.slice(1, -1))
})"""
PROSE = "() => [...document.querySelectorAll('.jp-RenderedMarkdown')].map(e => e.innerText).join('\\n')"
FOLDED = "() => [...document.querySelectorAll('.jp-InputPlaceholder .jp-PlaceholderText')].map(e => e.innerText.trim())"
OPEN = """async name => {
  for (const widget of [...jupyterapp.shell.widgets('main')]) widget.dispose()
  await jupyterapp.serviceManager.sessions.shutdownAll()
  const widget = await jupyterapp.commands.execute('docmanager:open', {path: name})
  await widget.context.ready
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "A function that opens a notebook in JupyterLab, and gives it a kernel or lets it wait for one."
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab(folder) as address, chromium(folder) as page:
        page.said, starts = [], re.compile(r"/api/sessions(\?|$)")
        closed = "Disposed" # what a notebook says that is closed while it waits for its kernel
        attached = re.compile("ERR_UNKNOWN_URL_SCHEME") # of a cell's own pictures, which JupyterLab asks for before it puts them in
        page.on("pageerror", lambda error: None if str(error) == closed else page.said.append(str(error)))
        page.on("console", lambda m: page.said.append(m.text) if m.type == "error" and not attached.search(m.text) else None)
        waits = lambda route: route.fallback() if route.request.method == "GET" else None
        def opened(name, kernel=False):
            page.unroute(starts)
            if not kernel: page.route(starts, waits)
            page.said.clear()
            page.evaluate(OPEN, name)
            page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
            return page
        page.route(starts, waits)
        page.goto(address("index.ipynb") + "&reset")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        yield opened


# Three chapters run -------------------------------------------------------------------------


def see_no_error(page, name):
    dialog = page.locator(".jp-Dialog")
    assert not dialog.count(), f"JupyterLab asks:\n{dialog.first.inner_text()}"
    errors = page.locator('[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]')
    assert not errors.count(), f"{name} shows an error:\n{errors.first.inner_text()}"


def settled(page, name, pictures):
    "The pictures, once the kernel is idle and they no longer change."
    seen = None
    for _ in range(60):
        time.sleep(1)
        see_no_error(page, name)
        last, seen = seen, pictures()
        if seen == last and page.get_by_text(IDLE).count(): return seen
    pytest.fail("The pictures did not come to rest within a minute")


def run_all(page, name):
    "Run > Run All Cells, until every cell that holds code has a number."
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    for _ in range(300):
        see_no_error(page, name)
        prompts = page.locator(".jp-CodeCell").evaluate_all(PROMPTS)
        if prompts and all(p.strip("[]:").isdigit() for p in prompts): return prompts
        time.sleep(1)
    pytest.fail(f"{name} was not through after five minutes: {prompts}")


def move_widget(page, name):
    "Move the slider t that a kernel answers."
    cell = page.locator(".jp-CodeCell", has=page.locator(".widget-slider .widget-label", has_text="t")).last
    slider = cell.locator(".widget-slider", has=page.locator(".widget-label", has_text="t")).first
    pictures = lambda: cell.locator(".widget-output img, .jp-OutputArea-output img").evaluate_all("all => all.map(i => i.src)")
    handle = slider.locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    before, value = settled(page, name, pictures), slider.locator(".widget-readout").inner_text()
    assert len(before) == 1, f"Beside the slider stand {len(before)} pictures instead of one"

    box, track = handle.bounding_box(), slider.locator(".noUi-base").bounding_box()
    page.mouse.move(box["x"] + box["width"]/2, box["y"] + box["height"]/2)
    page.mouse.down()
    for part in (0.5, 0.9): page.mouse.move(track["x"] + part*track["width"], box["y"] + box["height"]/2, steps=5)
    page.mouse.up()
    moved = slider.locator(".widget-readout").inner_text()
    assert moved != value, f"The slider does not move from {value}"
    changed = settled(page, name, pictures) != before
    assert changed, f"The slider moved from {value} to {moved}, and the picture stayed"


@pytest.mark.parametrize("name", IN_LAB)
def test_runs_from_top_to_bottom(name, lab):
    page = lab(name, kernel=True)
    page.get_by_text(IDLE).wait_for()
    prompts = run_all(page, name)
    folded = lambda cell: cell.metadata.get("jupyter", {}).get("source_hidden", False) # shows no number
    count = sum(1 for c in cells(NBS/name, "code") if c.source.strip() and not folded(c))
    assert len(prompts) == count, f"{len(prompts)} cells ran, {name} has {count}"
    figures = page.locator(".jp-RenderedVegaLite", has=page.locator("canvas"))
    assert figures.count() == len(living(NBS/name)), f"{name} draws {figures.count()} living figures"
    for figure in figures.all():
        slider = figure.locator("input[type=range]").first
        Hands(page, figure, f"{name}, {slider.get_attribute('name')}").point(slider)
    if page.locator(".widget-slider").count(): move_widget(page, name)


# Each notebook as it is stored ----------------------------------------------------------------


@pytest.fixture(scope="module", params=[p.name for p in NOTEBOOKS])
def opened(request, lab):
    "A notebook in JupyterLab once its equations stand still: its name, the page, and the numbers that are seen."
    page, name = lab(request.param), request.param
    want, seen = number.tags(BOOKS[name]), None
    for _ in range(120):
        time.sleep(.3)
        last, seen = seen, page.evaluate(SEEN)
        if seen == last and (seen == want or not want): break
    return name, page, seen


def test_page_reads_as_it_is_meant(opened):
    name, page, seen = opened
    assert seen == number.tags(BOOKS[name]), f"{name} shows the numbers {seen}"
    assert not page.locator("mjx-merror").count(), f"{name}: {page.locator('mjx-merror').first.inner_text()}"
    raw = re.findall(r"\{#[\w-]+\}|@eq-\w+|:::|\\tag|\$\$|\*\*\w", page.evaluate(PROSE))
    assert not raw, f"{name} shows markup as it stands: {', '.join(raw)}"
    assert not page.locator(".jp-Dialog, .Toastify__toast").count(), f"JupyterLab asks something at {name}"
    hidden = [c for c in BOOKS[name].cells if c.metadata.get("jupyter", {}).get("source_hidden")]
    first = [c.source.splitlines()[0] for c in hidden]
    assert page.evaluate(FOLDED) == first, f"{name} folds {page.evaluate(FOLDED)}"


def test_figures_live_untrusted_and_with_no_kernel(opened):
    "Each control under the mouse and the keys; no cell has run, and nobody has trusted the notebook."
    name, page, _ = opened
    specs, figures = living(NBS/name), page.locator(".jp-RenderedVegaLite")
    for k in range(len(specs)): figures.nth(k).locator("canvas").wait_for()
    assert figures.count() == len(specs), f"{name} shows {figures.count()} of {len(specs)} living figures"
    if specs: assert page.locator("[title^='Notebook not trusted: 0 of']").count(), f"{name} is trusted, which proves nothing"
    lost = "() => [...document.querySelectorAll('.jp-RenderedMarkdown img')].filter(i => !i.naturalWidth).map(i => i.src)"
    assert not page.evaluate(lost), f"Pictures of {name}'s text do not show: {page.evaluate(lost)}"
    prompts = lambda: page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
    before = prompts()
    for k, spec in enumerate(specs):
        moved = Hands(page, figures.nth(k), f"{name}, figure {k+1}", SHIFT).move_all()
        bound = [p["name"] for p in spec.get("params", []) if p.get("bind", {}).get("input") == "range"]
        assert moved == len(bound), f"{name}, figure {k+1}: {moved} sliders for {', '.join(bound)}"
    assert prompts() == before, f"A cell of {name} has run"
    assert not page.said, f"The browser complains of {name}: {page.said}"
