"""The site: names, equations, laws and living figures of its pages, where else they open, the API page, its settings, its
workflow, its old addresses; README.md is what the index says.
"""
import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from urllib.parse import parse_qs, urlparse

import contents
import nbformat
import number
import pages
import pytest
import readme
import yaml
from conftest import CHAPTERS, MODULES, NBS, NOT_COPIED, NOTEBOOKS, ROOT, TALK, cells, directives, program, run
from notebooks import INSTALL
from PIL import Image, ImageChops, ImageStat
from test_page import BOOK

QUARTO = shutil.which("quarto")
LIVING = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "data": {"values": [{"x": 1}]}, "mark": "point"}
EXTRA = [
    nbformat.v4.new_code_cell('# Law: "2" is even\nassert 2 % 2 == 0', metadata={"jupyter": {"source_hidden": True}}),
    nbformat.v4.new_code_cell('#| fig-alt: "one point"\nchart', outputs=[nbformat.v4.new_output("display_data", data={
        pages.LIVING: LIVING, "image/png": "aGVsbG8=", "text/plain": "a chart"})]),
]


@cache
def processed(base):
    "A copy of the project with its `_proc`. nbdev only asks that some quarto be on PATH."
    folder = base/"site"
    project = shutil.copytree(ROOT, folder/"project", ignore=NOT_COPIED)
    path = os.environ["PATH"]
    if not QUARTO:
        stand_in = folder/"bin"/("quarto.cmd" if os.name == "nt" else "quarto")
        stand_in.parent.mkdir()
        stand_in.write_text("exit 1\n" if os.name == "nt" else "#!/bin/sh\nexit 1\n")
        stand_in.chmod(0o755)
        path = f"{stand_in.parent}{os.pathsep}{path}"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Extra"), *EXTRA]), project/"nbs"/"99_extra.ipynb")
    where = os.pathsep.join(map(str, [project/"tools", project]))
    run(program("nbdev_proc_nbs"), "--force", "--file_re", r"\.ipynb$", cwd=project, PATH=path, PYTHONPATH=where)
    run(sys.executable, project/"tools"/"pages.py", cwd=project, PYTHONPATH=where)
    return project


