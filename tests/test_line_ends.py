from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.line_ends import faults

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("docs/pictures/", "tests/goldens/")


def tracked() -> list[Path]:
    """Without what tests compare byte by byte, and what other programs drew."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("these sources are no checkout of git")
    return [ROOT / name for name in listed.stdout.split("\0") if name and not name.startswith(LEFT_OUT)]


def test_no_file_ends_lines_in_blanks_or_itself_without_a_line_end():
    found = list(faults(tracked()))
    assert not found, "\n".join(found)


def test_every_fault_is_said_with_its_line(tmp_path: Path):
    path = tmp_path / "a.py"
    path.write_text("x = 1 \ny = 2\n\n")
    assert [fault.removeprefix(f"{path}:") for fault in faults([path])] == [
        "1: the line ends in blanks",
        " empty lines at the end of the file",
    ]
    path.write_text("x = 1")
    assert list(faults([path])) == [f"{path}: no line end at the end of the file"]


def test_two_blanks_end_a_line_in_markdown_and_other_bytes_are_passed_over(tmp_path: Path):
    (tmp_path / "a.md").write_text("one  \ntwo\n")
    (tmp_path / "a.bin").write_bytes(b"\xff \n")
    assert list(faults(tmp_path.iterdir())) == []
