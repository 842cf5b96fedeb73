"The house rules: what is exported, stored, cited and imported."
import ast
import base64
import difflib
import json
import re
import subprocess
import sys
import warnings
from configparser import ConfigParser

import pytest
import yaml
from conftest import CHAPTERS, MODULES, NOTEBOOKS, PACKAGE, ROOT, cells, directives, name_of, program, run

HEAVY = ("torchvision", "matplotlib", "sklearn", "ipywidgets")
EXPORTED = {"export", "exports", "exporti"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
MACHINE_PATH = re.compile(r"(?<![\w/:.<])/(?:home|Users|work|tmp|root|usr|opt|private|var)/\S*|\b[A-Z]:\\\w\S*|\S*site-packages\S*")
EMBEDDED = re.compile(r"data:[\w/+-]+;base64,[A-Za-z0-9+/=\\\n]+")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=name_of)
each_module = pytest.mark.parametrize("module", MODULES)


def number(module):
    "The number of the chapter that makes a module; 12b counts as 12."
    return int(re.match(r"\d+", MODULES[module].stem)[0])


def outputs(path):
    "Pairs of a code cell and one of its outputs."
    return [(c, o) for c in cells(path, "code") for o in c.outputs]


def texts(output):
    "What an output says in text, pictures left out."
    data = output.get("data", {})
    found = [output.get("text", ""), *(v for k, v in data.items() if k.startswith("text/")), *output.get("traceback", [])]
    return EMBEDDED.sub("", "\n".join(found))


def exported_cells(path):
    return [c for c in cells(path, "code") if EXPORTED & directives(c)]


