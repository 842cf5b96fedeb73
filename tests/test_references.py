"The page of references: what references.bib holds, every citation a link, every link with an entry."
import re

import cite
import number
import pages
import pytest
from conftest import NBS, NOTEBOOKS, ROOT, cells, name_of

KNOWN = cite.works((NBS/"references.bib").read_text(encoding="utf-8"))
BOOKS = number.read(NBS)
each_notebook = pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.name != cite.PAGE], ids=name_of)
TWO = """@misc{a2021,
  author = {Ann Song and Bo Wu},
  title = {One {GAN}}, year = {2021}, eprint = {2101.00001},
  annotation = {For one.}
}
@book{b2021,
  author = {Bob Song},
  title = {Two}, publisher = {Here}, year = {2021}, url = {https://b.org/two}, alias = {Bob's book},
  compared = {eq. 2},
  annotation = {For two.}
}
"""


def test_page_is_made_from_the_file():
    said = [c.source for c in cells(NBS/cite.PAGE, "markdown")]
    for made in cite.entries(BOOKS, KNOWN):
        assert made in said, f"The part {made.splitlines()[0]} of {cite.PAGE} is not what the book and references.bib say: run `make cite`"


@each_notebook
def test_every_citation_is_a_link_to_its_work(path):
    for cell in BOOKS[path].cells:
        if cell.cell_type == "markdown":
            assert cite.linked(cell.source, KNOWN, cite.in_book) == cell.source, f"{path.name}, cell {cell.id} cites without a link: run `make cite`"


@each_notebook
def test_links_to_works_lead_to_an_entry(path):
    headings = set(re.findall(r"^### (.*)$", "\n".join(c.source for c in cells(NBS/cite.PAGE, "markdown")), re.M))
    there = {h.replace(" ", "-") for h in headings}
    for cell in BOOKS[path].cells:
        lost = set(re.findall(rf"{re.escape(cite.PAGE)}#([^)]*)\)", cell.source)) - there
        assert not lost, f"{path.name}, cell {cell.id} leads to no entry: {lost}"


def test_every_entry_is_whole_and_cited():
    found = cite.uses(BOOKS, KNOWN)
    for label, work in KNOWN.items():
        assert found[label], f"The book does not cite {label}: take it out of references.bib"
        assert {"author", "title", "year", "annotation"} <= work.fields.keys(), f"{label} lacks a field"
        assert re.fullmatch(r"For [^\n]*\.", work.fields["annotation"]), f"{label}: say what it is good for, in a sentence that begins with For"
    raw = [c.source for c in cells(NBS/cite.PAGE, "markdown")]
    assert not any(re.search(r"\{#|(?<!\w)@\w", text) for text in raw), "JupyterLab shows such marks as they stand"


def test_two_of_a_name_and_year_bear_initials():
    known = cite.works(TWO)
    assert [*known] == ["A. Song 2021", "B. Song 2021"]
    link = lambda text: cite.linked(text, known, cite.in_book)
    once = link("By A. Song and Wu (2021), eq. 3, and B. Song 2021. In Bob's book too.")
    assert once == ("By [A. Song and Wu (2021)](references.ipynb#A.-Song-2021), eq. 3, and [B. Song 2021](references.ipynb#B.-Song-2021). "
                    "In [Bob's book](references.ipynb#B.-Song-2021) too.")
    assert link(once) == once
    for text, said in (("See Song 2021.", "may be A. Song 2021 or B. Song 2021"), ("See Wu 2020.", "no entry"), ("See B. Song 2020.", "no entry")):
        with pytest.raises(SystemExit, match=said): link(text)


@pytest.mark.parametrize("text", ["`A. Song 2021`", "$A. Song 2021$", "## B. Song 2021", "[B. Song 2021](a.ipynb)", "*On B. Song 2021*",
                                  "<summary>B. Song 2021</summary>", "In 2021", "NIPS 2016"])
def test_code_maths_headings_and_links_stay(text):
    assert cite.linked(text, cite.works(TWO), cite.in_book) == text


def test_bold_words_do_not_hide_a_citation():
    assert "](references" in cite.linked("**Elsewhere**: B. Song 2021, *Two*; more", cite.works(TWO), cite.in_book)


def test_an_entry_says_where_and_for_which_equation(tmp_path):
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
    nb = new_notebook(cells=[new_markdown_cell("# One\n\n> It."), new_code_cell('def f():\n    "A map (3.2; B. Song 2021, eq. 2 and 7)."'),
                             new_markdown_cell("By [A. Song 2021](references.ipynb#A.-Song-2021), appendix D.2, so.")])
    known, books = cite.works(TWO), {tmp_path/"03_one.ipynb": nb}
    text, note = cite.entries(books, known)
    assert "### B. Song 2021\n\nBob Song, *Two*, Here 2021. [b.org](https://b.org/two)\n\nFor two.\n\nCited in [One](03_one.ipynb): eq. 2 and 7 for (3.2)." in text
    assert "Ann Song and Bo Wu, *One GAN*, 2021. [arXiv:2101.00001](https://arxiv.org/abs/2101.00001)" in text and "[One](03_one.ipynb): appendix D.2." in text
    assert note.endswith("- [A. Song 2021](#A.-Song-2021): appendix D.2\n- [B. Song 2021](#B.-Song-2021): eq. 7")


def test_the_site_leads_to_its_own_headings():
    assert pages.linked("[J. Song 2021](references.ipynb#J.-Song-2021), [b](#What-it's-for:-a-list)", "x.html") == \
        "[J. Song 2021](references.ipynb#j.-song-2021), [b](#what-its-for-a-list)"
    assert 'href="references.html#ho-2020">Ho 2020</a>, eq. 7' in pages.prose("The weights (3.5; Ho 2020, eq. 7).")


def test_writing_again_changes_nothing():
    bib = (NBS/"references.bib").read_text(encoding="utf-8")
    books = number.read(ROOT/"nbs")
    before = {p: [c.source for c in nb.cells] for p, nb in books.items()}
    cite.written(books, bib)
    assert before == {p: [c.source for c in nb.cells] for p, nb in books.items()}
