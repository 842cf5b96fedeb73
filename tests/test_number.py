"Equations: their numbers run in order, whatever is cited stands somewhere, and `make number` keeps it so."
import re

import nbformat
import number
import pytest
from conftest import NOTEBOOKS, ROOT, name_of
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

BOOKS = number.read(ROOT/"nbs")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)


@each_notebook
def test_equations_run_in_order(path):
    wanted = [f"{number.chapter(path)}.{i}" for i, _ in enumerate(number.tags(BOOKS[path]), 1)]
    assert number.tags(BOOKS[path]) == wanted, f"The equations of {path.name} are out of order: run `make number`"


@each_notebook
def test_cited_equations_stand_in_the_book(path):
    known = number.equations(BOOKS)
    for cell in BOOKS[path].cells:
        lost = [n for n in number.citations(cell.source, number.words(cell)) if n not in known]
        assert not lost, f"{path.name}, cell {cell.id} cites {', '.join(lost)}, which no equation bears"
        assert "{#eq-" not in cell.source and "@eq-" not in cell.source, \
            f"{path.name}, cell {cell.id} has a label or a citation that only the site can read: write \\tag{{3.x-name}} and (3.x-name)"


@each_notebook
def test_no_working_name_is_left_where_a_reader_sees_it(path):
    "`make number` mends prose and docstrings; what a cell prints it cannot mend."
    for cell in BOOKS[path].cells:
        seen = re.findall(rf"{number.chapter(path)}\.x-\w+", cell.source + str(cell.get("outputs", "")))
        assert not seen, f"{path.name}, cell {cell.id} still says {seen[0]}: say the equation's number"


def test_contributors_are_sent_to_equations_that_exist():
    text = (ROOT/"CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(number.citations(text, number.prose(text))) <= number.equations(BOOKS).keys()


@pytest.fixture
def book(tmp_path):
    "Two chapters; the second equation of the first is new, and so is the only one of the second."
    (tmp_path/"nbs").mkdir()
    one = r"""One $$a \tag{3.1}$$ then, by (3.1) and (3.x-new),
$$
\begin{aligned} b &= f(3.1) && \text{by (3.1, 3.2)} \end{aligned} \tag{3.x-new}
$$
and $c(3.2)$, `(3.2)` and $$c \tag{3.2}$$"""
    code = '''def f(
    x = (3.2), # as in (3.2)
):
    "The map (3.2; Ho 2020, eq. 7); see also (3.x-new, 6b.4)."
    text = "(3.2)"
    return g(3.2) # (3.2 of them)'''
    cells = [new_markdown_cell(one), new_code_cell(code)]
    nbformat.write(new_notebook(cells=cells), tmp_path/"nbs"/"03_one.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell(r"$$d \tag{6b.4}$$ See (3.2) to (6b.4)")]), tmp_path/"nbs"/"06b_two.ipynb")
    (tmp_path/"CONTRIBUTING.md").write_text("As in (3.2), not `(3.2)`.\n")
    return tmp_path


def test_numbers_and_what_cites_them_move_together(book):
    number.main(book)
    one, two = number.read(book/"nbs").values()
    prose, code = one.cells
    assert prose.source == r"""One $$a \tag{3.1}$$ then, by (3.1) and (3.2),
$$
\begin{aligned} b &= f(3.1) && \text{by (3.1, 3.3)} \end{aligned} \tag{3.2}
$$
and $c(3.2)$, `(3.2)` and $$c \tag{3.3}$$"""
    assert code.source == '''def f(
    x = (3.2), # as in (3.3)
):
    "The map (3.3; Ho 2020, eq. 7); see also (3.2, 6b.1)."
    text = "(3.2)"
    return g(3.2) # (3.2 of them)'''
    assert two.cells[0].source == r"$$d \tag{6b.1}$$ See (3.3) to (6b.1)"
    assert (book/"CONTRIBUTING.md").read_text() == "As in (3.3), not `(3.2)`.\n"


def test_numbering_again_changes_nothing(book):
    number.main(book)
    before = {p: p.read_bytes() for p in book.rglob("*") if p.is_file()}
    number.main(book)
    assert before == {p: p.read_bytes() for p in book.rglob("*") if p.is_file()}


@pytest.mark.parametrize("cell, match", [
    (new_markdown_cell(r"$$x \tag{3.1}$$"), "Two equations bear 3.1"),
    (new_markdown_cell("By (9.9), it follows"), r"cites \(9.9\), which no equation bears"),
    (new_code_cell('def f():\n    "As in (9.x-lost)."'), r"cites \(9.x-lost\)")], ids=["twice", "prose", "docstring"])
def test_what_cannot_be_numbered_is_said_and_nothing_is_written(book, cell, match):
    path = book/"nbs"/"06b_two.ipynb"
    nb = nbformat.read(path, as_version=4)
    nbformat.write(new_notebook(cells=[*nb.cells, cell]), path)
    before = {p: p.read_bytes() for p in book.rglob("*") if p.is_file()}
    with pytest.raises(SystemExit, match=match): number.main(book)
    assert before == {p: p.read_bytes() for p in book.rglob("*") if p.is_file()}
