"""What the site adds to the notebooks.

`Page` is nbdev's last step for each notebook (`procs` in settings.ini): names above the code,
equations that can be linked to, folded laws, living figures. `pages.py` itself then writes
into _proc/ what no notebook holds: styles and scripts from tools/site/, the API page, the footer,
the social card, Vega's script.
"""
import ast
import base64
import html
import inspect
import io
import json
import re
import shutil
import textwrap
import tokenize
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, NamedTuple, get_origin
from urllib.parse import quote

import cite
import number
import yaml
from contents import CARD
from nbdev.process import Processor
from nbdev.processors import mk_cell
from notebooks import INSTALL
from readme import ROOT, SITE, alts, cfg

PROC = ROOT/"_proc"
LIVING = "application/vnd.vegalite.v5+json"
SCRIPTS = '```{=html}\n<script src="vega.js"></script>\n<script src="living.js"></script>\n```'

GITHUB = f"{cfg['git_url']}/blob/{cfg['branch']}/"

# Names ----------------------------------------------------------------------------------


def page(path):
    "The page of a notebook: 03_gaussian.ipynb becomes gaussian.html."
    return re.sub(r"^\d+[a-z]*_", "", path.stem) + ".html"


@cache
def books():
    "Each notebook by its path, in reading order."
    return number.read(ROOT/"nbs")


@cache
def modules():
    "The notebook of each module, in reading order."
    found = {}
    for path, nb in books().items():
        for cell in nb.cells:
            if m := re.search(r"^#\|\s*default_exp\s+(\w+)", cell.source, re.M): found[m[1]] = path
    return {m: p for m, p in found.items() if m != "__init__"}


class Entry(NamedTuple):
    "A public function, class or method."
    module: str
    name: str # such as GaussianDiffusion.q_posterior
    node: ast.AST
    links: dict # to its place on the chapter's page, on the API page, and to its source


def owner(node):
    "The class onto which a function is patched."
    patched = any(re.match(r"patch\b", ast.unparse(d)) for d in node.decorator_list)
    return f"{ast.unparse(node.args.args[0].annotation)}." if patched else ""


def defined(body, prefix=""):
    "The functions and classes of a body with their full names, methods after their class."
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)): continue
        name = prefix + (owner(node) if isinstance(node, ast.FunctionDef) and not prefix else "") + node.name
        yield name, node
        if isinstance(node, ast.ClassDef): yield from defined(node.body, f"{name}.")


def is_public(name): return not re.search(r"(^|\.)_", name) or name.endswith(".__call__")


@cache
def entries(module):
    "What a module offers, in the order of its chapter, a class's methods behind it."
    tree = ast.parse((ROOT/cfg["lib_path"]/f"{module}.py").read_text(encoding="utf-8"))
    found = []
    for name, node in defined(tree.body):
        links = {"chapter": f"{page(modules()[module])}#{name.lower()}", "api": f"api.html#{module}.{name}",
                 "source": f"{GITHUB}{cfg['lib_path']}/{module}.py#L{node.lineno}"}
        found.append(Entry(module, name, node, links))
    first = {e.name: i for i, e in reversed([*enumerate(found)])}
    return sorted(found, key=lambda e: first.get(e.name.split(".")[0], first[e.name]))


# Equations --------------------------------------------------------------------------------


def anchor(n): return "e-" + n.replace(".", "-")


@cache
def equations(): return number.equations(books())


def cited(match, here, link):
    "A citation whose numbers are links."
    def one(m):
        target = page(equations()[m[0]])
        return link(m[0], ("" if target == here else target) + "#" + anchor(m[0]))
    return re.sub(number.NUMBER, one, match[0])


