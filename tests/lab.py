"What the tests in a browser share: JupyterLab on a copy of the notebooks, and a page of Chromium."
import json
import os
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
                                   f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder/'nbs'}"],
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
