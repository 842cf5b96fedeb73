"""Changes exported equations, one place at a time: some cell of the notebook must fail.

`mutants` tries 60 changes ("mutants") of each chapter and stores the scores in
tests/mutants.json; `mutants 02 03` those two chapters. What is changed: operators, numbers,
indices, roots and other functions of one argument, the order of two arguments. What is not:
doors, plots, messages, progress, files, the command. A mutant that cannot be noticed,
since it computes the same, gets a "reason" by hand in the stored file, and no longer counts.
"""
import argparse
import ast
import hashlib
import io
import json
import linecache
import os
import re
import signal
import sys
import time
import tokenize
import types
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parents[1]
STORE = Path("tests/mutants.json")
LEAST = 0.95
POSSIBLE = hasattr(os, "fork") and hasattr(os, "waitid")

# Notebooks ------------------------------------------------------------------------------

EXPORTED = {"export", "exports", "exporti"}
SKIPPED = {"slow", "gpu"} | ({"diffusers"} if find_spec("diffusers") is None else set())


class Cell(NamedTuple):
    number: int # its place in the notebook
    source: str
    exported: bool


def code_cells(path):
    "The code cells that run, in order."
    found = []
    for i, cell in enumerate(nbformat.read(path, as_version=4).cells):
        words = dict(re.findall(r"^#\|\s*([\w-]+):?[ \t]*(.*?)\s*$", cell.source, re.M))
        runs = not SKIPPED & words.keys() and words.get("eval") != "false"
        if cell.cell_type == "code" and runs:
            found.append(Cell(i, cell.source, bool(EXPORTED & words.keys())))
    return found


def chapters(root, names=()):
    "The notebooks whose names begin with one of `names`, or all."
    paths = sorted(p for p in (root/"nbs").glob("*.ipynb") if p.name[0] not in "_.")
    unknown = [n for n in names if not any(p.name.startswith(n) for p in paths)]
    if unknown: sys.exit(f"No notebook in {root/'nbs'} begins with {', '.join(unknown)}")
    # "06" is the chapter 06_bound alone, "06b" the other one
    begins = tuple(f"{n}_" if n[:2].isdigit() and "_" not in n else n for n in names)
    return [p for p in paths if not names or p.name.startswith(begins)]


# What is an equation ---------------------------------------------------------------------

NO_EQUATION = re.compile(r"check_|do_|copy_|plot_|show_|animate$|tile$|living$|LOOK$|door$|__repr__$|__str__$|_repr_")
PLUMBING = {"matplotlib", "plt", "widgets", "IPython", "display", "tqdm", "time", "socket",
            "tempfile", "urllib", "Path", "os", "sys"}
FILES = {"torch.save", "torch.load"}
NO_EQUATION_CALL = re.compile(r"(.*\.)?(check_\w+|print|warn|tqdm|watch|at_least|between)$")
NO_EQUATION_ARGUMENT = {"batch", "rows", "size", "dpi", "figsize", "stacklevel", "rtol", "atol",
                        "seed", "random_state"}
ALONG_AN_AXIS = set("""sum mean std var min max argmin argmax softmax log_softmax logsumexp
                       cumsum cumprod cummax cummin flip squeeze unsqueeze stack cat diff norm
                       any all prod sort flatten transpose chunk split select""".split())
DEVICES = {"cuda", "mps"}
TINY = 1e-6


def is_plumbing(function):
    "Does a function draw, show, report, wait, or read and write files?"
    if NO_EQUATION.match(function.name) or function.name == "error": return True    # a parser's
    for node in ast.walk(ast.Module(function.body, [])):
        names = [node.id] if isinstance(node, ast.Name) else []
        if isinstance(node, ast.Import): names = [a.name.split(".")[0] for a in node.names]
        if isinstance(node, ast.ImportFrom): names = [str(node.module).split(".")[0]]
        if PLUMBING.intersection(names): return True
        if isinstance(node, ast.Attribute) and ast.unparse(node) in FILES: return True
    return False


def strings(node): return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)
                           and isinstance(n.value, str)}


