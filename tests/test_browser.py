"A reader opens 03_gaussian in JupyterLab, runs all cells, moves the slider and sees the picture change."
import time

import pytest
from conftest import IN_LAB, NBS, cells
from lab import chromium, jupyterlab

IDLE = "Python 3 (ipykernel) | Idle"
PROMPTS = """cells => cells.filter(c => c.querySelector('.cm-content')?.textContent.trim())
                   .map(c => c.querySelector('.jp-InputPrompt').textContent.trim())"""


@pytest.fixture
def lab(tmp_path):
    "The address of the notebook in JupyterLab, on a copy of nbs/."
    with jupyterlab(tmp_path) as address: yield address(IN_LAB)


@pytest.fixture
def page(tmp_path):
    with chromium(tmp_path) as page: yield page


def see_no_error(page):
    dialog = page.locator(".jp-Dialog")
    assert not dialog.count(), f"JupyterLab asks:\n{dialog.first.inner_text()}"
    errors = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]')
    assert not errors.count(), f"{IN_LAB} shows an error:\n{errors.first.inner_text()}"


def settled(page, pictures):
    "The pictures, once the kernel is idle and they no longer change."
    seen = None
    for _ in range(60):
        time.sleep(1)
        see_no_error(page)
        last, seen = seen, pictures()
        if seen == last and page.get_by_text(IDLE).count(): return seen
    pytest.fail("The pictures did not come to rest within a minute")


def run_all(page):
    "Run > Run All Cells, until every cell that holds code has a number."
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    for _ in range(300):
        see_no_error(page)
        prompts = page.locator(".jp-CodeCell").evaluate_all(PROMPTS)
        if prompts and all(p.strip("[]:").isdigit() for p in prompts): return prompts
        time.sleep(1)
    pytest.fail(f"{IN_LAB} was not through after five minutes: {prompts}")


def test_slider_moves_the_picture(lab, page):
    page.goto(lab)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text(IDLE).wait_for()
    prompts = run_all(page)
    folded = lambda cell: cell.metadata.get("jupyter", {}).get("source_hidden", False) # shows no number
    count = sum(1 for c in cells(NBS/IN_LAB, "code") if c.source.strip() and not folded(c))
    assert len(prompts) == count, f"{len(prompts)} cells ran, {IN_LAB} has {count}"

    cell = page.locator(".jp-CodeCell", has=page.locator(".widget-slider .widget-label", has_text="t")).last
    slider = cell.locator(".widget-slider", has=page.locator(".widget-label", has_text="t")).first
    pictures = lambda: cell.locator(".widget-output img, .jp-OutputArea-output img").evaluate_all("all => all.map(i => i.src)")
    handle = slider.locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    before, value = settled(page, pictures), slider.locator(".widget-readout").inner_text()
    assert len(before) == 1, f"Beside the slider stand {len(before)} pictures instead of one"

    box, track = handle.bounding_box(), slider.locator(".noUi-base").bounding_box()
    page.mouse.move(box["x"] + box["width"]/2, box["y"] + box["height"]/2)
    page.mouse.down()
    for part in (0.5, 0.9): page.mouse.move(track["x"] + part*track["width"], box["y"] + box["height"]/2, steps=5)
    page.mouse.up()
    moved = slider.locator(".widget-readout").inner_text()
    assert moved != value, f"The slider does not move from {value}"
    changed = settled(page, pictures) != before
    assert changed, f"The slider moved from {value} to {moved}, and the picture stayed"
