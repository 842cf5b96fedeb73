"The site: every exported name has its documentation, README.md is what the index says, Quarto finds its settings."
import ast
import os
import re
import shutil

import pytest
import readme
import yaml
from conftest import MODULES, NBS, NOT_COPIED, PACKAGE, ROOT, cells, program, run
from nbdev.doclinks import patch_name


QUARTO = shutil.which("quarto")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "A copy of the project with its `_proc`. nbdev only asks that some quarto be on PATH."
    folder = tmp_path_factory.mktemp("site")
    project = shutil.copytree(ROOT, folder/"project", ignore=NOT_COPIED)
    path = os.environ["PATH"]
    if not QUARTO:
        stand_in = folder/"bin"/("quarto.cmd" if os.name == "nt" else "quarto")
        stand_in.parent.mkdir()
        stand_in.write_text("exit 1\n" if os.name == "nt" else "#!/bin/sh\nexit 1\n")
        stand_in.chmod(0o755)
        path = f"{stand_in.parent}{os.pathsep}{path}"
    run(program("nbdev_proc_nbs"), "--file_re", r"\.ipynb$", cwd=project, PATH=path, PYTHONPATH=str(project))
    return project


def documented(module):
    "The public functions and classes of a module, and the methods that are patched onto a class."
    tree = ast.parse((PACKAGE/f"{module}.py").read_text(encoding="utf-8"))
    return [patch_name(n) for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_every_exported_name_is_shown(module, site):
    page = site/"_proc"/MODULES[module].name
    assert page.exists(), f"nbdev_proc_nbs made no {page.name}"
    shown = {c.source.splitlines()[-1]: c.outputs for c in cells(page, "code") if "show_doc(" in c.source}
    for name in documented(module):
        assert f"show_doc({name})" in shown, f"{page.name} has no show_doc({name})"
        text = "".join(o.get("data", {}).get("text/markdown", "") for o in shown[f"show_doc({name})"])
        assert name.split(".")[-1] in text, f"{page.name}: show_doc({name}) shows nothing of it"
        source = re.compile(rf"https://github\.com/[\w/.-]+/dpm_nb/{module}\.py#L\d+")
        assert source.search(text), f"{page.name}: show_doc({name}) has no link to the source; install the project anew (setup.py's entry point)"


def test_symbols_in_prose_are_links(site):
    text = "\n".join(c.source for m in MODULES for c in cells(site/"_proc"/MODULES[m].name, "markdown"))
    links = set(re.findall(r"\[`[\w.]+`\]\(([^)]+)\)", text))
    assert len(links) > 30, f"The pages' prose links to {len(links)} symbols of the package"


def test_settings_of_the_site(site):
    assert yaml.safe_load((NBS/"_quarto.yml").read_text()) == {"metadata-files": ["../_quarto.yml", "nbdev.yml", "sidebar.yml"]}
    top = yaml.safe_load((ROOT/"_quarto.yml").read_text())
    assert top["project"]["type"] == "website" and top["execute"]["enabled"] is False
    for name in ["_quarto.yml", "nbdev.yml", "sidebar.yml", top["format"]["html"]["css"]]:
        assert (site/"_proc"/name).exists(), f"_proc/ lacks {name}, which the site needs"
    order = yaml.safe_load((site/"_proc"/"sidebar.yml").read_text())["website"]["sidebar"]["contents"]
    chapters = sorted(p.name for p in NBS.glob("*.ipynb") if p.stem != "index")
    assert order == ["index.ipynb", *chapters], "The sidebar is not the reading order"


def test_readme_is_made_from_the_index():
    text, images = readme.made()
    assert (ROOT/"README.md").read_text(encoding="utf-8") == text, "README.md is not what nbs/index.ipynb says; run `make readme`"
    stored = {p.name: p.read_bytes() for p in readme.IMAGES.glob("index-*.png")}
    assert stored == images, "nbs/images/ holds other pictures than nbs/index.ipynb; run `make readme`"


@pytest.mark.skipif(not QUARTO, reason="Quarto is not on PATH (https://quarto.org/docs/get-started/)")
def test_quarto_renders_a_page(site):
    run("quarto", "render", "00_core.ipynb", cwd=site/"_proc")
    page = (site/"_proc"/"_docs"/"core.html").read_text(encoding="utf-8")
    title = cells(NBS/"00_core.ipynb", "markdown")[0].source.splitlines()[0].removeprefix("# ")
    assert f"<h1 class=\"title\">{title}</h1>" in page, "The rendered page lacks its title"
    lost = [name for name in documented("core") if name not in page]
    assert not lost, f"The rendered page lacks {', '.join(lost)}"
