"The house rules: what is exported, stored, cited and imported."
import ast
import base64
import difflib
import functools
import graphlib
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import tokenize
import warnings
from configparser import ConfigParser
from importlib.metadata import packages_distributions

import nbformat
import pytest
import yaml
from conftest import CHAPTERS, MODULES, NOTEBOOKS, PACKAGE, ROOT, cells, directives, name_of, program, run
from fastcore.docments import docments
from notebooks import INSTALL

HEAVY = ("torchvision", "matplotlib", "sklearn", "ipywidgets")
EXPORTED = {"export", "exports", "exporti"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
MACHINE_PATH = re.compile(r"(?<![\w/:.<])/(?:home|Users|work|tmp|root|usr|opt|private|var)/\S*|\b[A-Z]:\\\w\S*|\S*site-packages\S*")
EMBEDDED = re.compile(r"data:[\w/+-]+;base64,[A-Za-z0-9+/=\\\n]+")

FLOORS = [ # from the ground; a module imports from its own floor and from those below
    {"checks"},
    {"core", "schedule", "nets"},
    {"show", "data", "gaussian", "binomial", "bound"},
    {"estimate", "oracle", "chain", "training", "keep", "sampling", "likelihood", "metrics"},
    {"engine", "solvers", "guidance", "features", "families", "checkpoints"},
    {"cli"},
]
FLOOR = {module: i for i, floor in enumerate(FLOORS) for module in floor}
GROUND = {"checks": set(), "show": {"checks", "core"}} # of the workshop, for every chapter; and what they import themselves
WORKSHOP = 90 # the first number of the workshop
# Two pages that show a file of the checkout; two that look for chapters, and say so where there are none, or copy them first.
BESIDE = {"benchmark.ipynb", "references.ipynb", "30_exercises.ipynb", "92_cli.ipynb"}
FAMILIES = {"gaussian", "binomial"}

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


def is_text(node):
    "Is a statement a docstring?"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def size(cell):
    "Lines of code besides signatures, docstrings, comments and blank lines."
    lines = {i for i, line in enumerate(cell.source.splitlines(), 1) if line.strip() and not line.strip().startswith("#")}
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, DEFINITIONS):
            lines -= set(range(min(n.lineno for n in [node, *node.decorator_list]), node.body[0].lineno))
        if is_text(node): lines -= set(range(node.lineno, node.end_lineno+1))
    return len(lines)


def statements(path):
    "Python statements of a file, docstrings and imports not counted."
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return sum(isinstance(n, ast.stmt) and not isinstance(n, IMPORTS) and not is_text(n) for n in nodes)


def code_of(cell):
    "The Python of a code cell, its magics left out."
    return re.sub(r"^[ \t]*[%!].*", "", cell.source, flags=re.M)


def joined(source):
    "The lines on which a `;` stands between two statements."
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    ends = {tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER}
    return [a.start[0] for a, b in zip(tokens, tokens[1:]) if a.string == ";" and a.type == tokenize.OP and b.type not in ends]


@functools.cache
def tree_of(module): return ast.parse((PACKAGE/f"{module}.py").read_text(encoding="utf-8"))


def own_imports(module):
    "The `from` imports of a module out of this package, each with the name of the other module, or \"\"."
    for node in ast.walk(tree_of(module)):
        if not isinstance(node, ast.ImportFrom): continue
        parts = ["dpm_nb"]*bool(node.level) + (node.module or "").split(".")
        if parts[0] == "dpm_nb": yield node, parts[1] if len(parts) > 1 else ""


def graph(): return {module: {source for _, source in own_imports(module)} for module in MODULES}


def before(module):
    "The modules that stand before one in the reading order, and the ground of the workshop."
    if module in GROUND: return GROUND[module]
    return set(GROUND) | {m for m in MODULES if number(m) < WORKSHOP and MODULES[m].name < MODULES[module].name}


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
    prose = " ".join(re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|```.*?```", " ", c.source, flags=re.S) for c in cells(path, "markdown"))
    prose = re.sub(r"\]\([^)\s]*\)", "]", prose) # where a link leads is no prose
    words = len(re.findall(r"[^\W\d_]{2,}", prose))
    assert words <= 3500, f"{path.name} has {words} words; a chapter has at most 3,500, past that it is two"


@each_notebook
def test_no_line_of_an_alt_text_is_read_as_a_directive(path):
    "nbdev takes `#|   word:` for a directive wherever it stands among a cell's first lines, and Quarto's YAML breaks."
    for cell in cells(path, "code"):
        taken = re.findall(r"^#\|\s{2,}[\w-]+:.*", cell.source, re.M)
        assert not taken, f"{path.name}, cell {cell.id}: begin this line with another word: {taken[0]}"


@each_notebook
def test_lines_fit_the_page(path):
    "The page's column shows 90 columns of code."
    long = [f"cell {c.id}, {len(line)} columns: {line.strip()}" for c in cells(path, "code") for line in c.source.splitlines()
            if len(line) > 90]
    assert not long, f"{path.name} has {len(long)} lines of code of more than 90 columns:\n" + "\n".join(long)


@each_notebook
def test_one_statement_a_line(path):
    found = []
    for cell in cells(path, "code"):
        source = code_of(cell)
        tuples = [n.lineno for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Tuple)]
        found += [f"cell {cell.id}: {source.splitlines()[i-1].strip()}" for i in sorted({*tuples, *joined(source)})]
    assert not found, f"{path.name} uses a tuple as a statement, or joins statements by `;`:\n" + "\n".join(found)


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
        if cell.source == INSTALL: continue # no page shows it
        body = ast.parse(code_of(cell)).body
        exported = EXPORTED & directives(cell)
        imports = any(isinstance(m, IMPORTS) for n in body for m in ([n] if exported else ast.walk(n)))
        alone = all(isinstance(n, IMPORTS) for n in body)
        assert not imports or alone, f"{path.name}, cell {cell.id} mixes imports with other code, which fails when the docs are made"


