"In JupyterLab, opened as they are stored: the number of each equation is seen, no markup is, and nobody is asked anything."
import re
import time

import number
import pytest
from conftest import NOTEBOOKS, ROOT
from lab import chromium, jupyterlab

BOOKS = {p.name: nb for p, nb in number.read(ROOT/"nbs").items()}
SEEN = """() => [...document.querySelectorAll('.jp-Notebook mjx-container')].flatMap(e => {
  const label = e.querySelector('mjx-labels')?.getBoundingClientRect()
  if (!label?.width || label.right > e.closest('.jp-Cell').getBoundingClientRect().right) return []
  return [...e.querySelectorAll('mlabeledtr > mtd:first-child')].map(n => n.textContent.slice(1, -1))
})"""
PROSE = "() => [...document.querySelectorAll('.jp-RenderedMarkdown')].map(e => e.innerText).join('\\n')"
FOLDED = "() => [...document.querySelectorAll('.jp-InputPlaceholder .jp-PlaceholderText')].map(e => e.innerText.trim())"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    "A function that opens a notebook and waits until its equations stand still."
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab(folder) as address, chromium(folder) as page:
        def opened(name):
            page.goto(address(name) + "&reset")
            page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
            want, seen = number.tags(BOOKS[name]), None
            for _ in range(40):
                time.sleep(.5)
                last, seen = seen, page.evaluate(SEEN)
                if seen == last and (seen == want or not want): break
            return page, seen
        yield opened


@pytest.mark.parametrize("name", [p.name for p in NOTEBOOKS])
def test_page_reads_as_it_is_meant(name, reader):
    page, seen = reader(name)
    assert seen == number.tags(BOOKS[name]), f"{name} shows the numbers {seen}"
    assert not page.locator("mjx-merror").count(), f"{name}: {page.locator('mjx-merror').first.inner_text()}"
    raw = re.findall(r"\{#[\w-]+\}|@eq-\w+|:::|\\tag|\$\$|\*\*\w", page.evaluate(PROSE))
    assert not raw, f"{name} shows markup as it stands: {', '.join(raw)}"
    assert not page.locator(".jp-Dialog, .Toastify__toast").count(), f"JupyterLab asks something at {name}"
    hidden = [c for c in BOOKS[name].cells if c.metadata.get("jupyter", {}).get("source_hidden")]
    first = [c.source.splitlines()[0] for c in hidden]
    assert page.evaluate(FOLDED) == first, f"{name} folds {page.evaluate(FOLDED)}"
