"Gives every equation its number, and mends what cites it: in prose, in docstrings and in comments, never in code."
import io
import re
import sys
import tokenize
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
NUMBER = r"\d+[a-z]?\.(?:\d+|x-[\w-]*\w)"
TAG = re.compile(rf"\\tag\{{({NUMBER})\}}")
CITED = re.compile(rf"(?<![\w)\]])\((?:{NUMBER})(?:(?:, | and | to ){NUMBER})*(?=[;)])")
CODE_OR_MATHS = re.compile(r"```.*?```|`[^`\n]+`|\$\$.*?\$\$|\$[^$\n]+\$", re.S)
WORDS = re.compile(r"\\text\{[^{}]*\}")


def chapter(path):
    "The number of a chapter, as equations bear it: 3 for 03_gaussian, 6b for 06b_estimate."
    found = re.match(r"0*(\d+[a-z]?)_", path.name)
    return found[1] if found else None


def prose(text):
    "Where `text`, which is markdown, holds words: outside code and maths, and in the reasons beside a formula's lines."
    end = 0
    for m in CODE_OR_MATHS.finditer(text):
        yield end, m.start()
        if m[0][0] == "$": yield from (w.span() for w in WORDS.finditer(text, *m.span()))
        end = m.end()
    yield end, len(text)


def comments(code):
    "Where Python holds words: its comments and docstrings."
    starts = [0]
    for line in code.splitlines(keepends=True): starts.append(starts[-1] + len(line))
    place = lambda at: starts[at[0] - 1] + at[1]
    before = tokenize.NEWLINE
    try: tokens = [t for t in tokenize.generate_tokens(io.StringIO(code).readline) if t.type != tokenize.NL]
    except (tokenize.TokenError, SyntaxError): return
    for t in tokens:
        alone = t.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT)
        if alone or t.type == tokenize.COMMENT: yield place(t.start), place(t.end)
        if t.type != tokenize.COMMENT: before = t.type


def words(cell): return (prose if cell.cell_type == "markdown" else comments)(cell.source)


def citations(text, spans):
    "The numbers that `text` cites within `spans`."
    return [n for a, b in spans for m in CITED.finditer(text, a, b) for n in re.findall(NUMBER, m[0])]


def tags(nb):
    "The numbers of a notebook's equations, in their order."
    return [n for c in nb.cells if c.cell_type == "markdown" for n in TAG.findall(c.source)]


def equations(books):
    "The notebook in which each number stands, from a dict of path and notebook."
    found = {}
    for path, nb in books.items():
        for n in tags(nb):
            if n in found: sys.exit(f"Two equations bear {n}, in {found[n].name} and {path.name}: give one a name, as {n.split('.')[0]}.x-name")
            found[n] = path
    return found


def mended(text, spans, new, where):
    "`text`, with the numbers that it cites replaced by their new ones."
    def one(m):
        if m[0] not in new: sys.exit(f"{where} cites ({m[0]}), which no equation bears")
        return new[m[0]]
    for a, b in reversed(list(spans)):
        part = CITED.sub(lambda m: re.sub(NUMBER, one, m[0]), text[a:b])
        text = text[:a] + part + text[b:]
    return text


def number(books):
    "Number the equations of all notebooks, and return each old number's new one."
    equations(books)
    new = {n: f"{chapter(p)}.{i}" for p, nb in books.items() for i, n in enumerate(tags(nb), 1)}
    for path, nb in books.items():
        for cell in nb.cells:
            cell.source = mended(cell.source, words(cell), new, f"{path.name}, cell {cell.id},")
            if cell.cell_type == "markdown": cell.source = TAG.sub(lambda m: rf"\tag{{{new[m[1]]}}}", cell.source)
    return new


def read(folder):
    "The notebooks of `folder` in reading order."
    return {p: nbformat.read(p, as_version=4) for p in sorted(folder.glob("*.ipynb")) if p.name[0] not in "_."}


def main(root=ROOT):
    books = read(root/"nbs")
    before = {p: nbformat.writes(nb) for p, nb in books.items()}
    new = number(books)
    page = root/"CONTRIBUTING.md"
    text = page.read_text(encoding="utf-8")
    text = mended(text, prose(text), new, page.name)
    changed = [p for p, nb in books.items() if nbformat.writes(nb) != before[p]]
    for p in changed: nbformat.write(books[p], p)
    page.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(new)} equations, {sum(a != b for a, b in new.items())} new numbers; changed: {', '.join(p.name for p in changed) or 'nothing'}")


if __name__ == "__main__": main()