@each_module
def test_modules_import_by_explicit_name(module):
    for node in ast.walk(tree_of(module)):
        if not isinstance(node, ast.Import): continue
        wrong = [a.name for a in node.names if a.name.split(".")[0] == "dpm_nb"]
        assert not wrong, f"dpm_nb/{module}.py, line {node.lineno}: import {wrong[0]} by `from ... import`"
    for node, source in own_imports(module):
        where = f"dpm_nb/{module}.py, line {node.lineno}"
        assert source in MODULES, f"{where} imports from {source or 'the package itself'}; name one of its modules"
        assert node.names[0].name != "*", f"{where} imports * from {source}"


@each_module
def test_modules_import_only_from_before(module):
    for node, source in own_imports(module):
        where = f"dpm_nb/{module}.py, line {node.lineno}"
        assert source in before(module), f"{where} imports from {source}, which {module} may not know: a module imports from " \
            "chapters before its own and from the workshop's checks and show, show from checks and core, checks from none"


@each_module
def test_modules_import_only_from_their_floor_or_below(module):
    assert module in FLOOR, f"{module} stands on no floor: give it one in FLOORS"
    for node, source in own_imports(module):
        assert FLOOR.get(source, -1) <= FLOOR[module], \
            f"dpm_nb/{module}.py, line {node.lineno} imports from {source}, which is {FLOOR[source]-FLOOR[module]} floors above it"


def test_imports_make_no_circle():
    try: graphlib.TopologicalSorter(graph()).prepare()
    except graphlib.CycleError as e: pytest.fail(f"These import each other: {' < '.join(e.args[1])}")


@pytest.mark.parametrize("module", ["bound", "training", "sampling", "likelihood"])
def test_machinery_knows_no_family(module):
    known, new = set(), {module}
    while new:
        known |= new
        new = set().union(*(graph().get(m, set()) for m in new)) - known
    assert not known & FAMILIES, f"{module} imports {', '.join(known & FAMILIES)}, itself or through {', '.join(known - FAMILIES)}"


def plain(name): return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def owners():
    "The distributions that bring each importable name; to ask takes a third of a second."
    return packages_distributions()


def undeclared(tree, *names):
    "What is imported, by line, and stands in none of these lists of settings.ini."
    settings = ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT/"settings.ini", encoding="utf-8")
    declared = {plain(re.match(r"[\w.-]+", r)[0]) for name in names for r in settings["DEFAULT"][name].split()}
    for node in ast.walk(tree):
        if not isinstance(node, IMPORTS) or getattr(node, "level", 0): continue
        for name in [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]:
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top == "dpm_nb": continue
            if not declared & {plain(o) for o in owners().get(top, [top])}: yield node.lineno, top


def test_what_is_imported_is_declared():
    for module in MODULES:
        for line, name in undeclared(tree_of(module), "requirements", "long_requirements", "checkpoints_requirements"):
            pytest.fail(f"dpm_nb/{module}.py, line {line} imports {name}, which settings.ini does not require")


@each_notebook
def test_a_notebook_alone_finds_what_it_uses(path):
    "The install cell brings the extra `book`, which setup.py makes of two lists, and no file."
    for cell in cells(path, "code"):
        if cell.source == INSTALL: continue
        where, tree = f"{path.name}, cell {cell.id}", ast.parse(code_of(cell))
        if not EXPORTED & directives(cell):
            for _, name in undeclared(tree, "requirements", "book_requirements", "checkpoints_requirements"):
                pytest.fail(f"{where} imports {name}, which `dpm-nb[book]` does not bring")
        for node in ast.walk(tree):
            if path.name in BESIDE or not isinstance(node, ast.Constant): continue
            beside = isinstance(node.value, str) and re.fullmatch(r"[\w./ -]{1,99}", node.value) and (path.parent/node.value).is_file()
            assert not beside, f"{where} reads {node.value}, which is not there where the notebook is alone"