def is_report(statement):
    "Does it only say that something is wrong?"
    said = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return isinstance(statement, ast.Raise) or said and is_no_equation(statement.value)


def is_no_equation(call): return bool(NO_EQUATION_CALL.match(ast.unparse(call.func)))


def targets(node):
    "The plain names that an assignment gives; empty where it gives anything else as well."
    names = [n for t in node.targets for n in ast.walk(t)
             if not isinstance(n, (ast.Tuple, ast.List, ast.Starred, ast.expr_context))]
    plain = all(isinstance(n, ast.Name) for n in names)
    return {n.id for n in names} if plain else set()


def parts(node, unused=frozenset(), in_class=False):
    "`node` and what is below it, without what is no equation."
    def each(*nodes):
        for n in nodes:
            if n is not None: yield from parts(n, unused)
    if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)): return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant): return
    if isinstance(node, ast.AnnAssign):
        if not in_class: yield from each(node.value)
        return
    if isinstance(node, ast.Assign) and targets(node) and targets(node) <= unused: return
    if isinstance(node, ast.Assign) and any(map(NO_EQUATION.match, targets(node))): return
    if isinstance(node, ast.Call) and is_no_equation(node): return
    if isinstance(node, ast.keyword) and node.arg in NO_EQUATION_ARGUMENT: return
    if isinstance(node, ast.Compare) and strings(node) & (DEVICES | {"cpu"}): return
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Annotated", "Literal"):
        return
    # blocks of another size give the same
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "split":
        return (yield from each(node.func))
    if isinstance(node, ast.FunctionDef):
        if not is_plumbing(node): yield from each(*node.body)
        return
    if isinstance(node, ast.ClassDef):
        for n in node.body: yield from parts(n, unused, True)
        return
    if isinstance(node, ast.Lambda): return (yield from each(node.body))
    if isinstance(node, ast.If) and is_report(node.body[-1]):
        return (yield from each(*node.orelse))
    if isinstance(node, ast.For) and all(is_report(n) for n in node.body): return
    if isinstance(node, (ast.If, ast.IfExp)) and strings(node.test) & DEVICES:
        rest = node.orelse
        return (yield from each(*(rest if isinstance(rest, list) else [rest])))
    # the last of two axes is axis 1 as well as axis -1
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ALONG_AN_AXIS:
        for value in [*node.args, *(k.value for k in node.keywords)]:
            for v in [value, *getattr(value, "elts", ())]: v.is_axis = True
    if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "shape":
        node.slice.is_axis = True
    yield node
    yield from each(*ast.iter_child_nodes(node))


def guards(function):
    "Names that a function computes for its error messages, conditions and reports alone."
    inside = ast.Module(function.body, [])
    given = set().union(*(targets(n) for n in ast.walk(inside) if isinstance(n, ast.Assign)))
    unused = set()
    while True:
        alive = [n for n in parts(inside, unused) if isinstance(n, ast.Name)]
        now = given - {n.id for n in alive if isinstance(n.ctx, ast.Load)}
        if now == unused: return unused
        unused = now


def named(tree, before="", top=True):
    "Pairs of a function's or a constant's name and the parts of it that are equations."
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from named(node, f"{before}{node.name}.", False)
        elif isinstance(node, ast.FunctionDef):
            owners = [a.annotation for a in node.args.args[:1] if a.arg == "self" and a.annotation]
            name = before + "".join(f"{ast.unparse(o)}." for o in owners) + node.name       # @patch
            if not is_plumbing(node):
                unused = guards(node)
                yield name, [p for n in node.body for p in parts(n, unused)]
        else:
            names = [ast.unparse(t) for t in getattr(node, "targets", ())]
            yield before + ", ".join(names), list(parts(node, in_class=not top))


# What is changed -------------------------------------------------------------------------

OPERATORS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
             ast.Pow: ("**", "*"), ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "//"),
             ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&")}
COMPARISONS = {ast.Lt: ("<", ">="), ast.LtE: ("<=", ">"), ast.Gt: (">", "<="),
               ast.GtE: (">=", "<"), ast.Eq: ("==", "!="), ast.NotEq: ("!=", "==")}
