"""The pages under docs/how-to run as they are written, and docs/reference names what the code has."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.journal import NoJournal
from controller.journal.metrics import JournalMetrics
from controller.metrics import FleetMetrics
from statmux.main import INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE
from statmux.recording import TIMINGS_FILE
from statmux.reporting.record import MEASURED_FILE, RUN_FILE, SIMULATED_FILE
from statmux.sweeping.files import RECORD
from statmux.verbs.trace_gen_options import ProcessName
from statmux.verbs.trace_import_options import TraceFormat
from vocabulary.errors import StatmuxError
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


def test_every_how_to_runs_most_of_its_blocks_or_is_about_a_live_fleet() -> None:
    for page in HOW_TO:
        num_run = sum(reason is None for _, reason in shell_blocks(page))
        assert num_run >= 2, page.name


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
    tree = ast.parse((ROOT / "controller" / "status.py").read_text())
    mappings = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    keys = {key.value for node in mappings for key in node.keys if isinstance(key, ast.Constant)}
    text = (REFERENCE / "files.md").read_text()
    assert {"fleet", "groups", "num_served"} <= keys
    assert not sorted(key for key in keys if f"`{key}`" not in text)


def test_every_metric_is_in_the_reference_with_its_type() -> None:
    metrics = FleetMetrics(["chat"])
    metrics.watch(SimpleNamespace(groups={}))
    metrics.registry.register(JournalMetrics(NoJournal()))
    families = list(metrics.registry.collect())
    expected = {(family.name + "_total" * (family.type == "counter"), family.type) for family in families}
    told = set()
    for names, kind in re.findall(
        r"^\| (`statmux[^|]*) \| (\w+) \|", (REFERENCE / "metrics.md").read_text(), re.M
    ):
        told |= {(name, kind) for name in re.findall(r"`(\w+)`", names)}
    assert told == expected