def public(module):
    "The public functions, constructors and methods of a module by name; a protocol's methods are descriptions."
    home = importlib.import_module(f"dpm_nb.{module}")
    for name in home.__all__:
        found = getattr(home, name)
        if not inspect.isclass(found):
            if inspect.isfunction(found): yield name, found
            continue
        if getattr(found, "_is_protocol", False): continue
        if inspect.isfunction(vars(found).get("__init__")): yield name, found
        for member, raw in vars(found).items():
            f = raw.__func__ if isinstance(raw, (classmethod, staticmethod)) else raw
            if inspect.isfunction(f) and not member.startswith("_"): yield f"{name}.{member}", f


@each_module
def test_arguments_are_explained(module):
    "Each argument stands on a line of its own with a comment, which documentation tools find through every decorator."
    silent = []
    for name, f in public(module):
        said = docments(f, returns=False, args_kwargs=True)
        silent += [f"{name}({p})" for p in inspect.signature(f).parameters if p not in ("self", "cls") and not said.get(p)]
    assert not silent, f"dpm_nb.{module}: these arguments want a line of their own with a comment: {', '.join(silent)}"


@each_module
def test_public_names_have_a_line_of_docs(module):
    def public(body): return [n for n in body if isinstance(n, DEFINITIONS) and not n.name.startswith("_")]
    top = public(tree_of(module).body)
    for node in [*top, *(m for c in top if isinstance(c, ast.ClassDef) for m in public(c.body))]:
        doc = ast.get_docstring(node)
        assert doc, f"dpm_nb/{module}.py, line {node.lineno}: {node.name} has no docstring"
        assert "\n" not in doc.strip(), f"dpm_nb/{module}.py, line {node.lineno}: {node.name}'s docstring has more than one line"


def test_package_is_small():
    found = {p.stem: statements(p) for p in PACKAGE.glob("*.py") if p.name != "_modidx.py"}
    large = [f"{m} ({n})" for m, n in found.items() if n > 180]
    assert not large, f"These modules have more than 180 statements: {', '.join(large)}"
    assert sum(found.values()) <= 2900, f"dpm_nb/ has {sum(found.values())} statements; it has room for 2,900"


def test_rules_see_what_they_forbid():
    assert joined("a = 1; b = 2") == [1] and joined("plot(x);") == joined("plot(';', x); # shown\nb = 2") == []
    cell = nbformat.v4.new_code_cell('#| exports\n@door\ndef f(\n    x, # a\n):\n    "Doc."\n    y = (\n        x)\n\n    # Why.\n    return y')
    assert size(cell) == 3
    one = nbformat.v4.new_code_cell("class A:\n    def f(self): return 1\n    def g(self): 'Doc.'")
    assert size(one) == 1


def test_home_has_the_names_of_a_first_program():
    import dpm_nb
    assert dpm_nb.__doc__, "dpm_nb has no docstring"
    home, brought = set(dpm_nb.__all__), {}
    first = {"Schedule", "linear", "cosine", "GaussianDiffusion", "BinomialDiffusion", "vlb", "MLP", "UNet", "train", "fit", "sample"}
    assert first <= home, f"`from dpm_nb import *` lacks {', '.join(first - home)}"
    exec("from dpm_nb import *", brought)
    lost = [name for name in home if brought.get(name) is None]
    assert not lost, f"`from dpm_nb import *` does not bring {', '.join(lost)}"
    assert not home & set(MODULES), f"A module bears the name of a function: {', '.join(home & set(MODULES))}"


def test_import_is_light():
    heavy = (*HEAVY, "torch", "numpy", "fastcore")
    code = f"import sys, warnings; warnings.simplefilter('error'); import dpm_nb; print(*[m for m in {heavy} if m in sys.modules])"
    found = run(sys.executable, "-c", code, cwd=ROOT).strip()
    assert not found, f"`import dpm_nb` imports {found}"


@pytest.fixture(scope="module")
def brought():
    "What each module brings in that the ones below it did not, and what it warns of."
    modules = [m for m in graphlib.TopologicalSorter(graph()).static_order() if m in MODULES]
    code = f"""
import importlib, json, sys, warnings
import torch
found = {{}}
for name in {modules}:
    before, error = set(sys.modules), None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try: importlib.import_module("dpm_nb." + name)
        except Exception as e: error = repr(e)
    found[name] = [m for m in {HEAVY} if m in sys.modules and m not in before], [str(w.message) for w in warned], error
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"Importing {modules} failed:\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


@each_module
def test_modules_import_lightly_and_silently(module, brought):
    heavy, warned, error = brought[module]
    assert not error, f"`import dpm_nb.{module}` fails: {error}"
    assert not heavy, f"`import dpm_nb.{module}` imports {', '.join(heavy)}"
    assert not warned, f"`import dpm_nb.{module}` warns: {warned[0]}"