DROPPED = set("""sqrt rsqrt exp log square abs log1p expm1 log2 exp2 sin cos tan sinh cosh tanh
                 atan sigmoid logit logsigmoid softplus log_ndtr reciprocal round floor ceil
                 cumsum cumprod neg erf""".split())
WITH_BOUNDS = {"clamp", "clamp_", "clip"}
TWINS = {"sum": "mean", "mean": "sum", "min": "max", "max": "min", "argmin": "argmax",
         "argmax": "argmin", "minimum": "maximum", "maximum": "minimum", "std": "var",
         "var": "std", "amin": "amax", "amax": "amin", "cummax": "cummin", "cummin": "cummax"}
TWIN_PROPERTIES = {"stddev": "variance", "variance": "stddev"}
OWN = {"self", "d"} # whose `variance` is a choice by name
LIBRARIES = {"torch", "math", "F", "np", "numpy"}
SWAPPED = {"kl_divergence": (0, 1), "where": (1, 2), "atan2": (0, 1), "q_posterior": (0, 1),
           "lerp": (0, 1)}


class Text:
    "A cell's source in bytes, as `ast` counts them, without comments."
    def __init__(self, source):
        lines = source.splitlines(keepends=True)
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                i, left = token.start[0]-1, token.start[1]
                blank = " "*len(token.string.encode())
                lines[i] = lines[i][:left] + blank + lines[i][left+len(token.string):]
        rows = [line.encode() for line in lines]
        self.starts = [sum(map(len, rows[:i])) for i in range(len(rows))]
        self.bytes = b"".join(rows)

    def start(self, node): return self.starts[node.lineno-1] + node.col_offset
    def end(self, node): return self.starts[node.end_lineno-1] + node.end_col_offset
    def of(self, node): return self.bytes[self.start(node):self.end(node)]
    def find(self, word, low, high): return self.bytes.index(word.encode(), low, high)


def is_number(node): return (isinstance(node, ast.Constant) and type(node.value) in (int, float))


def is_text(node): return isinstance(node, ast.JoinedStr) or (
    isinstance(node, ast.Constant) and isinstance(node.value, str))


def changed_number(v):
    "Another number of the same kind, or None where it only keeps a division from failing."
    if 0 < abs(v) < TINY: return None
    return repr(v+1 if isinstance(v, int) else 2*v if v else 1.)


def operator_edits(node, text):
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        if is_text(node.left) or is_text(node.right): return
        old, new = OPERATORS[type(node.op)]
        at = text.find(old, text.end(node.left), text.start(node.right))
        yield at, at+len(old), new.encode()
        if isinstance(node.op, (ast.Add, ast.Sub)) and is_number(node.right):        # t-1 -> t
            yield text.start(node), text.end(node), text.bytes[text.start(node):at].rstrip()
    if isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
        old, new = OPERATORS[type(node.op)]
        at = text.find(old, text.end(node.target), text.start(node.value))
        yield at, at+len(old), new.encode()
    if isinstance(node, ast.Compare):
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators):
            if type(op) in COMPARISONS:
                old, new = COMPARISONS[type(op)]
                at = text.find(old, text.end(left), text.start(right))
                yield at, at+len(old), new.encode()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
        if not hasattr(node, "is_axis"): yield text.start(node), text.start(node)+1, b""


def number_edits(node, text):
    if is_number(node) and (new := changed_number(node.value)) is not None:
        yield text.start(node), text.end(node), new.encode()


def slice_edits(node, text):
    if not isinstance(node, ast.Slice): return
    low, high = text.start(node), text.end(node)
    colon = text.find(":", text.end(node.lower) if node.lower else low, high)
    if node.lower: yield low, colon, b""
    if node.step: high = text.find(":", text.end(node.upper) if node.upper else colon+1, high)
    if node.upper: yield colon+1, high, b""


