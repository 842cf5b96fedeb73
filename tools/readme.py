"Makes README.md from nbs/index.ipynb, without Quarto: the text as GitHub and PyPI read it."
import base64
import re
from configparser import ConfigParser
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/"nbs"
IMAGES = NBS/"images"
HIDDEN = {"hide", "export", "exporti", "default_exp"}

parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(ROOT/"settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
SITE = cfg["doc_host"] + cfg["doc_baseurl"]

CALLOUT = re.compile(r"^:::+[ \t]*\{\.callout-(\w+)([^}]*)\}[ \t]*\n(.*?)^:::+[ \t]*$\n?", re.M | re.S)
PAGE = re.compile(r"\]\((?:\./)?(?:\d+[a-zA-Z0-9]*_)?([\w-]+)\.ipynb(#[\w-]+)?\)")
FOLDED = re.compile(r"# (Law|Check|Figure): ")
CARD = re.compile(r"^\| (?=\| chapter)|(?<=^\|)---\|(?=---\|---\|--:\|--:)|^\| (?:!\[\]\([^)]*\))? ?(?=\| (?:\d+\w? )?\[)", re.M)
PICTURE = re.compile(r"(!\[[^\]]*\]\()(?!https?:)")


def directives(source):
    "The `#|` lines of a cell, as a dict."
    pairs = (re.split(r":?\s+", line, maxsplit=1) for line in re.findall(r"^#\| ?(\S.*)$", source, re.M))
    return {p[0]: p[1] if len(p) > 1 else "" for p in pairs}


def alts(source):
    "What each picture of a cell shows, in words: its `fig-alt`, whose further lines are set in by two spaces more."
    found = re.search(r"^#\| fig-alt: (.*(?:\n#\|  .*)*)", source, re.M)
    said = yaml.safe_load(re.sub(r"\n#\|  +", " ", found[1])) if found else []
    return [said] if isinstance(said, str) else said


def quoted(match):
    "A callout as a quotation that begins with its title."
    kind, options, body = match.groups()
    body = body.strip()
    title = re.search(r'title="([^"]*)"', options)
    heading = re.match(r"#+ (.*)\n*", body)
    if heading and not title: title, body = heading, body[heading.end():]
    lines = [f"**{title[1] if title else kind.capitalize()}**", "", *body.splitlines()]
    return "\n".join(f"> {line}".rstrip() for line in lines) + "\n\n"


def markdown(text):
    "Quarto's markdown as GitHub's."
    text = PAGE.sub(lambda m: f"]({SITE}/{m[1]}.html{m[2] or ''})", text)
    text = CARD.sub("", text)
    text = PICTURE.sub(r"\1nbs/", text)
    text = CALLOUT.sub(quoted, text)
    return re.sub(r"^:::.*\n?", "", text, flags=re.M)


def shown(output, images, words):
    "A link to a picture, whose bytes are added to `images`; what has no picture is text."
    data = output.get("data", {})
    if "image/png" in data:
        name = f"index-{len(images)+1}.png"
        images[name] = base64.b64decode(data["image/png"])
        alive = any("vegalite" in kind for kind in data)
        return f"![{words.pop(0)}](nbs/images/{name})" + (f"\n\n[Move it on the site.]({SITE})" if alive else "")
    if "text/markdown" in data: return data["text/markdown"]
    if "text/html" in data: return f"[See it on the site.]({SITE})"
    text = output.get("text") or data.get("text/plain", "")
    return f"```text\n{text.rstrip()}\n```"


def code(cell, images):
    "The blocks of a code cell: its source and its outputs."
    d = directives(cell.source)
    if HIDDEN & d.keys() or d.get("include") == "false": return []
    source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M).strip()
    folded = d.get("echo") == "false" or FOLDED.match(source)
    blocks = [f"```python\n{source}\n```"] if source and not folded else []
    if d.get("output") == "false": return blocks
    words = alts(cell.source)
    return blocks + [shown(o, images, words) for o in cell.outputs if o.get("name") != "stderr"]


def made():
    "README.md's text and the pictures that it shows, as a dict of name and bytes."
    nb = nbformat.read(NBS/"index.ipynb", as_version=4)
    blocks, images = [], {}
    for cell in nb.cells:
        if cell.cell_type == "markdown": blocks.append(markdown(cell.source).strip())
        if cell.cell_type == "code": blocks += code(cell, images)
    note = "<!-- Made from nbs/index.ipynb by `make readme`: edit the notebook. -->"
    return "\n\n".join([note, *filter(None, blocks)]) + "\n", images


def main():
    text, images = made()
    (ROOT/"README.md").write_text(text, encoding="utf-8", newline="\n")
    for old in IMAGES.glob("index-*.png"): old.unlink()
    for name, picture in images.items():
        IMAGES.mkdir(exist_ok=True)
        (IMAGES/name).write_bytes(picture)
    print(f"README.md: {len(text.splitlines())} lines, {len(images)} pictures")


if __name__ == "__main__": main()