def linked(text, here):
    "Markdown in which each number of an equation is an anchor and each citation a link."
    def one(m):
        if m[0][0] == "(": return cited(m, here, lambda n, url: f"[{n}]({url})")
        return "".join(f"[]{{#{anchor(n)}}}" for n in number.TAG.findall(m[0])) + m[0]
    both = re.compile(f"{number.CODE_OR_MATHS.pattern}|{number.CITED.pattern}", re.S)
    text = both.sub(one, text).replace(f"]({SITE}/", "](")
    return HEADING.sub(lambda m: f"]({m[1]}#{headed(m[2])})", text)


# Headings and works -----------------------------------------------------------------------

HEADING = re.compile(r"\]\(((?:\w+\.ipynb)?)#([^()\s]+)\)")


def headed(name):
    "The anchor that the site gives to a heading, from the one that JupyterLab and GitHub give it."
    return re.sub(r"[^\w.-]", "", name.lower())


@cache
def works(): return cite.works((ROOT/"nbs"/"references.bib").read_text(encoding="utf-8"))


def in_docs(said, work): return f'<a href="references.html#{headed(work.anchor)}">{said}</a>'


# Slides -------------------------------------------------------------------------------------

FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.S)


def is_talk(nb): return "revealjs" in (getattr(nb, "frontmatter_", None) or {}).get("format", "")


def on_slide(text):
    "Markdown of a slide: what is folded goes to the speaker's notes, the line `Why? ...` to the slide's foot."
    text = FOLDED.sub(lambda m: f"\n::: {{.notes}}\n**{m[1]}.** {m[2].strip()}\n:::\n", text)
    return re.sub(r"^Why\? .*$", lambda m: f"::: {{.why}}\n{m[0]}\n:::", text, flags=re.M)


def slides(nb):
    "Cut a notebook down to its slides, which begin at its first heading, and dress its front matter."
    front, *rest = nb.cells
    begin = next(i for i, c in enumerate(rest) if c.cell_type == "markdown" and c.source.startswith("## "))
    dress = yaml.safe_load((ROOT/"tools"/"site"/"talk.yml").read_text(encoding="utf-8"))
    front.source = f"---\n{yaml.safe_dump({**nb.frontmatter_, 'subtitle': nb.frontmatter_['description'], **dress})}---\n"
    nb.cells = [front, *(c for i, c in enumerate(rest) if i >= begin or c.cell_type == "code")]


# Addresses ----------------------------------------------------------------------------------

MOVED = {"pictures.html": "12b_features.ipynb"} # pages that the site once had, and the notebook that took their place


def elsewhere(name):
    "Where else a notebook opens: what a link says, and where it leads."
    repo, place = cfg["git_url"].removeprefix("https://github.com/"), f"{cfg['nbs_path']}/{name}"
    return {"Open in Colab": f"https://colab.research.google.com/github/{repo}/blob/{cfg['branch']}/{place}",
            "Open on Binder": f"https://mybinder.org/v2/gh/{repo}/{cfg['branch']}?labpath={quote(place, safe='')}",
            "Download the notebook": f"{SITE}/notebooks/{name}"} # where `make docs` puts it; Quarto knows no short address of it


def ways(name):
    "A line of links below a page's title."
    links = [f'<a href="{url}"{" download" if url.startswith(SITE) else ""}>{said}</a>' for said, url in elsewhere(name).items()]
    return f'```{{=html}}\n<p class="elsewhere">{" · ".join(links)}</p>\n```'


# One page ---------------------------------------------------------------------------------


def folded(source, named=""):
    "Code that is folded under its first comment, or under the first line of its cell, such as `#| Door of the weights`."
    options, title, rest = re.fullmatch(r"((?:#\|[^\n]*\n)*)(?:# *([^\n]*)\n)?(.*)", source, re.S).groups()
    line = re.match(r"#\| ([A-Z].*)", named)
    return f"#| code-fold: true\n#| code-summary: {json.dumps(title or (line[1] if line else 'Code'))}\n{options}{rest}"


