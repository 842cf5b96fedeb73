"""Writes dpm_nb/*.pyi, which is what a type checker reads of the package.

It sees neither the methods that `@patch` adds to a class, nor what a word such as `Count` in a
signature stands for, nor the names that `dpm_nb` brings when they are first used. In a stub each
method stands in its class, and each word is the type below its check.
"""
import ast
import builtins
import re
import sys
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT/"dpm_nb"
MODULES = sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "_modidx"))
KEPT = {"property", "classmethod", "staticmethod", "runtime_checkable"} # decorators that change a type
IMPORTS = (ast.Import, ast.ImportFrom)
ALWAYS = "from typing import Any, TypeAlias\nfrom torch import Tensor"


def plain(word):
    "The type below a word's checks, as source."
    if get_origin(word) is Annotated: return plain(get_args(word)[0])
    if word is Any: return "Any"
    return word.__name__ if isinstance(word, type) and get_origin(word) is None else str(word)


class Plain(ast.NodeTransformer):
    "Annotations in which words stand for their types."
    def __init__(self, module): self.names, self.more = {**vars(builtins), **vars(module)}, []

    def visit_Subscript(self, node):
        if ast.unparse(node.value) == "Literal": return node
        if ast.unparse(node.value) == "Annotated": return self.visit(node.slice.elts[0])
        return self.generic_visit(node)

    def word(self, node):
        found = eval(ast.unparse(node), self.names)
        if get_origin(found) is not Annotated: return node
        home = getattr(get_args(found)[0], "__module__", "")
        if home.startswith("dpm_nb."): self.more += ast.parse(f"from .{home[7:]} import {plain(found)}").body
        return ast.parse(plain(found), mode="eval").body

    visit_Name = visit_Call = visit_Attribute = word


def name_of(decorator): return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def is_patched(node): return isinstance(node, ast.FunctionDef) and "patch" in map(name_of, node.decorator_list)


def signature(node, words):
    "A function without its body."
    args, anything = node.args, ast.Name("Any")
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, [args.vararg, args.kwarg])]
    for i, a in enumerate(every):
        if i == 0 and a.arg in ("self", "cls"): a.annotation = None
        else: a.annotation = words.visit(a.annotation) if a.annotation else anything
    for side in (args.defaults, args.kw_defaults):
        side[:] = [v if v is None or isinstance(v, ast.Constant) else ast.Constant(...) for v in side]
    returns = words.visit(node.returns) if node.returns else ast.Constant(None) if node.name == "__init__" else anything
    marks = [d for d in node.decorator_list if name_of(d) in KEPT]
    if any(ast.unparse(d) == "patch(as_prop=True)" for d in node.decorator_list): marks.append(ast.Name("property"))
    return ast.FunctionDef(node.name, args, [ast.Expr(ast.Constant(...))], marks, returns, lineno=0, type_params=[])


def attributes(functions, words):
    "What methods put on `self`, with the type of the argument that it came from."
    found = {}
    for f in functions:
        given = {a.arg: a.annotation for a in [*f.args.args, *f.args.kwonlyargs]}
        for node in ast.walk(f):
            if not isinstance(node, (ast.Assign, ast.AnnAssign)): continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            pairs = [(t, node.value) for t in targets]
            for t, v in pairs:
                if isinstance(t, ast.Tuple):
                    values = v.elts if isinstance(v, ast.Tuple) else [None]*len(t.elts)
                    pairs += zip(t.elts, values)
                if not (isinstance(t, ast.Attribute) and ast.unparse(t.value) == "self"): continue
                known = given.get(v.id) if isinstance(v, ast.Name) and f.name == "__init__" else None
                said = "Any" if known is None else ast.unparse(words.visit(known))
                found.setdefault(t.attr, re.sub(r"^Literal\[.*'\]", "str", said)) # as the protocol has it
    return found


