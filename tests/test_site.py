"The rendered site in a browser: every figure moves under the mouse and the keys, and axe finds no barrier on any page."
import functools
import http.server
import os
import re
import threading

import pages
import pytest
from conftest import NOTEBOOKS, ROOT, TALK, living, run
from lab import Hands, chromium
from test_docs import QUARTO, processed

if not QUARTO: pytest.skip("Quarto is not on PATH (https://quarto.org/docs/get-started/)", allow_module_level=True)

PAGES = [*(pages.page(p) for p in NOTEBOOKS), "api.html", "404.html"]
ALIVE = [p for p in NOTEBOOKS if living(p)]
PHONE = ["index.html", "talk.html", "gaussian.html"]
AWAY = re.compile("net::ERR_FAILED|define is not defined") # scripts of Quarto that stand elsewhere


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    "A page of the browser at the site, which `make docs` has made since its sources changed, or Quarto makes now; nothing else can be reached."
    made = site_of_make_docs()
    if not made:
        project = processed(tmp_path_factory.getbasetemp())
        run("quarto", "render", cwd=project/"_proc")
        made = project/"_proc"/"_docs"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(made))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"
        with chromium(tmp_path_factory.mktemp("site")) as page:
            page.route(lambda url: not url.startswith((home, "data:", "blob:")), lambda route: route.abort())
            page.home, page.said = home, []
            hear = lambda text: None if AWAY.search(text) else page.said.append(text)
            page.on("pageerror", lambda error: hear(str(error)))
            page.on("console", lambda m: hear(m.text) if m.type == "error" else None)
            yield page
        server.shutdown()


def site_of_make_docs():
    "The folder `_docs`, where no source is newer."
    pages_made = [f.stat().st_mtime for f in ROOT.glob("_docs/*.html")]
    files = [f for name in ("nbs", "tools", "dpm_nb") for f in (ROOT/name).rglob("*")] + [ROOT/"_quarto.yml", ROOT/"settings.ini"]
    sources = [f.stat().st_mtime for f in files if f.is_file() and not {"data", "__pycache__", ".ipynb_checkpoints"} & {*f.parts}]
    return ROOT/"_docs" if pages_made and min(pages_made) > max(sources) else None


def visit(page, name, width=1280, scheme="light"):
    "Open a page, and wait until its figures are drawn."
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.said.clear()
    page.goto(page.home + name)
    page.wait_for_function("[...document.querySelectorAll('figure.living')].every(f => f.querySelector('canvas, svg.marks'))")
    page.wait_for_function("!window.Reveal || Reveal.isReady()")


FULL = bool(os.environ.get("DPM_NB_FULL"))
FEW = """() => {
  document.querySelectorAll("pre > code").forEach((e, i) => { if (i > 9) e.textContent = e.textContent })
  document.querySelectorAll(".entry").forEach((e, i) => { if (i > 29) e.remove() })
}"""


def barriers(page, contrast=True):
    "What axe finds on the page, as lines. Of blocks of code in colours and of entries of the API, all of one form, it is shown the first."
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.evaluate(FEW)
    options = {"resultTypes": ["violations"], "preload": False, "rules": {"color-contrast": {"enabled": contrast}}}
    found = axe.Axe().run(page, options=options).response["violations"]
    return [f"{v['id']}: {n['target'][0]}: {n['html'][:100]}: {n['failureSummary'].splitlines()[-1].strip()}" for v in found for n in v["nodes"]]


def see_no_barrier(page, name, contrast=True):
    found = barriers(page, contrast)
    assert not found, "\n".join([f"axe finds {len(found)} barriers on {name}", *found[:20]])


@pytest.mark.parametrize("path", ALIVE, ids=lambda p: p.stem)
def test_figures_move_by_mouse_and_keys(path, page):
    visit(page, pages.page(path))
    figures = page.locator("figure.living")
    assert figures.count() == len(living(path))
    for k, spec in enumerate(living(path)):
        figure = figures.nth(k)
        if path == TALK: figure.evaluate("f => Reveal.slide(Reveal.getIndices(f.closest('section')).h)")
        moved = Hands(page, figure, f"{path.stem}, figure {k+1}").move_all()
        bound = [p["name"] for p in spec.get("params", []) if p.get("bind", {}).get("input") == "range"]
        assert moved == len(bound), f"{path.stem}, figure {k+1}: {moved} sliders for {', '.join(bound)}"
    assert not page.said, f"The browser complains of {path.stem}: {page.said}"


@pytest.mark.parametrize("name", PAGES)
def test_page_has_no_barrier(name, page):
    visit(page, name)
    see_no_barrier(page, name, FULL or name in PHONE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PHONE)
def test_phone_has_no_barrier(name, scheme, page):
    visit(page, name, 390, scheme)
    see_no_barrier(page, f"{name} on a phone, {scheme}")