def named(source, module, seen):
    "The names that a cell defines: anchors, and a line above its code. A page has an anchor once."
    by_name = {e.name: e for e in entries(module)}
    names, line = [n for n, _ in defined(ast.parse(source).body)], []
    for name in names:
        links = by_name[name].links
        spot = "" if name.lower() in seen else f'id="{name.lower()}"'
        seen.add(name.lower())
        if "." in name and name.split(".")[0] in names or not is_public(name): line.append(f"<span {spot}></span>")
        else: line.append(f'<a class="name" {spot} href="{links["api"]}">{name}</a> <a class="source" href="{links["source"]}">source</a>')
    return f'```{{=html}}\n<p class="names">{" ".join(line)}</p>\n```'


def living(data, alt, name):
    "A stored Vega-Lite chart, drawn by the reader's browser; its picture where scripts are off."
    spec = json.dumps(data[LIVING]).replace("</", r"<\/")
    picture = "".join(data["image/png"]).replace("\n", "")
    return (f'<figure class="living" id="{name}" aria-label="{alt}"></figure>\n'
            f'<noscript><img alt="{alt}" src="data:image/png;base64,{picture}"></noscript>\n'
            f'<script>living("{name}", {spec})</script>')


def told(cell, source):
    "What each output of a cell shows, from its `source`; Quarto wants one line, and counts outputs that are no pictures."
    words, pictures = alts(source), [{"image/png", "text/html"} & o.get("data", {}).keys() for o in cell.outputs]
    left = iter(words)
    all_of = [next(left, words[-1]) if words and p else "" for p in pictures]
    line = f"#| fig-alt: {json.dumps(words[0] if len(words) == 1 else all_of)}"
    if words: cell.source = re.sub(r"^#\| fig-alt: .*$", lambda m: line, cell.source, flags=re.M)
    return all_of


ICONS = {"minus": "dash", "fast-backward": "chevron-bar-left", "step-backward": "chevron-left", "play fa-flip-horizontal": "caret-left-fill",
         "pause": "pause-fill", "play": "caret-right-fill", "step-forward": "chevron-right", "fast-forward": "chevron-bar-right", "plus": "plus"}


def player(text, alt):
    "Matplotlib's player with the site's own icons, and a name for its slider."
    text = re.sub(r'<link rel="stylesheet"\s+href="[^"]*font-awesome[^"]*">', "", text)
    text = re.sub(r'"fa fa-([\w -]+)"', lambda m: f'"bi bi-{ICONS[m[1]]}"', text)
    text = text.replace('class="anim-slider"', 'class="anim-slider" aria-label="frame"')
    return text.replace(' id="_anim_img', f' alt="{alt}" id="_anim_img', 1) if alt else text


FLAG = re.compile(r"^#\|\s*(?:slow|gpu|diffusers)\n", re.M) # what a test leaves out; to Quarto it is broken YAML beside fig-alt


CARDS = re.compile(r"^\| \| chapter .*\n\|[-|:]+\n((?:\|.*\n?)+)", re.M)


def carded(text):
    "The chapters of the contents as cards."
    def one(m):
        c = m.groupdict("")
        shown = f'<span class="shot" style="background-image: url(cards/{c["name"]}.png)"></span>' if c["picture"] else ""
        title = f'<strong>{c["n"]}{c["title"]}</strong>' + (' <span class="road">main road</span>' if c["road"] else "")
        return (f'<a class="chapter" href="{page(Path(c["name"] + ".ipynb"))}">{shown}<span>{title}<br>{prose(c["idea"])}'
                f'<span class="cost">{c["read"]} to read, {c["run"]} to run</span></span></a>')
    return CARDS.sub(lambda m: "```{=html}\n<div class=\"chapters\">\n" + "\n".join(map(one, CARD.finditer(m[1]))) + "\n</div>\n```\n", text)


