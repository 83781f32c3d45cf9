"""The house rules that a machine can read: floors, purity, no import cycles, sizes and names.

Every test names each offending file, line and rule.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = {
    "statmux": 7, "controller": 6, "workers": 5, "placement": 4, "simulator": 3, "scheduling": 2,
    "resharding": 2, "vocabulary": 1,
}  # fmt: skip
OUTSIDE = {"benchmarks", "deploy", "docs", "tests"}

FRAMEWORKS = {"flax", "jax", "jaxlib", "ray", "torch"}
FRAMEWORK_ROOMS = {"controller", "workers"}
FRAMEWORK_FILES = {"resharding/executor.py"}

PURE_ROOMS = {"scheduling", "vocabulary"}
# The one edge where files are read into the nouns.
IMPURE_FILES = {"vocabulary/formats/disk.py"}
IMPURE_MODULES = {
    "asyncio", "concurrent", "datetime", "fileinput", "glob", "grpc", "http", "io", "logging", "mmap",
    "multiprocessing", "numpy.random", "os", "pathlib", "queue", "random", "requests", "sched", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "structlog",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid", "uvloop", "warnings", "zoneinfo",
}  # fmt: skip
IMPURE_CALLS = {"breakpoint", "input", "open", "print"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70
BANNED_WORDS = {"dst", "handler", "helper", "manager", "src", "util"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file of a room; `path` is relative to the root, with forward slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.path.split("/", 1)[0]

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def at(self, line: int, rule: str) -> str:
        return f"{self.path}:{line}: {rule}"


@dataclass(frozen=True)
class Import:
    """`name` is what is imported, dotted: `from a import b` gives a.b, be it a module or not."""

    line: int
    name: str
    root: str


def parsed(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text, path))


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file of the eight rooms."""
    # Programs that the simulator generates and compiles are kept beside Python's own caches.
    found = (file for room in FLOORS for file in (ROOT / room).rglob("*.py"))
    files = sorted(file for file in found if "__pycache__" not in file.parts)
    return tuple(parsed(file.relative_to(ROOT).as_posix(), file.read_text()) for file in files)


def imports_of(source: Source, nodes: Iterable[ast.AST]) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            origin = imported_module(source, node)
            for alias in node.names:
                yield Import(node.lineno, f"{origin}.{alias.name}", origin.split(".")[0])


def imported_module(source: Source, node: ast.ImportFrom) -> str:
    """`from .x import y` in a.b is a.x; in the package a it is a.x too."""
    if not node.level:
        return node.module or ""
    depth = node.level - source.path.endswith("__init__.py")
    parts = source.module.split(".")
    return ".".join((*parts[: len(parts) - depth], *filter(None, [node.module])))


def all_imports(source: Source) -> Iterator[Import]:
    return imports_of(source, ast.walk(source.tree))