def class_of(node, patched, words, kind):
    "A class with all its methods; what a loop gave it is read from the class itself."
    own = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    said = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    kept = {n.target.id for n in said} | {n.name for n in [*own, *patched]}
    for n in said: n.annotation, n.value = words.visit(n.annotation), n.value and ast.Constant(...)
    body = [*said, *(ast.parse(f"{k}: {v}").body[0] for k, v in attributes([*own, *patched], words).items() if k not in kept)]
    for n in node.body:
        if isinstance(n, ast.Assign): body += [ast.parse(f"{t.id}: Any").body[0] for t in n.targets if isinstance(t, ast.Name)]
    last = {n.name: n for n in [*own, *patched]}
    body += [signature(n, words) for n in last.values()]
    body += [ast.parse(f"@property\ndef {k}(self) -> Any: ...").body[0] for k, v in vars(kind).items()
             if k not in last and isinstance(v, (property, cached_property))]
    marks = [d for d in node.decorator_list if name_of(d) in KEPT]
    return ast.ClassDef(node.name, node.bases, node.keywords, body or [ast.Expr(ast.Constant(...))], marks, type_params=[])


def constants(node, module):
    "The names that a statement gives, each with its type."
    for target in node.targets:
        for t in target.elts if isinstance(target, ast.Tuple) else [target]:
            if not isinstance(t, ast.Name): continue
            value = getattr(module, t.id)
            word = get_origin(value) is Annotated
            kind = type(value).__name__ if type(value).__name__ in {*vars(builtins), "Tensor"} - {"type", "function"} else "Any"
            yield ast.parse(f"{t.id}: TypeAlias = {plain(value)}" if word else f"{t.id}: {kind}").body[0]


def needed(imports, text):
    "The imports whose names are used, one name a line."
    found = {}
    for node in imports:
        for a in node.names:
            name, where = a.asname or a.name, f"from {'.'*node.level}{node.module or ''} " if isinstance(node, ast.ImportFrom) else ""
            if re.search(rf"\b{name}\b", text): found.setdefault(name, f"{where}import {ast.unparse(a)}")
    return found.values()


def stub(name):
    "The stub of a module."
    module = import_module(f"dpm_nb.{name}")
    tree, words = ast.parse((PACKAGE/f"{name}.py").read_text(encoding="utf-8")), Plain(module)
    patched = {}
    for node in filter(is_patched, tree.body): patched.setdefault(ast.unparse(node.args.args[0].annotation), []).append(node)
    imports, parts = [*ast.parse(ALWAYS).body, *(n for n in tree.body if isinstance(n, IMPORTS))], []
    for node in tree.body:
        if isinstance(node, ast.ClassDef): parts.append(class_of(node, patched.pop(node.name, []), words, getattr(module, node.name)))
        elif isinstance(node, ast.FunctionDef) and not is_patched(node): parts.append(signature(node, words))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) != "__all__": parts += constants(node, module)
    if patched: sys.exit(f"{name} patches {', '.join(patched)}, which another module makes")
    text = "\n".join(ast.unparse(ast.fix_missing_locations(p)) for p in parts)
    text = re.sub(r":\n +\.\.\.$\n?(\n(?= ))?", ": ...\n", text + "\n", flags=re.M)
    return "\n".join([*needed([*imports, *words.more], text), "", text.strip(), ""])


def home():
    "The stub of the package itself: the names that it brings when they are first used."
    found = import_module("dpm_nb")._HOME
    return "".join(f"from .{module} import {name} as {name}\n" for name, module in found.items()) + "\n__version__: str\n"


def made():
    "Every stub by its file name."
    first = "# Made by tools/stubs.py; do not edit.\n"
    return {f"{name}.pyi": first + text for name, text in [("__init__", home()), *((m, stub(m)) for m in MODULES)]}


def main():
    new = made()
    for path in PACKAGE.glob("*.pyi"):
        if path.name not in new: path.unlink()
    for name, text in new.items(): (PACKAGE/name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__": main()