class Page(Processor):
    "The last step of a notebook on its way to a page."
    def begin(self):
        here = Path(self.nb.path_)
        self.here, self.cells, self.seen, self.figures = page(here), [], set(), 0
        self.module = next((m for m, p in modules().items() if p.name == here.name), None)
        self.sources = {c.id: c.source for c in books()[ROOT/"nbs"/here.name].cells}
        self.talk = is_talk(self.nb)
        if self.talk: slides(self.nb)
        for cell in self.nb.cells: self.add(cell)
        self.nb.cells = self.cells
        old = [f"/{page}" for page, name in MOVED.items() if name == here.name]
        if old: self.cells[0].source = f"---\n{yaml.safe_dump({**self.nb.frontmatter_, 'aliases': old})}---\n"
        if INSTALL in self.sources.values() and not self.talk: self.cells.insert(1, mk_cell(ways(here.name), "markdown"))

    def add(self, cell):
        if cell.cell_type == "markdown":
            cell.source = linked(carded(cell.source) if self.here == "index.html" else cell.source, self.here)
            if self.talk: cell.source = on_slide(cell.source)
        if cell.cell_type == "code":
            if "Imports" in cell.directives_: return
            cell.source = FLAG.sub("", cell.source)
            if "exports" in cell.directives_ and self.module: self.cells.append(mk_cell(named(cell.source, self.module, self.seen), "markdown"))
            if cell.metadata.get("jupyter", {}).get("source_hidden"): cell.source = folded(cell.source, self.sources[cell.id])
            for output, alt in zip(cell.outputs, told(cell, self.sources[cell.id])): self.draw(output, html.escape(alt))
        self.cells.append(cell)

    def draw(self, output, alt):
        data = output.get("data", {})
        shown = "".join(data.get("text/markdown", ""))
        if shown and "|---" not in shown: data["text/markdown"] = linked(shown, self.here)    # numbers of a table are figures
        if LIVING in data:
            self.figures += 1
            if self.figures == 1: self.cells.append(mk_cell(SCRIPTS, "markdown"))
            output["data"] = {"text/html": living(data, alt or html.escape("".join(data["text/plain"])), f"living-{self.figures}")}
        elif "anim-slider" in (text := "".join(data.get("text/html", ""))): data["text/html"] = player(text, alt)


# The API page -------------------------------------------------------------------------------

API = """---
title: The API
description: Every public name of the package once, in the order of the book.
toc-depth: 2
page-layout: article
---

"""
QUALIFIER = re.compile(r"\b(?:torch|nn|np|typing|distributions)\.(?=\w)")


class Argument(NamedTuple):
    "A row of an entry's table."
    name: str
    type: str
    default: str
    meaning: str


@cache
def comments(module):
    "The comment on each line of a module."
    source = (ROOT/cfg["lib_path"]/f"{module}.py").read_text(encoding="utf-8")
    return {t.start[0]: t.string.lstrip("# ") for t in tokenize.generate_tokens(io.StringIO(source).readline)
            if t.type == tokenize.COMMENT}


def shown_type(annotation):
    "An annotation as a reader says it: names without their modules, choices as they are typed."
    if annotation is None: return ""
    text = annotation.value if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str) else ast.unparse(annotation)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda m: m[1].replace("'", '"').replace(", ", " | "), text)
    return QUALIFIER.sub("", text)


def fields(node, module):
    "The fields of a named tuple or a protocol."
    return [Argument(n.target.id, shown_type(n.annotation), ast.unparse(n.value) if n.value else "", comments(module).get(n.end_lineno, ""))
            for n in node.body if isinstance(n, ast.AnnAssign)]


