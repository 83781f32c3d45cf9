"""README and tutorials run as they are written: in short here, with their fleets every night."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page_blocks import blocks_of, script_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [README, *TUTORIALS]
NAMES = [page.name for page in PAGES]
# Nothing is measured, less searched and swept: the words are the claim, not the figures.
SHORTER = (
    (re.compile(r"^(statmux plan [^#\n\\]*)"), r"\1 --time-budget 0.5s "),
    (re.compile(r"^(statmux profile [^#\n\\]*)"), r"\1 --estimate "),
    (re.compile(r"devices=\d+\.\.\d+"), "devices=4 --algorithm sr-greedy"),
    (re.compile(r"rate_scale=\S+"), "rate_scale=2"),
    (re.compile(r"--minimize (cost|devices)|--bound"), ""),
)
MAX_TUTORIAL_LINES = 200
# A page that hangs should fail here, not at the end of the whole run.
TIMEOUT_S, NIGHTLY_TIMEOUT_S = 300, 1200


def shorter(script: str) -> str:
    lines = script.splitlines()
    for pattern, instead in SHORTER:
        lines = [pattern.sub(instead, line) for line in lines]
    return "\n".join(lines)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="page-") as path:
        yield Path(path)


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """One in which `statmux` and `python` are those of the tests, whatever is installed."""
    commands = folder / ".bin"
    commands.mkdir()
    for name, words in (("statmux", "-P -m statmux.main "), ("python", "")):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        command.chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}


def run(script: str, folder: Path, environment: dict[str, str], *, timeout_s: float) -> None:
    """In an empty folder. A fleet that the page leaves, when it fails, ends with its shell."""
    desk = folder / "desk"
    desk.mkdir()
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=desk,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.pages
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_runs_in_order_without_a_fleet(
    page: Path, folder: Path, environment: dict[str, str]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    run(shorter(script_of(page, is_nightly=False)), folder, environment, timeout_s=TIMEOUT_S)


@pytest.mark.cluster
@pytest.mark.nightly
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_runs_in_order_with_the_fleets_that_it_starts(
    page: Path, folder: Path, environment: dict[str, str]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    run(script_of(page, is_nightly=True), folder, environment, timeout_s=NIGHTLY_TIMEOUT_S)


@pytest.mark.parametrize("page", TUTORIALS, ids=[page.name for page in TUTORIALS])
def test_a_tutorial_is_short_and_shows_what_comes_out(page: Path) -> None:
    assert 80 <= len(page.read_text().splitlines()) <= MAX_TUTORIAL_LINES
    assert "```text\n" in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_most_blocks_of_a_page_run_at_least_every_night(page: Path) -> None:
    blocks = blocks_of(page)
    never = [block for block in blocks if block.when == "not run"]
    assert len(never) <= len(blocks) / 2, [block.reason for block in never]
