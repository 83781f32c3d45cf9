"""Nothing from outside is run: no pickle, eval, exec, yaml.load or shell, but where it is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_floors import Source, assert_none, parsed, sources

# Modules that run, or may run, what they read.
MODULES = frozenset(
    {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "code", "codeop", "runpy"}
)
CALLS = frozenset({"eval", "exec", "compile", "__import__"})
# Attributes by the end of their dotted name.
ATTRIBUTES = frozenset(
    {
        "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "torch.load", "joblib.load",
        "os.system", "os.popen", "loader.exec_module",
        "jinja2.Environment", "jinja2.Template",
    }
)  # fmt: skip
ARGUMENTS = frozenset({"trust_remote_code", "allow_pickle", "shell"})
_PYTHON_MODELS = "python:// models, which a deployment must allow (security.allow_python_models)"
_OWN_MODULES = "verbs of ours, by names in our own source"
_PROGRAMS = "programs that the simulator writes from its own templates, kept in numba's cache of the user"
# Where it is meant to be, and why nobody outside decides what is run.
ALLOWED = {
    ("workers/python_source.py", "importlib.import_module"): _PYTHON_MODELS,
    ("workers/python_source.py", "loader.exec_module"): _PYTHON_MODELS,
    ("statmux/main.py", "importlib.import_module"): _OWN_MODULES,
    ("simulator/fast_programs.py", "exec"): _PROGRAMS,
    ("simulator/fast_programs.py", "compile"): _PROGRAMS,
    ("simulator/fast_programs.py", "loader.exec_module"): _PROGRAMS,
    ("statmux/reporting/layout.py", "jinja2.Environment"): "our own template, and everything in it escaped",
}


def code_from_elsewhere(source: Source) -> Iterator[str]:
    """One line for each use that `ALLOWED` does not name."""
    for node in ast.walk(source.tree):
        for what in _uses(node):
            if (source.path, what) not in ALLOWED:
                yield source.at(node.lineno, f"{what} may run what it reads")


def _uses(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if module.split(".")[0] in MODULES:
            yield module
        yield from (
            f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in ATTRIBUTES
        )
    elif isinstance(node, ast.Attribute):
        name = f"{_last_name(node.value)}.{node.attr}"
        if name in ATTRIBUTES:
            yield name
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield node.func.id
        is_named = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if _last_name(node.func) == "import_module" and not is_named:
            yield "importlib.import_module"
        yield from (
            word.arg for word in node.keywords if word.arg in ARGUMENTS and _may_be_on(node, word.value)
        )


def _last_name(node: ast.expr) -> str:
    """Of `a.b.c`: c."""
    return getattr(node, "attr", None) or getattr(node, "id", "")


def _may_be_on(call: ast.Call, value: ast.expr) -> bool:
    """A function of ours may have a parameter `shell`, which is a name."""
    is_off = isinstance(value, ast.Constant) and value.value in (False, None)
    is_name = isinstance(value, ast.Name) and value.id == "shell" and "script" in ast.unparse(call.func)
    return not is_off and not is_name


def test_nothing_from_outside_is_run() -> None:
    assert_none(line for source in sources() for line in code_from_elsewhere(source))


def test_every_exception_is_still_needed() -> None:
    used = {
        (source.path, what) for source in sources() for node in ast.walk(source.tree) for what in _uses(node)
    }
    assert set(ALLOWED) <= used


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "eval('1')", "exec(text)", "yaml.load(text)",
        "from yaml import load", "torch.load(path)", "np.load(path, allow_pickle=True)", "os.system('ls')",
        "subprocess.run(command, shell=True)", "from_pretrained(name, trust_remote_code=anything)",
        "jinja2.Environment()", "importlib.import_module(name)",
    ],
)  # fmt: skip
def test_each_way_is_found(text: str) -> None:
    assert list(code_from_elsewhere(parsed("controller/x.py", text)))


@pytest.mark.parametrize(
    "text", ["yaml.safe_load(text)", "np.load(path)", "re.compile('a')", "run(command, shell=False)"]
)
def test_what_only_reads_is_let_be(text: str) -> None:
    assert not list(code_from_elsewhere(parsed("controller/x.py", text)))