def arguments(f, module):
    "The arguments of a function without `self`, and what it returns."
    a, said = f.args, comments(module)
    defaults = [None]*(len(a.posonlyargs + a.args) - len(a.defaults)) + a.defaults
    rows = [*zip([n.arg for n in a.posonlyargs + a.args], a.posonlyargs + a.args, defaults)]
    if a.vararg: rows.append(("*" + a.vararg.arg, a.vararg, None))
    rows += zip([n.arg for n in a.kwonlyargs], a.kwonlyargs, a.kw_defaults)
    if a.kwarg: rows.append(("**" + a.kwarg.arg, a.kwarg, None))
    rows = [Argument(name, shown_type(n.annotation), ast.unparse(d) if d else "", said.get((d or n).end_lineno, ""))
            for name, n, d in rows if name != "self"]
    last = max([f.lineno] + [n.end_lineno for n in ast.walk(a) if hasattr(n, "end_lineno")])
    after = [said[i] for i in range(last + (last > f.lineno), f.body[0].lineno) if i in said]
    back = Argument("returns", shown_type(f.returns), "", after[-1] if after else "")
    return rows, back


@cache
def words():
    "The words of the signatures, and what each asks of a value."
    found = {}
    for module in modules():
        for name, kind in vars(import_module(f"{cfg['lib_path']}.{module}")).items():
            if get_origin(kind) is Annotated and name not in found: found[name] = asked(kind.__metadata__[0])
    return found


def asked(check):
    "The sentence of a check, with the numbers and names that are set in it."
    bare, given = getattr(check, "func", check), getattr(check, "keywords", {})
    text = re.sub(r"^Raise unless (`\w+` )?|\.$", "", bare.__doc__.splitlines()[0])
    for key, p in inspect.signature(bare).parameters.items():
        value = given.get(key, p.default)
        if value is True: text += f" ({key})"
        elif callable(value) and value is not p.empty: text += f", and {asked(value)}"
        elif isinstance(value, (int, float)): text = re.sub(rf"`{key}`|\b{key}\b(?=[^\[]*\])", f"{value:g}", text)
        elif key in given: text = text.replace(f"`{key}`", ", ".join(value))
    return text.replace(" in [-inf, inf]", "")


def prose(text):
    "A docstring as HTML: code between backticks, citations as links."
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    text = cite.linked(text, works(), in_docs)
    return number.CITED.sub(lambda m: cited(m, "api.html", lambda n, url: f'<a href="{url}">{n}</a>'), text)


def typed(text):
    "A type as HTML, its words linked to what they mean."
    link = lambda m: f'<a href="#word-{m[0].lower()}">{m[0]}</a>' if m[0] in words() else m[0]
    return re.sub(r"\b\w+\b", link, html.escape(text, quote=False))


def code(text): return f"<code>{text}</code>" if text else ""


