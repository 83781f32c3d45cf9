"""The pages under docs/how-to run as they are written, and docs/reference names what the code has."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from statmux.main import INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE
from statmux.recording import TIMINGS_FILE
from statmux.reporting.record import MEASURED_FILE, RUN_FILE, SIMULATED_FILE
from statmux.sweeping.files import RECORD
from statmux.verbs.trace_gen_options import ProcessName
from statmux.verbs.trace_import_options import TraceFormat
from vocabulary.errors import StatmuxError
from vocabulary.formats.deployment_shape import DeploymentShape
from vocabulary.formats.outcomes import COLUMNS as OUTCOME_COLUMNS
from vocabulary.formats.outcomes import LATE, TOKEN_COLUMNS
from vocabulary.formats.trace_table import COLUMNS as TRACE_COLUMNS
from vocabulary.request import Fate

ROOT = Path(__file__).parents[1]
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
REFERENCE = ROOT / "docs" / "reference"
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]*?) -->\n+)?^```sh\n(?P<text>.*?)^```$", re.M | re.S)
# How long searches may take on the pages, and how long here: their words are the claim, not their figures.
QUICKER = (
    (re.compile(r"(--(?:time|bound)-budget) \d+s"), r"\1 0.2s"),
    (re.compile(r"(--seeds) \d+"), r"\1 2"),
    (re.compile(r"^(statmux plan .* --out plan\.yaml.*)$"), r"\1 --time-budget 0.5s"),
)
# What finds the fewest devices must find a good plan first.
AS_WRITTEN = "min_devices"
# Where the status document is made.
STATUS_SOURCES = ("verbs/status.py", "front/front_ends.py")
# Keys of deployments whose every default stands in the reference, with its row.
TOLD = ("serving.health", "serving.drain", "serving.autoscaling", "placement.replan", "models[].on_demand")
TOLD += ("observability.journal", "endpoints.limits", "security.tls")
TOLD_ALONE = ("serving.front_ends", "models[].versions", "models[].split", "models[].split_by")
# Where something is written into the journal: the kind is the first word.
KIND = re.compile(r'(?:\.event|_tell)\("(\w+)"|_unix_clock\(\), "(\w+)"')
# A page that hangs should fail here, not at the end of the whole run.
TIMEOUT_S = 300


def shell_blocks(page: Path) -> list[tuple[str, str | None]]:
    """Every `sh` block with the reason not to run it, if the comment before it gives one."""
    return [(found["text"], found["reason"]) for found in BLOCK.finditer(page.read_text())]


def quicker(text: str) -> str:
    """The block with less to search and to draw."""
    lines = text.splitlines()
    for pattern, instead in QUICKER:
        lines = [line if AS_WRITTEN in line else pattern.sub(instead, line) for line in lines]
    return "\n".join(lines)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `statmux` is the tree that is tested, whatever is installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "statmux"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m statmux.main "$@"\n')
    command.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}


@pytest.mark.pages
@pytest.mark.parametrize("page", HOW_TO, ids=[page.name for page in HOW_TO])
def test_every_shell_block_of_a_how_to_runs_in_order(
    page: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    blocks = shell_blocks(page)
    assert blocks, f"{page.name} shows no command"
    for text, reason in blocks:
        if reason is not None:
            print(f"{page.name}: not run ({' '.join(reason.split())}): {text.splitlines()[0]}")
            continue
        command = ["bash", "-euo", "pipefail", "-c", quicker(text)]
        done = subprocess.run(
            command, cwd=desk, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout}\n{done.stderr}"


def test_every_how_to_runs_a_block_or_says_what_each_would_need() -> None:
    for page in HOW_TO:
        reasons = [reason for _, reason in shell_blocks(page)]
        assert None in reasons or all(reason and reason.startswith("needs ") for reason in reasons), page.name


def test_the_page_on_traces_names_every_format_and_process() -> None:
    text = (ROOT / "docs" / "how-to" / "traces.md").read_text()
    words = [*(one.value for one in TraceFormat), *(one.value for one in ProcessName)]
    assert not [word for word in words if f"`{word}`" not in text]


def test_every_exit_code_is_in_the_reference() -> None:
    text = (REFERENCE / "exit-codes.md").read_text()
    codes = {StatmuxError.exit_code} | {kind.exit_code for kind in StatmuxError.__subclasses__()}
    expected = {0, INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE} | codes
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)} == expected


def test_every_column_and_file_is_in_the_reference() -> None:
    text = (REFERENCE / "files.md").read_text()
    names = [*TRACE_COLUMNS, *OUTCOME_COLUMNS, *TOKEN_COLUMNS, LATE]
    names += [fate.value for fate in Fate if fate is not Fate.SERVED]
    names += [RUN_FILE, MEASURED_FILE, SIMULATED_FILE, TIMINGS_FILE, RECORD]
    assert not [name for name in names if f"`{name}`" not in text]


def test_every_key_of_the_status_document_is_in_the_reference() -> None:
    trees = [ast.parse((ROOT / "controller" / name).read_text()) for name in STATUS_SOURCES]
    mappings = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    keys = {key.value for node in mappings for key in node.keys if isinstance(key, ast.Constant)}
    text = (REFERENCE / "files.md").read_text()
    assert {"fleet", "groups", "num_served"} <= keys
    assert not sorted(key for key in keys if f"`{key}`" not in text)


def defaults_of(shape: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    """Key paths below the shape as the reference writes them, with their defaults."""
    for name, field in shape.model_fields.items():
        inner = shapes_in(field.annotation)
        path = f"{prefix}{name}"
        if path in TOLD_ALONE or not inner:
            yield path, default_words(field.default)
            continue
        is_list = "tuple" in str(field.annotation)
        yield from defaults_of(inner[0], f"{path}{'[]' * is_list}.")


def shapes_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [shape for part in get_args(annotation) for shape in shapes_in(part)]


def default_words(value: object) -> str:
    if value is None:
        return "none"
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:.12g}"
        if isinstance(value, float)
        else str(value)
    )


def test_every_key_of_faults_changes_and_limits_is_in_the_reference_with_its_default() -> None:
    page = (REFERENCE / "deployment-file.md").read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", page, re.M))
    expected = {
        path: words
        for path, words in defaults_of(DeploymentShape, "")
        if path in TOLD_ALONE or path.startswith(tuple(f"{one}." for one in TOLD))
    }
    assert len(expected) > 40, expected
    assert {path: rows.get(path) for path in expected} == expected


def test_every_kind_of_event_of_the_journal_is_in_the_reference() -> None:
    text = (REFERENCE / "control.md").read_text()
    sources = [*(ROOT / "controller").rglob("*.py"), *(ROOT / "statmux").rglob("*.py")]
    kinds = {first or second for path in sources for first, second in KIND.findall(path.read_text())}
    assert {"plan", "group_lost", "open", "journal_put_aside"} <= kinds
    assert not sorted(kind for kind in kinds if f"`{kind}`" not in text)


def test_every_test_that_a_page_names_exists() -> None:
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    pages = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.name, file, name)
        for page in pages
        for file, name in re.findall(r"`((?:[\w/]+/)?test_\w+\.py)?(?:::(test_\w+))?", page.read_text())
        if file or name
    }
    assert len(named) > 20
    missing = [
        told
        for told in sorted(named)
        if not any(
            str(path).endswith(f"/{told[1]}" * bool(told[1])) and f"def {told[2]}" * bool(told[2]) in text
            for path, text in tests.items()
        )
    ]
    assert not missing, missing