def is_within(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


# The rules. Each yields one line for each violation.


def upward_imports(source: Source) -> Iterator[str]:
    mine = FLOORS[source.room]
    for line, root in sorted({(found.line, found.root) for found in all_imports(source)}):
        floor = FLOORS.get(root, 0)
        if floor > mine:
            yield source.at(line, f"floor {mine} ({source.room}) imports {root} from floor {floor} above")
        elif floor == mine and root != source.room:
            yield source.at(line, f"{source.room} and {root} share floor {mine} and never import each other")
        elif root in OUTSIDE:
            yield source.at(line, f"{source.room} imports {root}, which is no room of the house")


def framework_imports(source: Source) -> Iterator[str]:
    if source.room in FRAMEWORK_ROOMS or source.path in FRAMEWORK_FILES:
        return
    for line, root in sorted({(found.line, found.root) for found in all_imports(source)}):
        if root in FRAMEWORKS:
            yield source.at(line, f"{root} is imported only in workers/, controller/, resharding/executor.py")


def impurities(source: Source) -> Iterator[str]:
    """Clock, file, socket, thread, log, randomness, process: imports and the calls that need none."""
    if source.room not in PURE_ROOMS or source.path in IMPURE_FILES:
        return
    for found in all_imports(source):
        if is_within(found.name, IMPURE_MODULES):
            yield source.at(found.line, f"{source.room} is pure: no {found.name}")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield source.at(node.lineno, f"{source.room} is pure: no {node.func.id}()")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("np.random", "numpy.random"):
            yield source.at(node.lineno, f"{source.room} is pure: no {ast.unparse(node)}")


def long_files(source: Source) -> Iterator[str]:
    num_lines = len(source.text.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield source.at(num_lines, f"a file has at most {MAX_FILE_LINES} lines, this one {num_lines}")


def long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if num_lines > MAX_FUNCTION_LINES:
                rule = f"a function has at most {MAX_FUNCTION_LINES} lines, {node.name} has {num_lines}"
                yield source.at(node.lineno, rule)


def swallowed_exceptions(source: Source) -> Iterator[str]:
    """`except Exception: pass`, also bare, also `...`: the world's fault is acted on or rises."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else "BaseException"
        if caught in ("Exception", "BaseException") and all(is_nothing(line) for line in node.body):
            yield source.at(node.lineno, "an `except Exception` never passes over what it caught")


def is_nothing(statement: ast.stmt) -> bool:
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant or isinstance(statement, ast.Pass | ast.Continue)


def unowned_todos(source: Source) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT and re.search(r"\b(TODO|FIXME|XXX)\b(?!\(\w+\))", token.string):
            yield source.at(token.start[0], "a TODO names its owner: TODO(name)")


def banned_names(source: Source) -> Iterator[str]:
    yield from banned_in(source, 1, source.path.removesuffix(".py").rsplit("/", 1)[-1])
    for node in ast.walk(source.tree):
        if isinstance(node, Function | ast.ClassDef):
            yield from banned_in(source, node.lineno, node.name)


def banned_in(source: Source, line: int, name: str) -> Iterator[str]:
    for word in sorted(set(words_of(name)) & BANNED_WORDS):
        yield source.at(line, f"{name}: `{word}` says nothing; name what it is or does")


def words_of(name: str) -> list[str]:
    """`ioHandlers2` -> io, handler: parts between underscores and capitals, plurals as singulars."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return [part.lower() if len(part) < 4 else part.lower().removesuffix("s") for part in parts]


def import_cycles(files: tuple[Source, ...]) -> list[str]:
    """Cycles between files by what runs when they are imported: no function bodies, no TYPE_CHECKING."""
    by_module = {source.module: source for source in files}
    graph = {source.module: files_imported(source, by_module) - {source.module} for source in files}
    cycles = []
    for module in sorted(graph):
        cycle = shortest_cycle(graph, module)
        if cycle and module == min(cycle):
            cycles.append(by_module[module].at(1, "imports itself: " + " -> ".join((*cycle, module))))
    return cycles


def files_imported(source: Source, by_module: dict[str, Source]) -> set[str]:
    """`from a import b` needs the file a.b where there is one, else a; that a package is loaded before its
    modules closes no circle."""
    names = [found.name for found in imports_of(source, import_time_nodes(source.tree))]
    return {name if name in by_module else name.rpartition(".")[0] for name in names} & by_module.keys()


def import_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        is_typing = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        if not is_typing and not isinstance(child, Function | ast.Lambda):
            yield child
            yield from import_time_nodes(child)


def shortest_cycle(graph: dict[str, set[str]], start: str) -> tuple[str, ...]:
    """Modules from `start` round to it, breadth first; empty when there is no way back."""
    paths, seen = [(start,)], {start}
    for path in paths:
        for module in sorted(graph[path[-1]]):
            if module == start:
                return path
            if module not in seen:
                seen.add(module)
                paths.append((*path, module))
    return ()


def assert_none(violations: Iterable[str]) -> None:
    found = list(violations)
    assert not found, f"{len(found)} violations\n" + "\n".join(found)


def broken_by(rule, path: str, text: str) -> list[str]:
    return list(rule(parsed(path, text)))


# The house.


def test_every_room_is_there() -> None:
    assert {source.room for source in sources()} >= {"scheduling", "simulator", "vocabulary", "workers"}
    assert set(FLOORS) <= {folder.name for folder in ROOT.iterdir() if folder.is_dir()}


def test_imports_point_down() -> None:
    assert_none(line for source in sources() for line in upward_imports(source))


def test_jax_and_ray_stay_on_their_floors() -> None:
    assert_none(line for source in sources() for line in framework_imports(source))


def test_vocabulary_and_scheduling_are_pure() -> None:
    assert_none(line for source in sources() for line in impurities(source))


def test_no_file_imports_itself_in_a_circle() -> None:
    assert_none(import_cycles(sources()))


def test_files_fit() -> None:
    assert_none(line for source in sources() for line in long_files(source))


def test_functions_fit_on_a_screen() -> None:
    assert_none(line for source in sources() for line in long_functions(source))


def test_nothing_caught_is_passed_over() -> None:
    assert_none(line for source in sources() for line in swallowed_exceptions(source))


def test_every_todo_has_an_owner() -> None:
    assert_none(line for source in sources() for line in unowned_todos(source))


def test_names_say_what_things_are() -> None:
    assert_none(line for source in sources() for line in banned_names(source))


# The rules themselves.


def test_an_import_from_above_is_named_with_file_and_line() -> None:
    text = "import math\ndef f():\n    from controller.server import FleetServer\n"
    assert broken_by(upward_imports, "workers/x.py", text) == [
        "workers/x.py:3: floor 5 (workers) imports controller from floor 6 above"
    ]


def test_rooms_of_one_floor_do_not_import_each_other() -> None:
    assert broken_by(upward_imports, "scheduling/x.py", "import resharding.plan")
    assert broken_by(upward_imports, "resharding/x.py", "from scheduling import pipeline")
    assert not broken_by(upward_imports, "resharding/x.py", "from resharding import plan\nimport vocabulary")


def test_no_room_imports_the_tests() -> None:
    assert broken_by(upward_imports, "statmux/x.py", "from tests.virtual_loop import VirtualLoop")


def test_the_executor_alone_of_its_room_imports_jax() -> None:
    assert not broken_by(framework_imports, "resharding/executor.py", "import jax.numpy as jnp")
    assert broken_by(framework_imports, "resharding/plan.py", "import jax.numpy as jnp")
    assert broken_by(framework_imports, "statmux/main.py", "def run():\n    import ray\n")


def test_a_pure_room_has_no_clock_file_or_chance() -> None:
    for text in ("import time", "from os import path", "from numpy.random import default_rng", "import sys"):
        assert broken_by(impurities, "scheduling/x.py", text), text
    for text in ("open('x')", "print(1)", "x = np.random.default_rng(1)", "from numpy import random"):
        assert broken_by(impurities, "vocabulary/x.py", text), text
    assert not broken_by(impurities, "scheduling/x.py", "import heapq, numpy\nself.open()")
    assert not broken_by(impurities, "vocabulary/formats/disk.py", "from pathlib import Path\nopen('x')")
    assert not broken_by(impurities, "simulator/x.py", "import time")


def test_a_cycle_of_files_is_spelled_out() -> None:
    one = parsed("workers/a.py", "from workers import b")
    two = parsed("workers/b.py", "from .c import C")
    three = parsed("workers/c/__init__.py", "from workers.a import A")
    assert import_cycles((one, two, three)) == [
        "workers/a.py:1: imports itself: workers.a -> workers.b -> workers.c -> workers.a"
    ]
    lazy = parsed(
        "workers/c/__init__.py", "if TYPE_CHECKING:\n    import workers.a\ndef f():\n    import workers.a"
    )
    assert import_cycles((one, two, lazy)) == []


def test_a_module_may_import_a_sibling_from_its_package() -> None:
    package = parsed("workers/__init__.py", "from workers import a, b")
    one, two = parsed("workers/a.py", "from workers import b"), parsed("workers/b.py", "")
    assert import_cycles((package, one, two)) == []
    assert import_cycles((package, one, parsed("workers/b.py", "from workers import anything")))


def test_long_files_and_functions_are_found() -> None:
    assert broken_by(long_files, "workers/x.py", "\n" * 401)
    assert not broken_by(long_files, "workers/x.py", "\n" * 400)
    assert broken_by(long_functions, "workers/x.py", "def f():\n" + "    1\n" * 70)
    assert not broken_by(long_functions, "workers/x.py", "def f():\n" + "    1\n" * 69)


def test_an_exception_that_is_acted_on_may_be_caught() -> None:
    swallow = "try:\n    f()\nexcept {}:\n    {}\n"
    assert broken_by(swallowed_exceptions, "workers/x.py", swallow.format("Exception", "pass"))
    assert broken_by(swallowed_exceptions, "workers/x.py", swallow.format("BaseException", "..."))
    assert not broken_by(swallowed_exceptions, "workers/x.py", swallow.format("Exception", "log.error('x')"))
    assert not broken_by(swallowed_exceptions, "workers/x.py", swallow.format("KeyError", "pass"))


def test_a_todo_in_a_comment_needs_a_name_behind_it() -> None:
    assert broken_by(unowned_todos, "workers/x.py", "x = 1  # TODO: later\n")
    assert not broken_by(unowned_todos, "workers/x.py", "x = 'TODO'  # TODO(ann): later\n")


def test_banned_words_are_found_as_whole_words_only() -> None:
    for text in ("class IOHandler: ...", "def src_of(): ...", "class CacheManagers: ...", "def utils(): ..."):
        assert broken_by(banned_names, "workers/x.py", text), text
    for text in ("class Srcset: ...", "def utilization(): ...", "def manage(): ...", "dst = 1"):
        assert not broken_by(banned_names, "workers/x.py", text), text
    assert broken_by(banned_names, "workers/util.py", "")