def call_edits(node, text):
    if isinstance(node, ast.Attribute) and node.attr in TWIN_PROPERTIES:
        twin = TWIN_PROPERTIES[node.attr].encode()
        if getattr(node.value, "id", "") not in OWN:
            yield text.end(node)-len(node.attr), text.end(node), twin
    if not isinstance(node, ast.Call): return
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    begin, end = text.end(node.func)-len(name), text.end(node.func)
    has_dot = isinstance(node.func, ast.Attribute)
    is_method = has_dot and getattr(node.func.value, "id", "") not in LIBRARIES
    values = [*node.args, *(k.value for k in node.keywords)]
    if name in TWINS and (has_dot or name in ("min", "max")):
        yield begin, end, TWINS[name].encode()
    receiver = text.bytes[text.start(node):begin].rstrip().removesuffix(b".").rstrip()
    if is_method and name in DROPPED and len(values) <= name.startswith("cum"):
        yield text.start(node), text.end(node), receiver
    bounds = [v.value for v in values if is_number(v)]
    guard = bounds and len(bounds) == len(values) and all(0 < abs(b) < TINY for b in bounds)
    if is_method and name in WITH_BOUNDS and not guard:
        yield text.start(node), text.end(node), receiver
    if not is_method and name in DROPPED and len(values) == 1 and node.args:
        inner, (arg,) = text.of(node.args[0]), node.args
        simple = isinstance(arg, (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant))
        yield text.start(node), text.end(node), inner if simple else b"(" + inner + b")"
    if name in SWAPPED and len(node.args) > max(SWAPPED[name]):
        a, b = (node.args[i] for i in SWAPPED[name])
        if not isinstance(a, ast.Starred) and not isinstance(b, ast.Starred):
            between = text.bytes[text.end(a):text.start(b)]
            yield text.start(a), text.end(b), text.of(b) + between + text.of(a)


class Mutant(NamedTuple):
    cell: int # its number in the notebook
    line: int # in the cell, from 1
    function: str
    before: str
    after: str
    nth: int # 1, or more where a function holds the same line again
    source: str # of the changed cell

    @property
    def key(self): return self.function, self.before, self.after, self.nth

    def __str__(self): return f"{self.function}, line {self.line}: {self.before}  ->  {self.after}"


def one_line(piece): return " ".join(piece.decode().split())


def cell_mutants(cell):
    "All mutants of one exported cell."
    tree, text = ast.parse(cell.source), Text(cell.source)
    found = {}
    for function, nodes in named(tree):
        for node in nodes:
            for edits in (operator_edits, number_edits, slice_edits, call_edits):
                for low, high, new in edits(node, text): found[low, high, new] = function
    same, seen = {ast.dump(tree)}, Counter()
    for (low, high, new), function in sorted(found.items()):
        changed = text.bytes[:low] + new + text.bytes[high:]
        try: dump = ast.dump(ast.parse(changed))
        except SyntaxError: continue
        if dump in same: continue
        same.add(dump)
        begin = text.bytes.rfind(b"\n", 0, low) + 1
        end = text.bytes.find(b"\n", high)
        end = len(text.bytes) if end < 0 else end
        before = one_line(text.bytes[begin:end])
        after = one_line(text.bytes[begin:low] + new + text.bytes[high:end])
        seen[function, before, after] += 1
        line = text.bytes.count(b"\n", 0, low) + 1
        yield Mutant(cell.number, line, function, before, after, seen[function, before, after],
                     changed.decode())


def all_mutants(cells): return [m for c in cells if c.exported for m in cell_mutants(c)]


def drawn(mutants, n, seed):
    "n of them; a change of one function leaves the draws among the others as they are."
    luck = lambda m: hashlib.sha256(repr((seed, m.key)).encode()).digest()
    return sorted(sorted(mutants, key=luck)[:n], key=mutants.index)


# How they are tried ----------------------------------------------------------------------

class Fate(NamedTuple):
    died: bool
    how: str # "cell 24: AssertionError", "time", "signal 11", or "lived"


class Screen:
    "What `display` gives where nothing can be seen."
    def __init__(self, *shown, **options): pass
    def update(self, *shown, **options): pass