def size(cell):
    "Lines of code, without blank lines and lines that are comments."
    return sum(1 for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#"))


def tree_of(module): return ast.parse((PACKAGE/f"{module}.py").read_text(encoding="utf-8"))


def changes(before, after):
    "The first lines that two folders' files differ in; empty when they agree."
    names = sorted({p.name for p in [*before.values(), *after.values()]})
    found = []
    for name in names:
        old, new = (side[name].read_text(encoding="utf-8").splitlines() if name in side else [] for side in (before, after))
        found += list(difflib.unified_diff(old, new, f"{name} (stored)", f"{name} (made anew)", lineterm="", n=1))[:20]
    return "\n".join(line[:200] for line in found)


def files(folder, pattern): return {p.name: p for p in folder.glob(pattern)}


def test_package_is_what_the_notebooks_export(project):
    for p in (project/"dpm_nb").glob("*.py"): p.unlink()
    run(program("nbdev_export"), cwd=project)
    diff = changes(files(PACKAGE, "*.py"), files(project/"dpm_nb", "*.py"))
    assert not diff, f"dpm_nb/ is not what the notebooks export; run `make export`:\n{diff}"


def test_notebooks_are_clean(project):
    run(program("nbdev_clean"), cwd=project)
    diff = changes(files(ROOT/"nbs", "*.ipynb"), files(project/"nbs", "*.ipynb"))
    assert not diff, f"Notebooks hold what nbdev_clean removes; run it:\n{diff}"


def test_version_is_said_once():
    settings = ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT/"settings.ini", encoding="utf-8")
    cited = yaml.safe_load((ROOT/"CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert cited == settings["DEFAULT"]["version"], f"CITATION.cff says version {cited}, settings.ini another"


@each_notebook
def test_outputs_are_stored(path):
    found = outputs(path)
    assert found, f"{path.name} has no stored outputs; run `make notebooks`"
    for cell, output in found:
        assert output.output_type != "error", f"{path.name}, cell {cell.id} stores an error: {output.get('evalue')}"
        dead = "application/vnd.jupyter.widget-view+json" in output.get("data", {})
        assert not dead, f"{path.name}, cell {cell.id} stores a widget, which is dead without a kernel"


@each_notebook
def test_outputs_hold_no_path_of_a_machine(path):
    for cell, output in outputs(path):
        found = MACHINE_PATH.search(texts(output))
        assert not found, f"{path.name}, cell {cell.id} prints a path of somebody's machine: {found[0]}"


@each_notebook
def test_pictures_are_small(path):
    total = 0
    for _, output in outputs(path):
        for kind, data in output.get("data", {}).items():
            if kind.startswith("image/"): total += len(data if kind.endswith("svg+xml") else base64.b64decode(data))
            if kind == "text/html": total += sum(len(m[0])*3//4 for m in EMBEDDED.finditer(data))
    assert total < 1_000_000, f"{path.name} stores {total:,} bytes of pictures; a page has 1 MB"


@each_chapter
def test_chapter_has_the_right_length(path):
    count = len(cells(path))
    prose = " ".join(re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|```.*?```", " ", c.source, flags=re.S) for c in cells(path, "markdown"))
    words = len(re.findall(r"[^\W\d_]{2,}", prose))
    assert 25 <= count <= 60, f"{path.name} has {count} cells; a chapter has 25 to 60"
    assert words <= 1500, f"{path.name} has {words} words; a chapter has at most 1,500"


@each_notebook
def test_exported_cells_hold_one_short_definition(path):
    for cell in exported_cells(path):
        where = f"{path.name}, cell {cell.id}"
        body = ast.parse(cell.source).body
        names = [n.name for n in body if isinstance(n, DEFINITIONS)]
        assert len(names) <= 1, f"{where} defines {', '.join(names)}; one definition a cell"
        assert size(cell) <= 25, f"{where} ({', '.join(names)}) has {size(cell)} lines; 25 is the wall"
        if size(cell) > 15: warnings.warn(f"{where} ({', '.join(names)}) has {size(cell)} lines; aim at 15")


@each_notebook
def test_imports_stand_alone(path):
    "On pages with documented names nbdev runs every cell that imports something, and those alone."
    if not any({"export", "exports"} & directives(c) for c in cells(path)): return
    for cell in cells(path, "code"):
        body = ast.parse(re.sub(r"^\s*[%!].*", "", cell.source, flags=re.M)).body
        exported = EXPORTED & directives(cell)
        imports = any(isinstance(m, IMPORTS) for n in body for m in ([n] if exported else ast.walk(n)))
        alone = all(isinstance(n, IMPORTS) for n in body)
        assert not imports or alone, f"{path.name}, cell {cell.id} mixes imports with other code, which fails when the docs are made"


@each_module
def test_modules_import_only_from_above(module):
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            wrong = [a.name for a in node.names if a.name.split(".")[0] == "dpm_nb"]
            assert not wrong, f"dpm_nb/{module}.py, line {node.lineno}: import {wrong[0]} by `from ... import`"
        if not isinstance(node, ast.ImportFrom): continue
        parts = (node.module or "").split(".")
        if not node.level and parts[0] != "dpm_nb": continue
        where = f"dpm_nb/{module}.py, line {node.lineno}"
        source = parts[0 if node.level else 1] if len(parts) > (0 if node.level else 1) else ""
        assert source in MODULES, f"{where} imports from the package itself; name the module"
        assert MODULES[source].name < MODULES[module].name, f"{where} imports from {source}, which is not above {module}"
        assert node.names[0].name != "*", f"{where} imports * from {source}"


@each_module
def test_public_names_have_a_line_of_docs(module):
    def public(body): return [n for n in body if isinstance(n, DEFINITIONS) and not n.name.startswith("_")]
    top = public(tree_of(module).body)
    for node in [*top, *(m for c in top if isinstance(c, ast.ClassDef) for m in public(c.body))]:
        doc = ast.get_docstring(node)
        assert doc, f"dpm_nb/{module}.py, line {node.lineno}: {node.name} has no docstring"
        assert "\n" not in doc.strip(), f"dpm_nb/{module}.py, line {node.lineno}: {node.name}'s docstring has more than one line"


def labels(path): return re.findall(r"\{#(eq-[\w-]+)", "\n".join(c.source for c in cells(path, "markdown")))


def test_equation_labels_are_unique():
    seen = {}
    for path in NOTEBOOKS:
        for label in labels(path):
            assert label not in seen, f"{{#{label}}} stands in {seen[label]} and in {path.name}"
            seen[label] = path.name


@each_notebook
def test_cited_equations_stand_on_the_page(path):
    for cell in cells(path):
        for label in re.findall(r"(?<![\w`])@(eq-[\w-]*\w)", cell.source):
            assert label in labels(path), f"{path.name}, cell {cell.id} cites @{label}, which is not on that page"


def test_package_is_small():
    lines = [line for p in PACKAGE.glob("*.py") if p.name != "_modidx.py"
             for line in p.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("# %%")]
    assert len(lines) < 2500, f"dpm_nb/ has {len(lines)} lines; it stays under 2,500"


def test_import_is_light():
    heavy = (*HEAVY, "torch", "numpy", "fastcore")
    code = f"import sys, warnings; warnings.simplefilter('error'); import dpm_nb; print(*[m for m in {heavy} if m in sys.modules])"
    found = run(sys.executable, "-c", code, cwd=ROOT).strip()
    assert not found, f"`import dpm_nb` imports {found}"


@pytest.fixture(scope="module")
def brought():
    "What each module of the chapters up to 11 brings in that the ones above it did not, and what it warns of."
    modules = [m for m in MODULES if number(m) <= 11]
    code = f"""
import importlib, json, sys, warnings
import torch
found = {{}}
for name in {modules}:
    before = set(sys.modules)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        importlib.import_module("dpm_nb." + name)
    found[name] = [m for m in {HEAVY} if m in sys.modules and m not in before], [str(w.message) for w in warned]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"Importing {modules} failed:\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", [m for m in MODULES if number(m) <= 11])
def test_modules_import_lightly_and_silently(module, brought):
    heavy, warned = brought[module]
    assert not heavy, f"`import dpm_nb.{module}` imports {', '.join(heavy)}"
    assert not warned, f"`import dpm_nb.{module}` warns: {warned[0]}"
