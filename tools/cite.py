"Links every citation of the book to its entry on the page of references, and writes that page's entries from references.bib."
import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import number

ROOT = Path(__file__).resolve().parents[1]
PAGE = "references.ipynb"
YEAR = r"(?:19|20)\d\d"
NAME = r"[A-ZÀ-Þ][\w'’-]+"
CITATION = re.compile(rf"(?<![\w\[-])(?:[A-Z]\. )?{NAME}(?:(?:, {NAME})*,? (?:and|&) (?:{NAME}|others)| et al\.)? (?:{YEAR}|\({YEAR}\))(?![\d:-])")
PLACE = r"(?:(?:eq\.|sections?|appendix|table|theorem|Algorithm) [A-Z]*[a-z]*\.?\d*[\d.]*\d|appendix [A-Z]|\d(?:\.\d+)+)(?: and \d+)?"
PLACES = re.compile(rf"[,;]? \(?({PLACE})|, ([A-Z])(?=\))")
OURS = re.compile(rf"\(({number.NUMBER}(?:, {number.NUMBER})*); $")
NO_NAME = {"NIPS", "In", "Since", "Of", "The", "From"} # words that may stand before a year
LINK = r"!?\[[^\]]*\]\([^)]*\)"
UNTOUCHED = re.compile(rf"{number.CODE_OR_MATHS.pattern}|{LINK}|^#.*?$|<[a-z/][^>\n]*>(?:[^\n]*</\w+>)?|(?<!\*)\*(?![*\s])[^*\n]+\*(?!\*)", re.S | re.M)
ENTRY = re.compile(r"^@(\w+)\{(\w+),\n(.*?)^\}", re.S | re.M)
FIELD = re.compile(r"(\w+) = \{((?:[^{}]|\{[^{}]*\})*)\}")


class Work(NamedTuple):
    "An entry of references.bib."
    key: str
    fields: dict
    label: str # as the book cites it, such as J. Song 2021

    @property
    def anchor(self):
        "Its heading, as JupyterLab and GitHub link to it."
        return self.label.replace(" ", "-")


class Use(NamedTuple):
    "One citation."
    path: Path
    cell: str
    place: str # in the work, such as eq. 7; may be empty
    ours: str # the equations beside it, such as (3.5); may be empty


def names(fields): return fields["author"].split(" and ")


def surname(name): return name.split()[-1]


def cited_year(fields): return fields.get("cited", fields["year"])


def works(text):
    "The entries of a BibTeX text by the labels under which they are cited; two of a name and year bear initials."
    found = [(m[2], dict(FIELD.findall(m[3]))) for m in ENTRY.finditer(text)]
    plain = lambda f: (surname(names(f)[0]), cited_year(f))
    every = [plain(f) for _, f in found]
    labels = [f"{names(f)[0][0]}. "*(every.count(plain(f)) > 1) + " ".join(plain(f)) for _, f in found]
    if len({*labels}) < len(labels): sys.exit("Two entries of references.bib bear the same name, initial and year")
    return {label: Work(key, fields, label) for label, (key, fields) in zip(labels, found)}


def label(text):
    "The label of a citation: its first name, with an initial if it has one, and its year."
    first = re.match(rf"(?:[A-Z]\. )?{NAME}", text)[0]
    return f"{first} {re.search(YEAR, text)[0]}"


def resolved(text, known, where=""):
    "The work that a citation names, or None where the words before a year are no name."
    if (said := label(text)) in known: return known[said]
    first = said.rsplit(" ", 1)[0]
    if first in NO_NAME: return None
    like = [k for k in known if k.endswith(said)]
    if like: sys.exit(f"{where}{text} may be {' or '.join(like)}: say which")
    sys.exit(f"{where}{text} has no entry in references.bib")


def citations(text, known, where=""):
    "Each citation in `text` with the work that it names."
    for m in CITATION.finditer(text):
        if work := resolved(m[0], known, where): yield m, work
    for work in known.values():
        if alias := work.fields.get("alias"):
            for m in re.finditer(rf"(?<![\w\[])(?<!and ){re.escape(alias)}(?!\w| {YEAR}| \({YEAR}\))", text): yield m, work


def uses(books, known):
    "Where the book cites each work, by label."
    found = {k: [] for k in known}
    for path, nb in books.items():
        if path.name == PAGE: continue
        for cell in nb.cells:
            text = cell.source
            spans = [*number.words(cell)]
            bare = "".join(text[a:b] if i % 2 else re.sub(r"\S", "\0", text[a:b]) for i, (a, b) in enumerate(pieces(spans, len(text))))
            bare = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", lambda m: m[1] if m[2].startswith(PAGE) else "\0", bare)
            for m, work in citations(bare, known, f"{path.name}, cell {cell.id}: "):
                ours, place = OURS.search(bare[:m.start()]), PLACES.match(bare, m.end())
                said = place and (place[1] or f"appendix {place[2]}")
                if said and said[0].isdigit(): said = f"section {said}"
                found[work.label].append(Use(path, cell.id, said or "", f"({ours[1]})" if ours else ""))
    return found