def prepare(root):
    "Make this process, which must be a fresh one, a place where notebooks run and fork."
    os.chdir(root/"nbs")
    sys.path.insert(0, str(root))
    import IPython.display
    import matplotlib
    import torch
    torch.set_num_threads(1)
    matplotlib.use("agg")
    IPython.display.display = Screen
    main = types.ModuleType("__main__")
    main.display, main.get_ipython = Screen, lambda: None
    sys.modules["__main__"] = main
    return main.__dict__


def execute(source, number, space):
    "Run one cell."
    import matplotlib.pyplot as plt
    name = f"<cell {number}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    try: exec(compile(source, name, "exec", dont_inherit=True), space)
    finally: plt.close("all")


def first_failure(cells, space, clock=None):
    "Run cells; say which fails first and how, or return None. `clock` gets the seconds of each."
    for cell in cells:
        begin = time.process_time()
        try: execute(cell.source, cell.number, space)
        except BaseException as e:
            return f"cell {cell.number}: {' '.join(f'{type(e).__name__}: {e}'.split())[:200]}"
        if clock is not None: clock[cell.number] = time.process_time() - begin


def bounded(seconds):
    "Let this process take so many seconds of a CPU, and 8 GiB more than it has."
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds)+1, int(seconds)+5))
    try: pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError: return
    most = pages*resource.getpagesize() + 8*2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Child:
    "A forked process that calls a function and sends back the dict that it returned."
    def __init__(self, function, seconds=None):
        for stream in (sys.stdout, sys.stderr): stream.flush()
        self.pipe, write = os.pipe()
        self.until = None if seconds is None else time.monotonic() + 10*seconds + 60
        self.pid = os.fork()
        if self.pid: os.close(write)
        else: self.live(function, write, seconds)

    def live(self, function, write, seconds):
        "What the child does."
        try:
            os.setsid()
            os.close(self.pipe)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
            nowhere = os.open(os.devnull, os.O_RDWR)
            for i in range(3): os.dup2(nowhere, i)
            if seconds is not None: bounded(seconds)
            try: answer = function()
            except BaseException as e: answer = {"failed": repr(e)}
            with os.fdopen(write, "w") as out: json.dump(answer, out)
        finally: os._exit(0)

    def kill(self):
        "End it, and what it may have started."
        try: os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError): pass

    def answer(self):
        "Wait for the end: what came back, or the signal that it died from."
        try:
            with os.fdopen(self.pipe) as read: text = read.read()
            status = os.waitpid(self.pid, 0)[1]
        except BaseException:
            os.kill(self.pid, signal.SIGTERM)
            raise
        return json.loads(text) if text else {"signal": os.WTERMSIG(status)}

    def ended(self):
        "The answer, where there is one by now."
        done = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if not done and time.monotonic() < self.until: return
        self.kill()
        return self.answer()


def fate(answer):
    if "signal" in answer:
        late = answer["signal"] in (signal.SIGXCPU, signal.SIGKILL)
        return Fate(True, "time" if late else f"signal {answer['signal']}")
    return Fate(bool(answer["failed"]), answer["failed"] or "lived")


class Trials:
    "Mutants that run side by side, and what became of those that ended."
    def __init__(self, jobs, report):
        self.jobs, self.report, self.running = jobs, report, []

    def start(self, mutant, rest, space, seconds):
        "Run a changed cell and the cells after it in a process of their own."
        self.wait(self.jobs-1)
        cells = [Cell(mutant.cell, mutant.source, True), *rest]
        child = Child(lambda: {"failed": first_failure(cells, space)}, seconds=seconds)
        self.running.append((mutant, child))

    def wait(self, most=0):
        "Until no more than `most` run."
        while len(self.running) > most:
            for mutant, child in list(self.running):
                if answer := child.ended():
                    self.running.remove((mutant, child))
                    self.report(mutant, fate(answer))
            if len(self.running) > most: time.sleep(0.02)

    def stop(self):
        for _, child in self.running: child.kill()


def normal_seconds(root, cells):
    "Seconds of a CPU that each cell takes unchanged, and what fails, which nothing should."
    def run():
        clock = {}
        return {"failed": first_failure(cells, prepare(root), clock), "clock": list(clock.items())}
    return Child(run).answer()


