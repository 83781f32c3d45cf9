"""Which lines and branches the tests reach, by room.

    make coverage                                          # all but the nightly ones
    make coverage PYTEST_ARGS='tests/scheduling'           # what these alone reach

Compiled functions and what runs in processes of Ray are not seen: of workers/ and controller/on_ray more is
reached than is said here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import Table, markdown, table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "coverage"
ROOMS = (
    "vocabulary",
    "scheduling",
    "resharding",
    "simulator",
    "placement",
    "workers",
    "controller",
    "statmux",
)


def by_room(files: Mapping[str, Mapping[str, Any]]) -> Table:
    """files: of `coverage json`, path -> its document. Rooms that no file is of are left out."""
    rooms: dict[str, Counter[str]] = {room: Counter() for room in ROOMS}
    for path, document in files.items():
        room = path.split("/", 1)[0]
        if room in rooms:
            rooms[room].update(
                {key: int(value) for key, value in document["summary"].items() if key in _COUNTS}
            )
    found = [(room, counts) for room, counts in rooms.items() if counts["num_statements"]]
    total = sum((counts for _, counts in found), Counter[str]())
    rows = [_row(name, counts) for name, counts in [*found, ("all", total)]]
    return table(("room", "lines", "reached", "branches", "taken"), rows)


_COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def _row(name: str, counts: Counter[str]) -> tuple[str, ...]:
    lines, reached, branches, taken = (counts[key] for key in _COUNTS)
    return (name, f"{lines}", _share(reached, lines), f"{branches}", _share(taken, branches))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else ""


def main(arguments: Sequence[str]) -> int:
    """The exit code of pytest."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"COVERAGE_FILE": str(FOLDER / "data")}
    _run(environment, "coverage", "erase")
    passes = (
        ("-n", "logical", "--maxprocesses", "4", "-m", "not cluster"),
        ("-m", "cluster and not nightly"),
    )
    codes = [
        _run(
            environment,
            "pytest",
            "--cov",
            "--cov-config=.coveragerc",
            "--cov-append",
            "--cov-report=",
            *words,
            *arguments,
        )
        for words in passes
    ]
    document = FOLDER / "coverage.json"
    _run(environment, "coverage", "json", "-q", "-o", str(document))
    print(markdown(by_room(json.loads(document.read_text())["files"])))
    # 5: none of those that the arguments select.
    return next((code for code in codes if code not in (0, 5)), 0)


def _run(environment: Mapping[str, str], *words: str) -> int:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
