"A reader opens 03_gaussian in JupyterLab, runs all cells, moves the slider and sees the picture change."
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import CHROMIUM, IN_LAB, NBS, ROOT, cells

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

TOKEN = "reader"
IDLE = "Python 3 (ipykernel) | Idle"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
PROMPTS = """cells => cells.filter(c => c.querySelector('.cm-content')?.textContent.trim())
                   .map(c => c.querySelector('.jp-InputPrompt').textContent.trim())"""

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="No Chromium on PATH; DPM_NB_CHROMIUM can name one")


@pytest.fixture
def lab(tmp_path):
    "JupyterLab on a copy of nbs/ and the address of the notebook in it."
    shutil.copytree(NBS, tmp_path/"nbs", ignore=shutil.ignore_patterns(".*", "data"))
    files = lambda: {str(p.relative_to(tmp_path)) for p in (tmp_path/"nbs").rglob("*") if ".ipynb_checkpoints" not in p.parts}
    before = files()
    for name, values in SETTINGS.items():
        path = tmp_path/"settings"/"@jupyterlab"/f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTERLAB_SETTINGS_DIR": str(tmp_path/"settings"),
           "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path/"workspaces"), "JUPYTER_CONFIG_DIR": str(tmp_path/"config"),
           "JUPYTER_RUNTIME_DIR": str(tmp_path/"runtime")}
    log = tmp_path/"jupyter.log"
    with log.open("w") as out:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
                                   f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path/'nbs'}"],
                                  env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(120):
            assert server.poll() is None, f"JupyterLab ended:\n{log.read_text()}"
            try: urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={TOKEN}").close()
            except OSError: time.sleep(0.5)
            else: break
        else: pytest.fail(f"JupyterLab did not answer in a minute:\n{log.read_text()}")
        yield f"http://127.0.0.1:{port}/lab/tree/{IN_LAB}?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(30)
    left = {name for name in files() - before if not name.startswith(str(Path("nbs")/"data"))}
    assert not left, f"{IN_LAB} leaves {', '.join(sorted(left))} behind"


@pytest.fixture
def page(tmp_path):
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        page.screenshot(path=tmp_path/"page.png")
        browser.close()


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
    count = sum(1 for c in cells(NBS/IN_LAB, "code") if c.source.strip())
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