def try_all(root, cells, mutants, jobs, report, seconds=None):
    "In a fresh process: run the notebook, and each mutant from its cell on. What fails, if any."
    normal = {}
    if seconds is None:
        answer = normal_seconds(root, cells)
        failed = answer.get("failed", f"signal {answer.get('signal')}")
        if failed: return failed
        normal = dict(answer["clock"])
    space, trials = prepare(root), Trials(jobs, report)
    try:
        for i, cell in enumerate(cells):
            here = [m for m in mutants if m.cell == cell.number]
            rest = sum(normal.get(c.number, 0) for c in cells[i:])
            for m in here: trials.start(m, cells[i+1:], space, seconds or 3*rest + 30)
            if cell.number == max(m.cell for m in mutants): break
            if failed := first_failure([cell], space): return failed
        trials.wait()
    finally: trials.stop()


def fates(root, cells, mutants, jobs, seconds=None):
    "What became of each mutant, in their order."
    if not mutants: return []
    began, ended, screen = time.monotonic(), {}, os.fdopen(os.dup(1), "w")
    def say(text): print(f"    {text}", file=screen, flush=True)
    def report(m, f):
        ended[m.key] = f
        if not f.died: say(f"lived: {m}")
        if len(ended) % 10 == 0 or len(ended) == len(mutants):
            died = sum(f.died for f in ended.values())
            say(f"{time.monotonic()-began:5.0f} s: {died} of {len(ended)} died")
    def run():
        failed = try_all(root, cells, mutants, jobs, report, seconds)
        return {"failed": failed, "ended": [list(ended.get(m.key, ())) for m in mutants]}
    answer = Child(run).answer()
    screen.close()
    failed = answer.get("failed", f"signal {answer.get('signal')}")
    if failed: raise RuntimeError(f"it fails unchanged, {failed}")
    return [Fate(*e) for e in answer["ended"]]


# What is stored --------------------------------------------------------------------------

def read(root):
    "The stored scores by chapter."
    path = root/STORE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(root, stored):
    "Store scores, a line for each mutant that lived."
    def chapter(c):
        line = lambda m: "  " + json.dumps(m, ensure_ascii=False)
        rows = ",\n".join(map(line, c["survivors"]))
        head = json.dumps({k: v for k, v in c.items() if k != "survivors"})[:-1]
        return f'{head}, "survivors": [' + (f"\n{rows}\n ]}}" if rows else "]}")
    text = ",\n".join(f" {json.dumps(k)}: {chapter(stored[k])}" for k in sorted(stored))
    (root/STORE).parent.mkdir(exist_ok=True)
    (root/STORE).write_text(f"{{\n{text}\n}}\n", encoding="utf-8", newline="\n")


def key_of(entry): return entry["function"], entry["before"], entry["after"], entry.get("nth", 1)


def reasons(chapter):
    "Why mutants that are known to compute the same do not count, by key."
    return {key_of(e): e["reason"] for e in chapter.get("survivors", ()) if e.get("reason")}


def entry(m, reason=None):
    "A mutant that lived, as it is stored."
    parts = {"function": m.function, "line": m.line, "before": m.before, "after": m.after}
    if m.nth > 1: parts["nth"] = m.nth
    return parts | ({"reason": reason} if reason else {})


def counted(mutants, chapter, n, seed):
    "The n that a seed draws from those that count."
    known = reasons(chapter)
    return drawn([m for m in mutants if m.key not in known], n, seed)


def survivors(mutants, chapter):
    "The stored survivors without a reason; None stands for one that is no longer there."
    now = {m.key: m for m in mutants}
    return [now.get(key_of(e)) for e in chapter.get("survivors", ()) if not e.get("reason")]


