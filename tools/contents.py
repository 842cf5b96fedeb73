"Writes into nbs/index.ipynb what follows from the chapters: the cards' pictures, and the minutes to read and to run."
import base64
import io
import re
from pathlib import Path

import nbformat
import number
from notebooks import COST
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT/"nbs"/"index.ipynb"
CARD = re.compile(r"^\| *(?P<picture>!\[\]\([^)]*\))? *\| (?P<link>(?P<n>\d+\w? )?\[(?P<road>\*\*)?(?P<title>[^\]*]+)(?:\*\*)?\]"
                  r"\((?P<name>\w+)\.ipynb\)) \| (?P<idea>[^|]+?) \| *(?P<read>[^|]*?) *\| *(?P<run>[^|]*?) *\|$", re.M)
ROAD = re.compile(r"(?<=^\|---\|--:\|--:\|\n)(?:\|.*\n?)+", re.M)
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|```.*?```|\]\([^)\s]*\)", re.S)
SIZE = 240, 144
# The picture of a chapter's card by its cell, and the part of it that is shown: left, top, right, bottom, as shares.
PICTURES = {
    "40_talk": ("e02505e7", (0, 0, 1, 1)), "00_core": ("bb2cfa33", (0, 0, 1, 1)), "01_data": ("7e7a5a9d", (.0, 0, .66, 1)),
    "02_schedule": ("1d37681e", (0, 0, .72, 1)), "03_gaussian": ("c05ebab4", (0, 0, .52, 1)), "04_chain": ("2b35a86c", (0, 0, .655, .63)),
    "05_binomial": ("e6cd6f95", (0, 0, .48, 1)), "06_bound": ("f2679176", (0, .1, .62, 1)), "06b_estimate": ("20d0e6be", (0, 0, .5, 1)),
    "07_oracle": ("adc13f67", (0, 0, .52, 1)), "08_nets": ("1abfaecc", (0, 0, .455, 1)), "09_training": ("b697a71d", (0, 0, 1, 1)),
    "10_sampling": ("55a4e797", (0, 0, .475, 1)), "10b_solvers": ("8a8333b8", (0, 0, 1, 1)), "10c_guidance": ("20ec3277", (0, 0, .5, 1)),
    "11_likelihood": ("90afaae1", (0, .07, .62, .88)), "12_metrics": ("81054f98", (0, 0, .545, 1)), "12b_features": ("08171f0d", (.02, .1, .52, .4)),
    "13_families": ("f13a0055", (0, 0, .4, 1)), "13b_beside": ("b13b0020", (0, 0, .6, .5)), "14_checkpoints": ("f6c288ec", (0, 0, .5, 1)),
    "20_digits": ("0ec89334", (0, 0, .48, 1)), "21_mnist": ("5fa8a731", (0, 0, .48, .55)), "22_paper_tables": ("d2513d7b", (0, 0, .62, 1)),
    "23_your_data": ("b79266ff", (0, 0, .75, .72)), "91_show": ("9fc8810f", (0, 0, 1, 1)),
    "symptoms": ("sym00041", (0, 0, .62, 1)), "92_cli": ("84226806", (0, 0, 1, .83)), "09a_keep": ("830bdc5e", (0, .15, .6, 1)),
}


def minutes(nb):
    "To read a chapter: its words at 200 a minute, and half a minute for each numbered equation."
    text = " ".join(MATHS.sub(" ", c.source) for c in nb.cells if c.cell_type == "markdown")
    return max(1, round(len(re.findall(r"[^\W\d_]{2,}", text))/200 + len(number.tags(nb))/2))


def seconds(nb):
    "To run it on two cores, as it says."
    n, unit = next(m for c in nb.cells if (m := COST.search(c.source))).groups()[:2]
    return int(n)*(60 if unit == "minutes" else 1)


def spell(s): return f"{s} s" if s < 100 else f"{round(s/60)} min"


def hours(m): return f"{m} min" if m < 60 else f"{m//60} h {m%60:02d} min"


def drawn(nb):
    "The first picture of each cell that draws one, in their order."
    found = {}
    for cell in nb.cells:
        for o in cell.get("outputs", []):
            if "image/png" in o.get("data", {}): found.setdefault(cell.id, o.data["image/png"])
    return found


def picture(nb, name):
    "The small picture of a card, of a chapter that draws one."
    pictures = drawn(nb)
    cell, part = PICTURES.get(name, (next(iter(pictures)), (0, 0, 1, 1)))
    whole = Image.open(io.BytesIO(base64.b64decode(pictures[cell]))).convert("RGBA")
    w, h = whole.size
    whole = whole.crop([round(v*side) for v, side in zip(part, (w, h, w, h))])
    whole.thumbnail(SIZE, Image.Resampling.LANCZOS)
    card = Image.new("RGBA", SIZE, whole.getpixel((0, 0)))
    card.alpha_composite(whole, ((SIZE[0]-whole.width)//2, (SIZE[1]-whole.height)//2))
    return card.convert("RGB")


def stored(image):
    "A picture as a notebook keeps it: 128 colours are enough for a card."
    kept = io.BytesIO()
    image.quantize(128).save(kept, "png", optimize=True)
    return base64.b64encode(kept.getvalue()).decode()


def told(text, books):
    "The text of a cell with its figures of today."
    def card(m):
        nb = books[m["name"]]
        shown = f"![](attachment:{m['name']}.png)" if drawn(nb) else ""
        return f"| {shown} | {m['link']} | {m['idea']} | {minutes(nb)} min | {spell(seconds(nb))} |"
    return ROAD.sub(lambda m: afternoons(books), CARD.sub(card, text))


def afternoons(books):
    "The main road as a table, halved by the time that it takes to read."
    index = nbformat.read(INDEX, 4)
    road = [(m["link"].replace("**", ""), books[m["name"]]) for c in index.cells for m in CARD.finditer(c.source) if m["road"]]
    costs = [(said, minutes(nb), seconds(nb)) for said, nb in road]
    sums = [sum(m for _, m, _ in costs[:k]) for k in range(len(costs)+1)]
    half = min(range(len(sums)), key=lambda k: abs(2*sums[k] - sums[-1]))
    lines = []
    for name, part in (("first", costs[:half]), ("second", costs[half:])):
        read, run = (sum(row[k] for row in part) for k in (1, 2))
        lines += [f"| {said} | {m} min | {spell(s)} |" for said, m, s in part]
        lines += [f"| **the {name} afternoon** | **{hours(read)}** | **{spell(run)}** |"]
    return "\n".join(lines) + "\n"


def main():
    books = {p.stem: nb for p, nb in number.read(ROOT/"nbs").items()}
    index = nbformat.read(INDEX, 4)
    for cell in index.cells:
        if cell.cell_type != "markdown": continue
        cell.source = told(cell.source, books).rstrip("\n")
        names = re.findall(r"\(attachment:(\w+)\.png\)", cell.source)
        if names: cell.attachments = {f"{n}.png": {"image/png": stored(picture(books[n], n))} for n in names}
    nbformat.write(index, INDEX)
    size = sum(len(a["image/png"]) for c in index.cells for a in c.get("attachments", {}).values())
    print(f"index.ipynb: {size/1000:.0f} kB of pictures in its cards")


if __name__ == "__main__": main()
