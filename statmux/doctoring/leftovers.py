"""Fleets of this folder, living or dead, and what dead ones have left."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from controller.on_ray.keeper import SOCKET_NAME
from controller.verbs.control import ROOT, is_alive
from statmux.doctoring.finding import Finding, Level

# How `controller.on_ray.home`, which takes a second to import, calls its folders.
PREFIX = "statmux-"
_SHM = Path("/dev/shm")
# What Ray's object store, and earlier ways of ours, call their files there.
_SHARED_NAMES = ("plasma", "statmux")
_KEYS, _JOURNAL, _CONTROL = "keys.json", "journal.db", "control.sock"


def fleet_findings(folder: Path) -> Iterator[Finding]:
    """Of the fleets that were started in the folder."""
    fleets = sorted(path for path in (folder / ROOT).glob("*") if path.is_dir() and path.name != "runs")
    for fleet in fleets:
        yield from _of_fleet(fleet)


def _of_fleet(fleet: Path) -> Iterator[Finding]:
    topic, name = "fleet", fleet.name
    if is_alive(fleet / _CONTROL):
        yield Finding(topic, Level.OK, f"{name} runs")
    elif (fleet / _CONTROL).exists() or (fleet / _KEYS).exists():
        words = f"{name} ended without cleaning up"
        remedy = f"`statmux serve` takes it up again; `statmux stop --fleet {name}` ends what is left of it"
        yield Finding(topic, Level.WARN, words, remedy)
    if (problem := journal_problem(fleet / _JOURNAL)) is not None:
        remedy = f"free the disk; a journal that cannot be read is put aside when {name} starts"
        yield Finding("journal", Level.WARN, f"of {name}: {problem}", remedy)


def journal_problem(path: Path) -> str | None:
    """Why it cannot be read or written; None where it can, or is not there."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=2.0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return str(error)
    return None


def machine_leftovers(temporary: Path | None = None) -> Iterator[Finding]:
    """Folders of Rays whose keeper is gone, and files in /dev/shm, of this user."""
    folders = [one for one in _own(temporary or _temporary(), f"{PREFIX}*") if one.is_dir()]
    dead = [str(one) for one in folders if _has_socket(one) and not _answers(one / SOCKET_NAME)]
    if dead:
        remedy = f"rm -r {' '.join(dead)}"
        yield Finding("leftovers", Level.WARN, f"{len(dead)} folders of a Ray that is gone", remedy)
    shared = [one for name in _SHARED_NAMES for one in _own(_SHM, f"*{name}*")]
    if shared:
        num_bytes = sum(size for one in shared if (size := _size_bytes(one)) is not None)
        words = f"{len(shared)} files in {_SHM}, {num_bytes / 2**20:.1f} MiB"
        remedy = f"if no fleet or Ray runs: rm {' '.join(map(str, shared))}"
        yield Finding("leftovers", Level.WARN, words, remedy)
    if not dead and not shared:
        yield Finding("leftovers", Level.OK, "none of dead fleets")


def _temporary() -> Path:
    """Where Ray's folders are: paths of sockets must be short, and TMPDIR often is not."""
    return Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())


def _own(folder: Path, pattern: str) -> list[Path]:
    """Without what is removed while this looks."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.glob(pattern)) if _owner(path) == os.getuid()]


def _owner(path: Path) -> int | None:
    return None if (found := _stat(path)) is None else found.st_uid


def _size_bytes(path: Path) -> int | None:
    return None if (found := _stat(path)) is None else found.st_size


def _stat(path: Path) -> os.stat_result | None:
    """None: it is gone. Of a link itself: where it leads may be gone."""
    try:
        return path.lstat()
    except OSError:
        return None


def _has_socket(folder: Path) -> bool:
    return (folder / SOCKET_NAME).exists()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