def scored(root, path, n, seed, jobs):
    "Try n mutants of a chapter and store what lived; the row of the table."
    began, stored = time.monotonic(), read(root)
    old, cells = stored.get(path.stem, {}), code_cells(path)
    mutants, known = all_mutants(cells), reasons(old)
    if not mutants: return stored.pop(path.stem, None) and write(root, stored)
    chosen, excused = counted(mutants, old, n, seed), [m for m in mutants if m.key in known]
    tried = sorted(chosen + excused, key=mutants.index)
    result = dict(zip((m.key for m in tried), fates(root, cells, tried, jobs)))
    for m in excused:
        if result[m.key].died: print(f"    has a reason to live, and died: {m}")
    lived = [entry(m, known.get(m.key)) for m in tried if not result[m.key].died]
    died = sum(result[m.key].died for m in chosen)
    late = sum(result[m.key].how == "time" for m in chosen)
    score = round(died/len(chosen), 4) if chosen else 1.
    stored = read(root)
    stored[path.stem] = {"score": score, "died": died, "tried": len(chosen), "seed": seed,
                         "survivors": lived}
    write(root, stored)
    return len(mutants), len(chosen), died, late, score, time.monotonic() - began


def those_that_lived(root, path):
    "The stored survivors of a chapter, to see whether a new law kills them."
    return [m for m in survivors(all_mutants(code_cells(path)), read(root).get(path.stem, {})) if m]


def some_that_died(root, path, n, seed):
    "A few of the mutants that died when the score was stored, or that would be tried now."
    chapter, mutants = read(root).get(path.stem, {}), all_mutants(code_cells(path))
    lived = survivors(mutants, chapter)
    # a survivor that was given its reason since does not make room for one never tried
    tried = chapter["died"] + len(lived) if chapter else 60
    pool = counted(mutants, chapter, tried, chapter.get("seed", 0))
    return drawn([m for m in pool if m not in lived], n, seed)


# The command -----------------------------------------------------------------------------

def arguments():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("chapters", nargs="*", help="beginnings of file names; default: all")
    parser.add_argument("--n", type=int, default=60, help="mutants of each chapter (60)")
    parser.add_argument("--seed", type=int, default=0, help="which ones are drawn (0)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that run side by side (2)")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project (this one)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="print all mutants and try none")
    only.add_argument("--again", action="store_true", help="try stored survivors; store nothing")
    only.add_argument("--some", type=int, metavar="N", help="try N that died; store nothing")
    return parser.parse_args()


def try_only(root, path, mutants, jobs, seconds):
    "Try given mutants and print the fate of each; how many lived."
    lived = 0
    for m, f in zip(mutants, fates(root, code_cells(path), mutants, jobs, seconds)):
        lived += not f.died
        print(f"  {'died ' if f.died else 'LIVED'} {m}  ({f.how})", flush=True)
    return lived


def main():
    args = arguments()
    if not POSSIBLE: sys.exit("mutants needs processes that fork, as on Linux")
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    os.environ |= dict.fromkeys(threads, "1") | {"CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg"}
    root, rows, wrong = args.root.resolve(), {}, []
    for path in chapters(root, args.chapters):
        print(path.stem, flush=True)
        try:
            if args.list:
                for m in all_mutants(code_cells(path)): print(f"  {m}")
            elif args.again or args.some is not None:
                chosen = (those_that_lived(root, path) if args.again
                          else some_that_died(root, path, args.some, args.seed))
                lived = try_only(root, path, chosen, args.jobs, None if args.again else 180)
                if lived: wrong.append(f"{path.stem}: {lived} of {len(chosen)} lived")
            elif row := scored(root, path, args.n, args.seed, args.jobs): rows[path.stem] = row
        except RuntimeError as e: wrong.append(f"{path.stem}: {e}")
    if rows:
        print("\nchapter         there are  tried   died  of time   score  seconds")
        for name, (n, tried, died, late, score, seconds) in rows.items():
            print(f"{name:<16}{n:9}{tried:7}{died:7}{late:9}{score:8.1%}{seconds:9.0f}")
            if score < LEAST: wrong.append(f"{name}: {score:.1%} is less than {LEAST:.0%}")
    sys.stdout.flush()
    if wrong: sys.exit("\n".join(wrong))


if __name__ == "__main__": main()