def pieces(spans, end):
    "The whole of a text cut at spans: between them at even places, they themselves at odd ones."
    edges = [0, *(e for span in spans for e in span), end]
    return zip(edges, edges[1:])


def linked(text, known, link, where=""):
    "`text`, which is markdown, with each citation as a link; what is a link, code, maths or a heading stays."
    def words(part):
        found = sorted(citations(part, known, where), key=lambda f: f[0].start(), reverse=True)
        for m, work in found: part = part[:m.start()] + link(m[0], work) + part[m.end():]
        return part
    edges = [m.span() for m in UNTOUCHED.finditer(text)]
    return "".join(text[a:b] if i % 2 else words(text[a:b]) for i, (a, b) in enumerate(pieces(edges, len(text))))


def in_book(said, work): return f"[{said}]({PAGE}#{work.anchor})"


def listed(items): return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def entry(work, used, titles):
    "A work as the page shows it."
    f = {k: re.sub(r"[{}]", "", v) for k, v in work.fields.items()}
    home = f.get("booktitle") or f.get("journal") or f.get("publisher")
    links = [f"[arXiv:{f['eprint']}](https://arxiv.org/abs/{f['eprint']})"] if "eprint" in f else []
    links += [f"[doi:{f['doi']}](https://doi.org/{f['doi']})"] if "doi" in f else []
    links += [f"[{f['url'].split('/')[2]}]({f['url']})"] if "url" in f else []
    first = f"{listed(names(f))}, *{f['title']}*, {home + ' ' if home else ''}{f['year']}{'. ' if links else '.'}{', '.join(links)}"
    chapters = []
    for path in dict.fromkeys(u.path for u in used):
        places = dict.fromkeys(u.place + f" for {u.ours}"*bool(u.ours) for u in used if u.path == path and u.place)
        chapters.append(f"[{titles[path]}]({path.name})" + (f": {', '.join(places)}" if places else ""))
    return f"### {work.label}\n\n{first}\n\n{f['annotation']}\n\nCited in {'; '.join(chapters)}."


def title(nb): return re.match(r"# (.*)", next(c.source for c in nb.cells if c.cell_type == "markdown"))[1]


def unread(known, found):
    "The places that the book cites and that were not compared with the work's text."
    split = lambda place: [p if p[0].isalpha() else f"{place.split()[0].rstrip('s')} {p}" for p in re.sub(r"^sections", "section", place).split(" and ")]
    for work in known.values():
        read = {*re.split(r", ", work.fields.get("compared", ""))}
        lost = dict.fromkeys(p for u in found[work.label] if u.place for p in split(u.place) if p not in read)
        if lost: yield f"[{work.label}](#{work.anchor}): {', '.join(lost)}"


def entries(books, known):
    "The text of the page's entries, and the note on what was not compared."
    found = uses(books, known)
    titles = {path: title(nb) for path, nb in books.items()}
    order = sorted((w for w in known.values() if found[w.label]), key=lambda w: (surname(names(w.fields)[0]), w.label))
    works = "\n\n".join(["## The works", *(entry(w, found[w.label], titles) for w in order)])
    rows = [*unread(known, found)]
    note = "\n".join(["## Not compared", "", "The numbers of equations, sections and tables that the book cites were compared with the works' own text, "
                      "but for these, of which no copy was at hand:", "", *(f"- {row}" for row in rows)]) if rows else \
        "## Not compared\n\nEvery number of an equation, a section or a table that the book cites was compared with the work's own text."
    return works, note


def written(books, bib):
    "Link the citations of all notebooks, and write the page's two cells that are made."
    known = works(bib)
    for path, nb in books.items():
        if path.name == PAGE: continue
        for cell in nb.cells:
            if cell.cell_type == "markdown": cell.source = linked(cell.source, known, in_book, f"{path.name}, cell {cell.id}: ")
    text, note = entries(books, known)
    page = next(nb for path, nb in books.items() if path.name == PAGE)
    for heading, new in (("## The works", text), ("## Not compared", note)):
        next(c for c in page.cells if c.source.startswith(heading)).source = new


def main(root=ROOT):
    books = number.read(root/"nbs")
    before = {p: nbformat.writes(nb) for p, nb in books.items()}
    written(books, (root/"nbs"/"references.bib").read_text(encoding="utf-8"))
    changed = [p for p, nb in books.items() if nbformat.writes(nb) != before[p]]
    for p in changed: nbformat.write(books[p], p)
    print(f"changed: {', '.join(p.name for p in changed) or 'nothing'}")


if __name__ == "__main__": main()
