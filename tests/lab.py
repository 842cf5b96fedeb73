"What the tests in a browser share: JupyterLab on a copy of the notebooks, a page of Chromium, and a reader's hands on a living figure."
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import CHROMIUM, NBS, ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
if not CHROMIUM: pytest.skip("No Chromium on PATH; DPM_NB_CHROMIUM can name one", allow_module_level=True)

TOKEN = "reader"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


@contextmanager
def jupyterlab(folder):
    "JupyterLab on a copy of nbs/, which trusts no notebook yet: a function from a notebook's name to its address."
    shutil.copytree(NBS, folder/"nbs", ignore=shutil.ignore_patterns(".*", "data"))
    files = lambda: {str(p.relative_to(folder)) for p in (folder/"nbs").rglob("*") if ".ipynb_checkpoints" not in p.parts}
    before = files()
    for name, values in SETTINGS.items():
        path = folder/"settings"/"@jupyterlab"/f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTERLAB_SETTINGS_DIR": str(folder/"settings"),
           "JUPYTERLAB_WORKSPACES_DIR": str(folder/"workspaces"), "JUPYTER_CONFIG_DIR": str(folder/"config"),
           "JUPYTER_RUNTIME_DIR": str(folder/"runtime"), "JUPYTER_DATA_DIR": str(folder/"data")}
    log = folder/"jupyter.log"
    with log.open("w") as out:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
                                   f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder/'nbs'}",
                                   "--LabApp.expose_app_in_browser=True"],
                                  env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(120):
            assert server.poll() is None, f"JupyterLab ended:\n{log.read_text()}"
            try: urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={TOKEN}").close()
            except OSError: time.sleep(0.5)
            else: break
        else: pytest.fail(f"JupyterLab did not answer in a minute:\n{log.read_text()}")
        yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(30)
    left = {name for name in files() - before if not name.startswith(str(Path("nbs")/"data"))}
    assert not left, f"A notebook in JupyterLab leaves {', '.join(sorted(left))} behind"


@contextmanager
def chromium(folder):
    "A page of a browser; its last state is kept as a picture."
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        page.screenshot(path=folder/"page.png")
        browser.close()


# A living figure ---------------------------------------------------------------------------

PICTURE = "f => [...f.querySelectorAll('canvas, svg.marks')].map(e => e.tagName == 'CANVAS' ? e.toDataURL() : e.outerHTML).join()"
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
HELD = "e => document.activeElement == e"
RINGED = """e => { const s = getComputedStyle(e), t = getComputedStyle(e.closest('label') ?? e)
  return e.matches(':focus-visible') && [s, t].some(s => s.outlineStyle != 'none' && parseFloat(s.outlineWidth) > 0) }"""


class Hands:
    "A reader at a living figure, which stands in `figure`: each control is moved, and is to change the picture."
    def __init__(self, page, figure, name, held=""):
        self.page, self.figure, self.name, self.held = page, figure, name, held # a key that is held beside the arrows

    def picture(self): return self.figure.evaluate(PICTURE)

    def changed(self, before, seconds=2):
        "Is the picture another one, at once or soon?"
        for _ in range(20):
            self.page.evaluate(DRAWN)
            if self.picture() != before: return True
            self.page.wait_for_timeout(seconds*50)
        return False

    def point(self, slider):
        "Click on the slider where its handle is not."
        low, high, value = (float(v) for v in slider.evaluate("e => [e.min, e.max, e.value]"))
        part = .3 if value - low > (high - low)/2 else .7
        before, box = self.picture(), slider.bounding_box()
        slider.click(position={"x": part*box["width"], "y": box["height"]/2})
        assert float(slider.input_value()) != value, f"{self.name} does not move under the mouse"
        assert self.changed(before), f"{self.name} moved from {value:g} to {slider.input_value()}, and the picture stayed"

    def press(self, slider):
        "Come to the slider by Tab, and move it by the arrow keys until the picture changes."
        keys, many = self.page.keyboard, 25
        slider.focus()
        keys.press("Shift+Tab")
        assert not slider.evaluate(HELD), f"Shift+Tab does not leave {self.name}"
        keys.press("Tab")
        assert slider.evaluate(HELD), f"Tab does not reach {self.name}"
        assert slider.evaluate(RINGED), f"Nothing shows that the keys now move {self.name}"
        before, value = self.picture(), slider.input_value()
        key = self.held + ("ArrowLeft" if value == slider.get_attribute("max") else "ArrowRight")
        for k in range(many):
            keys.press(key)
            assert k or slider.input_value() != value, f"{key} does not move {self.name}"
            if self.changed(before, 0 if k < many-1 else 2): return
        pytest.fail(f"{key} moved {self.name} from {value} to {slider.input_value()}, and the picture stayed")

    def choose(self, control):
        "Choose what is not chosen, or tick and clear a box."
        before = self.picture()
        control.set_checked(not control.is_checked())
        assert self.changed(before), f"{self.name} was chosen, and the picture stayed"

    def move_all(self):
        "Every control once by the mouse and, if a slider, once by the keys; how many sliders there were."
        sliders = self.figure.locator(".vega-bindings input[type=range]")
        self.figure.scroll_into_view_if_needed()
        named = self.figure.get_by_role("slider", name=re.compile(r"[^\W\d_]")).count()
        assert named == sliders.count(), f"{self.name}: {sliders.count()} sliders, of which {named} have a name"
        figure = self.name
        for slider in sliders.all():
            self.name = f"{figure}, {slider.get_attribute('name')}"
            self.point(slider)
            self.press(slider)
        for control in self.figure.locator(".vega-bindings input:is([type=radio], [type=checkbox])").all():
            self.name = f"{figure}, {control.get_attribute('name')}"
            if control.get_attribute("type") == "checkbox" or not control.is_checked(): self.choose(control)
        return sliders.count()
