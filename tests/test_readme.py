"""What README and docs/ say, a machine can check: links, commands, flags, files, figures, the picture."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from controller.metric_families import catalogue
from statmux.main import INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE, VERBS
from vocabulary.errors import StatmuxError
from vocabulary.formats.disk import load_deployment

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGE_NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
PICTURE = ROOT / "docs" / "pictures" / "multiplexing.svg"
MAX_README_LINES = 250
SHELLS = ("bash", "console", "sh")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command: lines of shell blocks, and code within sentences."""
    text = FENCE.sub("", page.read_text())
    lines = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    for block in blocks(page, *SHELLS):
        lines += block.replace("\\\n", " ").splitlines()
    for line in lines:
        for part in re.split(r"&&|[;|&]", line):
            words = words_of(part.removeprefix("time "))
            if words:
                yield words


def words_of(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # no shell: a piece of prose or Python
        return []


@cache
def help_of(verb: str) -> str:
    command = [sys.executable, "-m", "statmux.main", *verb.split(), "--help"]
    environment = os.environ | {"COLUMNS": "300"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, (verb, done.stderr)
    return done.stdout


def verb_of(words: list[str]) -> str:
    """`trace gen` for `statmux trace gen FILE`."""
    has_second = words[1] == "trace" and len(words) > 2 and words[2].isalpha()
    return " ".join(words[1 : 3 if has_second else 2])


def flags_of(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def unknown_flags(flags: list[str], known: str) -> list[str]:
    return [flag for flag in flags if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", known)]


def anchors(page: Path) -> set[str]:
    """What headings are called in links to them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def imported_names(text: str) -> Iterator[str]:
    """Dotted: `from a import b` gives a.b."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from (prefix + alias.name for alias in node.names)


def exists_in(module: str, name: str) -> bool:
    return hasattr(import_module(module), name) or find_spec(f"{module}.{name}") is not None


@cache
def picture_script() -> dict[str, object]:
    return runpy.run_path(str(PICTURE.with_suffix(".py")))


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert not broken, broken


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_command_exists_with_its_flags(page: Path) -> None:
    wrong = []
    for words in commands(page):
        if words[0] != "statmux" or len(words) < 2 or words[1].startswith(("-", "<", "/")):
            continue
        verb = verb_of(words)
        if verb.split()[0] not in VERBS:
            wrong.append(f"no verb: {' '.join(words)}")
        elif unknown := unknown_flags(flags_of(words), help_of(verb)):
            wrong.append(f"{' '.join(words)}: {verb} has no {', '.join(unknown)}")
    assert not wrong, wrong


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_benchmark_exists_with_its_flags(page: Path) -> None:
    for words in commands(page):
        if words[:2] == ["python", "-m"] and words[2].startswith(("benchmarks.", "tests.")):
            module = ROOT / words[2].replace(".", "/")
            script = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
            assert script.exists(), words
            assert not unknown_flags(flags_of(words[3:]), script.read_text()), words


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for words in commands(page):
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word]
            assert set(named) <= targets, words


def test_the_deployments_in_the_readme_are_valid(tmp_path: Path) -> None:
    texts = [text for text in blocks(README, "yaml") if "models:\n" in text]
    assert len(texts) == 1, texts
    for text in texts:
        path = tmp_path / "deployment.yaml"
        path.write_text(text)
        assert load_deployment(path, needs_profiles=False).accepted_only == ()


def test_the_python_in_the_readme_compiles_and_imports_what_exists() -> None:
    texts = blocks(README, "python")
    assert len(texts) == 3
    for name in (name for text in texts for name in imported_names(text)):
        module, _, last = name.rpartition(".")
        assert find_spec(name) if not module else exists_in(module, last), name


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "reference").glob("*.md")), ids=lambda page: page.name
)
def test_the_python_in_the_reference_runs(page: Path) -> None:
    for text in blocks(page, "python"):
        exec(compile(text, page.name, "exec"), {})


def test_the_metrics_in_the_readme_exist() -> None:
    names = {family.name for family in catalogue()}
    named = set(re.findall(r"`(statmux_\w+)`", README.read_text()))
    assert named and named <= names, named - names


def test_every_exit_code_is_in_the_readme() -> None:
    codes = {StatmuxError.exit_code} | {kind.exit_code for kind in StatmuxError.__subclasses__()}
    expected = {0, INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE} | codes
    assert {int(code) for code in re.findall(r"\*\*(\d+)\*\*", README.read_text())} == expected


def test_the_picture_is_what_its_script_draws() -> None:
    assert PICTURE.read_text() == picture_script()["picture"](), "run python docs/pictures/multiplexing.py"


def test_the_figures_of_the_idea_are_the_scripts() -> None:
    text = " ".join(README.read_text().split())
    figures = picture_script()["attainments"]
    apart, shared = figures(rate_rps=1.5, cv=3.0)
    assert f"{apart:.1%} of requests are in time apart and {shared:.1%} shared" in text
    apart, shared = figures(rate_rps=1.5, cv=1.0)
    assert apart == shared and f"(CV 1) both attain {apart:.1%}" in text
    apart, shared = figures(rate_rps=6.0, cv=1.0)
    assert f"{apart:.1%} apart, {shared:.1%} shared" in text
