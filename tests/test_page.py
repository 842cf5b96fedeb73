"The page: where a chapter stands in the book, how it opens, what it folds, and where it leads."
import re

import pytest
from conftest import CHAPTERS, MODULES, NBS, NOTEBOOKS, TALK, cells, directives, name_of
from contents import CARD
from notebooks import INSTALL
from readme import alts

COST = re.compile(r"^A run takes [1-9]\d* (s|minutes) and (?!0\.0)\d+\.\d GB on two cores\.$", re.M)
FIRST = re.compile(r"#\| (?:Imports|The package|The names|The words|Door of)|# (?:Law|Check|Figure): [^:\"]+$", re.M)
HIDDEN = {"hide", "export", "exporti"}
ASIDE = {"The talk", "Look up", "Workshop"} # parts that are not read one after the other
COMPUTES = re.compile(r"^\s*(?:from|import) (?:dpm_nb|torch)\b", re.M)
EXPORTS = HIDDEN | {"exports"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
each_chapter = pytest.mark.parametrize("path", [p for p in CHAPTERS if p != TALK], ids=name_of)


def contents():
    "The chapters of the contents, in their order: file name, part, title, and whether it is on the main road."
    part, (cell,) = None, [c for c in cells(NBS/"index.ipynb", "markdown") if c.source.startswith("## Contents")]
    for line in cell.source.splitlines():
        if line.startswith("### "): part = line[4:]
        if m := CARD.match(line): yield f"{m['name']}.ipynb", part, m["title"], bool(m["road"])


BOOK = list(contents())
PLACE = {row[0]: i for i, row in enumerate(BOOK)}


def folded(cell): return cell.metadata.get("jupyter", {}).get("source_hidden", False)


def links(cell): return re.findall(r"\]\((\w+\.ipynb)", cell.source)


def test_contents_are_the_reading_order():
    numbered = lambda names: [n for n in names if n[0].isdigit() and n != TALK.name]
    assert sorted(PLACE) == [p.name for p in CHAPTERS], "The contents in index.ipynb are not the chapters"
    assert BOOK[0][0] == TALK.name, "The talk does not stand first in the contents"
    assert numbered(PLACE) == numbered(sorted(PLACE)), "The contents in index.ipynb are not in the order of the numbers"
    for path in CHAPTERS:
        title = cells(path, "markdown")[0].source.splitlines()[0]
        said = BOOK[PLACE[path.name]][2]
        assert title.startswith(f"# {said}"), f"The contents call {path.name} {said}; its title is {title}"


@each_chapter
def test_chapter_opens_with_its_question(path):
    title, question, *rest = cells(path)
    assert re.fullmatch(r"# \S.*\n\n> \S.*[.?]", title.source), f"{path.name} does not begin with a title and a claim"
    where, *_ = question.source.splitlines()
    _, part, _, road = BOOK[PLACE[path.name]]
    assert where.startswith(f"**{part}**"), f"{path.name} does not say that it stands in {part}: {where}"
    assert ("main road" in where) == road, f"{path.name} and the contents disagree whether it is on the main road: {where}"
    before = BOOK[PLACE[path.name]-1]
    before = {before[0]} if not {part, before[1]} & ASIDE else set()
    assert set(links(question)) >= {"index.ipynb", *before}, f"{path.name} does not lead back: {where}"
    assert COST.search(question.source), f"{path.name} does not say what a run takes; `make notebooks` writes it"
    assert len(question.source.splitlines()) > 4, f"{path.name} asks no question before its imports"
    rest = rest[rest[0].source == INSTALL:]
    imports = next(i for i, c in enumerate(rest) if not c.source.startswith("#| Imports"))
    assert imports in (1, 2), f"{path.name} has {imports} cells of imports after its question, where one or two are wanted"


@each_notebook
def test_notebook_that_computes_begins_with_the_install_cell(path):
    code = cells(path, "code")
    computes = any(COMPUTES.search(c.source) for c in code)
    held = [i for i, c in enumerate(code) if c.source == INSTALL]
    assert held == [0]*computes, f"{path.name}: a notebook that imports dpm_nb or torch, and no other, has as its first code cell, as other " \
        f"chapters have it:\n{INSTALL}"
    assert not computes or folded(code[0]) and not code[0].outputs, f"{path.name}: fold the first code cell, which shows nothing"


@each_chapter
def test_chapter_leads_on(path):
    _, part, _, road = BOOK[PLACE[path.name]]
    after = [row for row in BOOK[PLACE[path.name]+1:] if row[1] not in ASIDE]
    wanted = {after[0][0]} if after and part not in ASIDE else {"index.ipynb"}
    wanted |= {row[0] for row in after if row[3]} and {next(row[0] for row in after if row[3])} if road else set()
    last = cells(path)[-1]
    assert last.source.startswith("## What we have"), f"{path.name} does not end with what we have"
    assert wanted <= set(links(last)), f"{path.name} ends without a link to {', '.join(wanted - set(links(last)))}"


@each_notebook
def test_no_link_stands_around_code(path):
    found = [m for c in cells(path, "markdown") for m in re.findall(r"\[`[^`\]]*`\]\([^)]*\)", c.source)]
    assert not found, f"The site makes links of names by itself, and these come out as they stand in {path.name}: {found}"


@each_notebook
def test_what_is_folded_says_what_it_is(path):
    for cell in cells(path, "code"):
        where = f"{path.name}, cell {cell.id}"
        if folded(cell):
            unseen = HIDDEN & directives(cell) or "#| echo: false" in cell.source
            assert unseen or FIRST.match(cell.source), \
                f"{where} is folded, and its first line is none of #| Imports, # Law: ..., # Check: ..., # Figure: ...: {cell.source.splitlines()[0]}"
        else:
            found = FIRST.match(cell.source)
            assert not found or len(cell.source.splitlines()) <= 6, f"{where} is not folded: {found[0]}"


@each_notebook
def test_every_picture_is_told_in_words(path):
    for cell in cells(path, "code"):
        shown = [d for o in cell.outputs if "image/png" in (d := o.get("data", {})) or "<img" in "".join(d.get("text/html", ""))]
        if not shown: continue
        said = alts(cell.source)
        assert len(said) == len(shown), f"{path.name}, cell {cell.id} shows {len(shown)} pictures and has words for {len(said)}"
        assert all(len(words) > 20 for words in said), f"{path.name}, cell {cell.id}: {said}"


@each_notebook
def test_long_laws_are_folded(path):
    for cell in cells(path, "code"):
        law = re.search(r"^\s*(assert\b|assert_close\()", cell.source, re.M) and not EXPORTS & directives(cell)
        silent = not cell.outputs and "def plot_" not in cell.source
        long = len([line for line in cell.source.splitlines() if line.strip()]) > 5
        assert folded(cell) or not (law and silent and long), \
            f"{path.name}, cell {cell.id} is a law of more than five lines: fold it, under a first line `# Law: ...` or `# Check: ...`"


def test_every_module_has_its_chapter_in_the_contents():
    assert {p.name for p in MODULES.values()} <= PLACE.keys()