@pytest.fixture(scope="module")
def site(tmp_path_factory): return processed(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def api(site): return (site/"_proc"/"api.qmd").read_text(encoding="utf-8")


def html(cell): return "".join("".join(o.get("data", {}).get("text/html", "")) for o in cell.get("outputs", []))


def anchors(site):
    "The anchors of each page's names and equations, in the order in which they stand."
    found = {}
    for path in CHAPTERS:
        text = "\n".join(c.source for c in cells(site/"_proc"/path.name, "markdown"))
        found[pages.page(path)] = re.findall(r'id="([^"]+)"|\{#(e-[\w-]+)\}', text)
    return {page: ["".join(pair) for pair in pairs] for page, pairs in found.items()}


@pytest.mark.parametrize("module", MODULES)
def test_every_name_stands_above_its_source(module, site):
    page = cells(site/"_proc"/MODULES[module].name)
    above = {name: i for i, c in enumerate(page) if c.cell_type == "markdown" for name in re.findall(r'href="api\.html#[^"]*">([\w.]+)</a>', c.source)}
    for e in pages.entries(module):
        if not pages.is_public(e.name): continue
        shown = e.name if e.name in above else e.name.split(".")[0]
        assert shown in above, f"{MODULES[module].name} does not name {e.name}"
        last = e.name.split(".")[-1]
        assert re.search(rf"\b{last}\b", page[above[shown]+1].source), f"The cell below the name {shown} does not hold {last}"
    assert not any("show_doc(" in c.source for c in page), f"{module}: signatures stand beside their source"


def test_every_anchor_is_there_once(site):
    found = anchors(site)
    for page, names in found.items(): assert len(names) == len(set(names)), f"{page} has an anchor twice"
    for module in MODULES:
        for e in pages.entries(module):
            page, name = e.links["chapter"].split("#")
            assert name in found[page], f"{page} lacks the anchor of {e.name}"
    for n, path in pages.equations().items():
        assert pages.anchor(n) in found[pages.page(path)], f"{path.name}: equation {n} has no anchor"


def test_symbols_in_prose_are_links(site):
    found = anchors(site)
    links = {link for m in MODULES for c in cells(site/"_proc"/MODULES[m].name, "markdown")
             for link in re.findall(r"\[`[\w.]+`\]\(([^)]+)\)", c.source)}
    assert len(links) > 30, f"The pages' prose links to {len(links)} symbols of the package"
    own = [link.split("#") for link in links if ".html#" in link and "//" not in link]
    assert own, "Links to the package's own symbols are not relative"
    dead = [f"{page}#{name}" for page, name in own if name not in found[page]]
    assert not dead, f"Symbols in prose link to {dead}"


def test_citations_are_links_to_equations(site, api):
    found = anchors(site)
    for path in CHAPTERS:
        texts = [c.source for c in cells(path, "markdown")]
        said = sum(len(re.findall(number.NUMBER, m[0])) for t in texts for m in number.CITED.finditer(number.CODE_OR_MATHS.sub("", t)))
        links = [link for c in cells(site/"_proc"/path.name, "markdown") for link in re.findall(rf"\[{number.NUMBER}\]\(([\w.]*)#(e-[\w-]+)\)", c.source)]
        assert len(links) == said, f"{path.name}: {said} citations and {len(links)} links"
        for page, name in links: assert name in found[page or pages.page(path)], f"{path.name}: no equation at {page}#{name}"
    links = re.findall(rf'href="([\w.]+)#(e-[\w-]+)">{number.NUMBER}</a>', api)
    assert len(links) > 50, f"The docstrings on the API page cite {len(links)} equations"
    for page, name in links: assert name in found[page], f"api: no equation at {page}#{name}"


def test_a_number_in_maths_or_code_is_no_link():
    assert pages.linked("`(3.1)` and $f(3.1)$", "core.html") == "`(3.1)` and $f(3.1)$"


def test_markdown_that_a_cell_shows_is_linked_as_prose_is():
    output = nbformat.v4.new_output("display_data", data={"text/markdown": "By (3.1) and [this](03_gaussian.ipynb#Two-misprints)"})
    drawn = pages.Page.__new__(pages.Page)
    drawn.here = "exercises.html"
    drawn.draw(output, "")
    assert output.data["text/markdown"] == "By ([3.1](gaussian.html#e-3-1)) and [this](03_gaussian.ipynb#two-misprints)"
    table = nbformat.v4.new_output("display_data", data={"text/markdown": "| a |\n|---|\n| **2** (0.034 to 3.1) |"})
    drawn.draw(table, "")
    assert "](" not in table.data["text/markdown"]


def test_laws_are_folded_under_their_first_line(site):
    law, _ = cells(site/"_proc"/"99_extra.ipynb", "code")
    assert law.source.startswith('#| code-fold: true\n#| code-summary: "Law: \\"2\\" is even"\nassert')
    for path in CHAPTERS:
        hidden = [c for c in cells(path, "code") if c.metadata.get("jupyter", {}).get("source_hidden") and not {"Imports", "hide", "export"} & directives(c)]
        folded = [c for c in cells(site/"_proc"/path.name, "code") if c.source.startswith("#| code-fold: true\n#| code-summary:")]
        assert len(folded) >= len(hidden), f"{path.name} folds {len(folded)} of {len(hidden)} cells"


def test_imports_are_not_shown(site):
    for path in CHAPTERS:
        shown = [c.source for c in cells(site/"_proc"/path.name, "code") if re.match(r"#\| ?Imports|from dpm_nb\.", c.source)]
        assert not shown, f"{path.name} shows its imports: {shown[0]}"


def test_a_page_that_computes_opens_elsewhere(site):
    for path in NOTEBOOKS:
        page = cells(site/"_proc"/path.name)
        lines = [(i, m) for i, c in enumerate(page) for m in re.findall(r'<p class="elsewhere">(.*?)</p>', c.source)]
        computes = any(c.source == INSTALL for c in cells(path, "code")) and path != TALK
        assert [i for i, _ in lines] == [1]*computes, f"{path.name} has its links below the title in the cells {[i for i, _ in lines]}"
        assert not any("run_line_magic(" in c.source for c in page if c.cell_type == "code"), f"{path.name} shows its install cell"
        for _, line in lines: leads_to(path, {said: url for url, said in re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', line)})


def leads_to(path, links):
    "Ask that links below a page's title lead to its notebook."
    assert list(links) == ["Open in Colab", "Open on Binder", "Download the notebook"]
    colab, binder, file = map(urlparse, links.values())
    where = pages.cfg["git_url"].removeprefix("https://github.com/").split("/")
    assert (colab.scheme, colab.netloc, colab.query) == ("https", "colab.research.google.com", "")
    assert colab.path.split("/")[1:] == ["github", *where, "blob", pages.cfg["branch"], "nbs", path.name]
    assert (binder.scheme, binder.netloc) == ("https", "mybinder.org")
    assert binder.path.split("/")[1:] == ["v2", "gh", *where, pages.cfg["branch"]]
    assert binder.query == f"labpath=nbs%2F{path.name}" and parse_qs(binder.query) == {"labpath": [f"nbs/{path.name}"]}
    assert (ROOT/"nbs"/path.name).is_file() and file.geturl() == f"{pages.SITE}/notebooks/{path.name}"
    assert "cp nbs/*.ipynb _docs/notebooks/" in (ROOT/"Makefile").read_text(encoding="utf-8")


def test_binder_is_told_what_to_install():
    wanted = [line for line in (ROOT/".binder"/"requirements.txt").read_text().splitlines() if not line.startswith("#")]
    index = workflow()["jobs"]["render"]["env"]["PIP_EXTRA_INDEX_URL"]
    assert wanted == [f"--extra-index-url {index}", ".[book]"]
    runtime = re.fullmatch(r"python-3\.(\d+)\n", (ROOT/".binder"/"runtime.txt").read_text())
    assert int(runtime[1]) >= int(pages.cfg["min_python"].split(".")[1])
    assert {p.name for p in (ROOT/".binder").iterdir()} == {"requirements.txt", "runtime.txt"}


def workflow(): return yaml.safe_load((ROOT/".github"/"workflows"/"docs.yml").read_text(encoding="utf-8"))


def test_workflow_pins_quarto_and_publishes_main_alone():
    flow = workflow()
    on, render, publish = flow[True], flow["jobs"]["render"], flow["jobs"]["publish"] # YAML reads `on` as true
    assert on["push"] == {"branches": [pages.cfg["branch"]]} and "pull_request" in on
    pinned = [s["with"]["version"] for s in render["steps"] if "quarto-actions/setup" in s.get("uses", "")]
    assert len(pinned) == 1 and re.fullmatch(r"\d+\.\d+\.\d+", pinned[0]), f"The workflow takes Quarto {pinned}"
    said = [p.name for p in [*ROOT.glob("*.*"), *(ROOT/".github").rglob("*.yml")] if p.is_file() and pinned[0] in p.read_text(encoding="utf-8")]
    assert said == ["docs.yml"], f"The version of Quarto stands in {', '.join(said)}"
    assert any("make docs" in s.get("run", "") for s in render["steps"])
    assert publish["if"] == "github.event_name != 'pull_request'" and publish["needs"] == "render"
    assert any("deploy-pages" in s.get("uses", "") for s in publish["steps"]) and "deploy-pages" not in json.dumps(render)
    assert flow["permissions"] == {"contents": "read"} and "permissions" not in render
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}


def test_old_addresses_lead_to_the_new_page(site):
    now = {pages.page(p) for p in NOTEBOOKS}
    for old, name in pages.MOVED.items():
        front = yaml.safe_load(cells(site/"_proc"/name)[0].source.strip().strip("-"))
        assert f"/{old}" in front["aliases"] and front["output-file"] == pages.page(NBS/name), f"{name} does not answer to {old}"
        assert old not in now, f"{old} is a page again: take it out of MOVED in tools/pages.py"


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_every_page_that_ever_was_is_found():
    done = subprocess.run(["git", "log", "--format=", "--name-only", "--", "nbs/*.ipynb"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode: pytest.skip("this is no git checkout")
    ever = {pages.page(NBS/line.removeprefix("nbs/")) for line in done.stdout.split("\n") if line}
    lost = ever - {pages.page(p) for p in NOTEBOOKS} - pages.MOVED.keys()
    assert not lost, f"These pages were on the site, and MOVED in tools/pages.py does not say what took their place: {', '.join(lost)}"


def test_living_figures_are_drawn_by_the_page(site):
    _, figure = cells(site/"_proc"/"99_extra.ipynb", "code")
    text = html(figure)
    assert pages.LIVING not in figure.outputs[0].data and "image/png" not in figure.outputs[0].data
    assert '<figure class="living" id="living-1" aria-label="one point">' in text and 'src="data:image/png;base64,aGVsbG8="' in text
    assert json.loads(re.search(r'living\("living-1", (.*)\)</script>', text)[1]) == LIVING
    for path in site.glob("_proc/*.ipynb"):
        scripts = sum("living.js" in c.source for c in cells(path))
        assert scripts == any("living(" in html(c) for c in cells(path)), f"{path.name} loads the script {scripts} times"
    assert (site/"_proc"/"vega.js").stat().st_size > 500_000


def test_api_has_each_name_once(api):
    ids = re.findall(r'class="entry" id="([\w.]+)"', api)
    names = [f"{m}.{e.name}" for m in MODULES for e in pages.entries(m) if pages.is_public(e.name)]
    assert sorted(ids) == sorted(set(names)) and len(names) == len(set(names))
    assert [m for m in re.findall(r"^## \w+ \{#(\w+)\}", api, re.M)] == list(MODULES), "The modules are not in reading order"
    assert str(ROOT) not in api and "Annotated" not in api and " at 0x" not in api


def test_api_says_what_a_reader_asks(api):
    entry = re.search(r'id="gaussian.GaussianDiffusion.q_sample".*?</table>', api, re.S)[0]
    assert "q_sample(x0, t, eps=None, generator=None) → Tensor" in re.sub("<.*?>", "", entry)
    rows = [re.sub("<.*?>", "", r).strip() for r in re.findall(r"<tr>(.*?)</tr>", entry)]
    assert "generatorGenerator | NoneNonewhere it is drawn" in rows and rows[-1].startswith("returnsTensor")
    assert 'href="gaussian.html#gaussiandiffusion.q_sample"' in entry and "/dpm_nb/gaussian.py#L" in entry
    fields = re.search(r'id="bound.Bound".*?</table>', api, re.S)[0]
    assert all(f"<code>{name}</code>" in fields for name in ("prior", "steps", "decoder", "dims"))
    asked = set(re.findall(r'href="#(word-\w+)"', api))
    assert "word-time" in asked and asked <= set(re.findall(r'id="(word-\w+)"', api))


def test_settings_of_the_site(site):
    files = yaml.safe_load((NBS/"_quarto.yml").read_text())["metadata-files"]
    assert files == ["../_quarto.yml", "nbdev.yml", "site.yml"]
    top = yaml.safe_load((ROOT/"_quarto.yml").read_text(encoding="utf-8"))
    assert top["project"]["type"] == "website" and top["execute"]["enabled"] is False
    page = top["format"]["html"]
    styles = [name for theme in page["theme"].values() for name in theme]
    for name in ["_quarto.yml", *files[1:], *styles, *top["project"]["resources"], page["include-after-body"], "matplotlibrc"]:
        assert (site/"_proc"/name).exists(), f"_proc/ lacks {name}, which the site needs"
    sections = top["website"]["sidebar"]["contents"]
    order = [name for s in sections for name in s.get("contents", [s.get("href")]) if name != "api.qmd"]
    assert order == ["index.ipynb", *(row[0] for row in BOOK)], "The sidebar is not the reading order"
    footer = yaml.safe_load((site/"_proc"/"site.yml").read_text(encoding="utf-8"))["website"]["page-footer"]
    assert pages.cfg["version"] in footer["left"] and "LICENSE" in footer["left"] and "CITATION" in footer["right"]
    assert (site/"_proc"/"card.png").stat().st_size < 100_000


def test_contents_say_what_the_chapters_take():
    books = {p.stem: nb for p, nb in pages.books().items()}
    for cell in cells(NBS/"index.ipynb", "markdown"):
        assert cell.source == contents.told(cell.source, books).rstrip("\n"), "The minutes in index.ipynb are old; run `make contents`"


def test_cards_show_the_pictures_of_today():
    books, kept = {p.stem: nb for p, nb in pages.books().items()}, {}
    for cell in cells(NBS/"index.ipynb", "markdown"): kept |= cell.get("attachments", {})
    assert sum(len(kinds["image/png"]) for kinds in kept.values()) < 500_000
    for name, _, _, _ in BOOK:
        draws = bool(contents.drawn(books[name[:-6]]))
        assert draws == (f"{name[:-6]}.png" in kept), f"{name} has a picture and no card, or a card and none; run `make contents`"
        if not draws: continue
        today = contents.picture(books[name[:-6]], name[:-6])
        card = Image.open(io.BytesIO(base64.b64decode(kept[f"{name[:-6]}.png"]["image/png"]))).convert("RGB")
        off = ImageStat.Stat(ImageChops.difference(card, today)).mean
        assert card.size == contents.SIZE and max(off) < 4, f"{name} has another picture than its card; run `make contents`"


def test_home_has_a_card_for_each_chapter(site):
    text = "\n".join(c.source for c in cells(site/"_proc"/"index.ipynb", "markdown"))
    assert re.findall(r'<a class="chapter" href="([\w.]+)">', text) == [pages.page(NBS/row[0]) for row in BOOK]
    assert "attachment:" not in text
    shown = re.findall(r"url\((cards/\w+\.png)\)", text)
    assert len(shown) > 25 and all((site/"_proc"/name).exists() for name in shown)


def test_map_draws_what_chapters_import():
    "A line from each earlier chapter whose functions one takes, but for those that another line leads to."
    (source,) = [c.source for c in cells(NBS/"index.ipynb", "code") if "NEEDS = " in c.source]
    drawn = {row.split()[0]: row.split("<")[1].split() for row in re.search(r'NEEDS = """\n(.*?)"""', source, re.S)[1].splitlines()}
    number_of = lambda name: name.split("_")[0]
    needs, whole = {}, {}
    for name, part, _, _ in BOOK:
        if not name[:2] < "30" or not name[0].isdigit(): continue
        code = "\n".join(c.source for c in cells(NBS/name, "code"))
        taken = {number_of(MODULES[m].name) for m in re.findall(r"^from dpm_nb\.(\w+) import", code, re.M)}
        taken = {n for n in taken if n < number_of(name)}
        needs[number_of(name)] = sorted(n for n in taken if not any(n in whole[m] for m in taken))
        whole[number_of(name)] = set.union(taken, *(whole[m] for m in taken))
    assert {n: sorted(before) for n, before in drawn.items()} == needs
    road = re.search(r'^road, rows = "([^"]*)"', source, re.M)[1].split()
    assert road == [number_of(name) for name, _, _, main in BOOK if main]


def test_readme_is_made_from_the_index():
    text, images = readme.made()
    assert (ROOT/"README.md").read_text(encoding="utf-8") == text, "README.md is not what nbs/index.ipynb says; run `make readme`"
    stored = {p.name: p.read_bytes() for p in readme.IMAGES.glob("index-*.png")}
    assert stored == images, "nbs/images/ holds other pictures than nbs/index.ipynb; run `make readme`"


@pytest.mark.skipif(not QUARTO, reason="Quarto is not on PATH (https://quarto.org/docs/get-started/)")
def test_quarto_renders_a_page(site):
    said = run("quarto", "render", "00_core.ipynb", cwd=site/"_proc")
    assert "WARN" not in said, said
    page = (site/"_proc"/"_docs"/"core.html").read_text(encoding="utf-8")
    title = cells(NBS/"00_core.ipynb", "markdown")[0].source.splitlines()[0].removeprefix("# ")
    assert f"<h1 class=\"title\">{title}</h1>" in page, "The rendered page lacks its title"
    lost = [e.name for e in pages.entries("core") if f'id="{e.name.lower()}"' not in page]
    assert not lost, f"The rendered page lacks {', '.join(lost)}"