def table(rows):
    lines = [f'<tr><td>{code(r.name) if r.name != "returns" else "returns"}</td><td>{code(typed(r.type))}</td>'
             f"<td>{code(html.escape(r.default, quote=False))}</td><td>{prose(r.meaning)}</td></tr>" for r in rows]
    head = "".join(f'<th scope="col">{h}</th>' for h in ("argument", "type", "default", "meaning"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def entry(e):
    "One name of the API page."
    back, call, rows = None, True, []
    if isinstance(e.node, ast.FunctionDef):
        rows, back = arguments(e.node, e.module)
        call = not any("prop" in ast.unparse(d) for d in e.node.decorator_list)
    elif rows := fields(e.node, e.module): call = not any("Protocol" in ast.unparse(b) for b in e.node.bases)
    elif init := next((n for n in e.node.body if getattr(n, "name", "") == "__init__"), None): rows, _ = arguments(init, e.module)
    last = e.name.removesuffix(".__call__").split(".")[-1]
    given = ", ".join(r.name + (f"={r.default}" if r.default else "") for r in rows)
    signature = html.escape(last + f"({given})"*call, quote=False) + (f" → {typed(back.type)}" if back and back.type else "")
    shown = rows + [back] if back and (back.meaning or back.type and rows) else rows
    before, _, name = e.name.rpartition(".")
    doc = ast.get_docstring(e.node) or ""
    return "\n".join(filter(None, [
        f'<div class="entry" id="{e.links["api"].split("#")[1]}">',
        f'<h3><code>{before + "." if before else ""}<b>{name}</b></code> <a class="source" href="{e.links["chapter"]}">in its chapter</a> '
        f'<a class="source" href="{e.links["source"]}">source</a></h3>',
        f'<p class="signature"><code>{signature}</code></p>', f"<p>{prose(doc)}</p>" if doc else "", table(shown) if shown else "", "</div>"]))


def api():
    "The API page."
    blocks = [API, "Names such as `Time` and `State` in the signatures are [words](#words): each says what a value must be, and a value that is not "
              "raises an error of one sentence.\n"]
    for module, path in modules().items():
        title = re.match(r"# (.*)", books()[path].cells[0].source)[1]
        tree = ast.parse((ROOT/cfg["lib_path"]/f"{module}.py").read_text(encoding="utf-8"))
        public = [e for e in entries(module) if is_public(e.name)]
        blocks.append(f"## {module} {{#{module}}}\n\n[{title}]({page(path)}): {ast.get_docstring(tree)}\n\n"
                      "```{=html}\n" + "\n".join(map(entry, public)) + "\n```\n")
    listed = "\n".join(f'<dt id="word-{n.lower()}"><code>{n}</code></dt><dd>{prose(w)}</dd>' for n, w in sorted(words().items()))
    blocks.append(f"## Words of the signatures {{#words}}\n\n```{{=html}}\n<dl class=\"words\">\n{listed}\n</dl>\n```\n")
    return "\n".join(blocks)


# What belongs to no page ----------------------------------------------------------------------


def settings():
    "The settings of the site that follow from settings.ini."
    licence = f"[Apache 2.0]({GITHUB}LICENSE)"
    return {"website": {"page-footer": {
        "left": f"dpm-nb {cfg['version']} · {licence}",
        "right": f"[How to cite]({GITHUB}CITATION.cff)"}}}


def card(path):
    "The picture that a link to the site shows elsewhere: a swiss roll on its way to noise."
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from dpm_nb.core import rng
    from dpm_nb.data import swiss_roll
    from dpm_nb.gaussian import GaussianDiffusion
    from dpm_nb.schedule import cosine
    d, x0 = GaussianDiffusion(cosine(100)), swiss_roll(900, generator=rng(0))
    fig = plt.figure(figsize=(12, 6.3), facecolor="#fdfdfb")
    for i, t in enumerate((0, 6, 14, 28, 100)):
        ax = fig.add_axes((0.03 + 0.19*i, 0.08, 0.18, 0.46))
        x = d.q_sample(x0, t, generator=rng(i)) if t else x0
        ax.scatter(*x.T, s=3, color="#0b6e7f", linewidth=0)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
        ax.axis("off")
    fig.text(0.06, 0.8, cfg["title"], size=50, weight="bold", color="#1d2326")
    fig.text(0.06, 0.61, textwrap.fill(cfg["description"], 55), size=24, color="#1d2326", linespacing=1.4)
    fig.savefig(path, dpi=100, facecolor=fig.get_facecolor())


def main():
    import vl_convert
    shutil.copytree(ROOT/"tools"/"site", PROC, dirs_exist_ok=True)
    (PROC/"api.qmd").write_text(api(), encoding="utf-8")
    (PROC/"site.yml").write_text(yaml.safe_dump(settings(), allow_unicode=True), encoding="utf-8")
    (PROC/"vega.js").write_text(vl_convert.javascript_bundle(vl_version="5.20"), encoding="utf-8")
    lost = (ROOT/"tools"/"404.html").read_text(encoding="utf-8")
    (PROC/"404.html").write_text(lost.replace("SITE", SITE), encoding="utf-8")
    card(PROC/"card.png")
    (PROC/"cards").mkdir(exist_ok=True)
    for cell in books()[ROOT/"nbs"/"index.ipynb"].cells:
        for name, kinds in cell.get("attachments", {}).items():
            (PROC/"cards"/name).write_bytes(base64.b64decode(kinds["image/png"]))


if __name__ == "__main__": main()
