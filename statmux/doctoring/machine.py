"""Processors, memory, disk, limits of the operating system, and the clock."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from statmux.doctoring.finding import Finding, Level, judged

_GIB = 2**30
# Ray stops a node whose disk is 95 % full; a journal of a million rows takes some 200 MB.
MIN_DISK_BYTES, GOOD_DISK_BYTES = _GIB // 2, 5 * _GIB
MAX_DISK_SHARE = 0.95
# Ray's own processes take about 1 GiB before any model is loaded.
MIN_MEMORY_BYTES, GOOD_MEMORY_BYTES = _GIB, 4 * _GIB
# Containers have 64 MiB if nothing else is said; Ray keeps its object store there.
MIN_SHARED_BYTES, GOOD_SHARED_BYTES = 128 * 2**20, _GIB
# Two descriptors for each connection, on both sides, and Ray's own.
MIN_FILES, GOOD_FILES = 1024, 4096
# Before this code was written.
EARLIEST_UNIX_S = 1_767_225_600.0  # 2026-01-01
_TIME_ERROR = 5  # of adjtimex(2): the clock is not synchronised
_MEMINFO, _SHM = Path("/proc/meminfo"), Path("/dev/shm")


def machine_findings(folder: Path) -> Iterator[Finding]:
    """Of this machine, and of the disks below the folder and below the folder for temporary files."""
    yield processors(os.cpu_count() or 1)
    if _MEMINFO.exists():
        yield memory(available_bytes(_MEMINFO.read_text()))
    for each in dict.fromkeys((folder.resolve(), Path(tempfile.gettempdir()).resolve())):
        usage = shutil.disk_usage(each)
        yield disk(each, free_bytes=usage.free, total_bytes=usage.total)
    if _SHM.is_dir():
        yield shared_memory(shutil.disk_usage(_SHM).free)
    yield files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield clock(time.time(), is_synchronised=_is_synchronised())


def processors(count: int) -> Finding:
    words = f"{count} of them"
    return judged("processors", words, is_doubtful=count < 2, remedy="controller and workers share the one")


def memory(free_bytes: int) -> Finding:
    words = f"{_gib(free_bytes)} available"
    remedy = "end other programs, or take a larger machine: Ray alone takes about 1 GiB"
    is_bad, is_doubtful = free_bytes < MIN_MEMORY_BYTES, free_bytes < GOOD_MEMORY_BYTES
    return judged("memory", words, is_bad=is_bad, is_doubtful=is_doubtful, remedy=remedy)


def available_bytes(meminfo: str) -> int:
    """Of the text of /proc/meminfo."""
    for line in meminfo.splitlines():
        key, _, rest = line.partition(":")
        if key == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 0


def disk(folder: Path, *, free_bytes: int, total_bytes: int) -> Finding:
    share = 1.0 - free_bytes / total_bytes if total_bytes else 1.0
    words = f"{_gib(free_bytes)} free below {folder}, {share:.0%} used"
    is_bad = free_bytes < MIN_DISK_BYTES
    is_doubtful = free_bytes < GOOD_DISK_BYTES or share > MAX_DISK_SHARE
    return judged("disk", words, is_bad=is_bad, is_doubtful=is_doubtful, remedy=f"free some of {folder}")


def shared_memory(free_bytes: int) -> Finding:
    words = f"{_gib(free_bytes)} free in {_SHM}"
    remedy = "give the container more: docker run --shm-size=2g, or an emptyDir of medium Memory"
    is_bad, is_doubtful = free_bytes < MIN_SHARED_BYTES, free_bytes < GOOD_SHARED_BYTES
    return judged("shared memory", words, is_bad=is_bad, is_doubtful=is_doubtful, remedy=remedy)


def files(soft: int, hard: int) -> Finding:
    def shown(limit: int) -> str:
        return "no limit" if limit == resource.RLIM_INFINITY else str(limit)

    count = sys.maxsize if soft == resource.RLIM_INFINITY else soft
    words = f"{shown(soft)} open files a process ({shown(hard)} at most)"
    remedy = f"ulimit -n {min(hard, 65_536) if hard > 0 else 65_536}"
    return judged(
        "file limit", words, is_bad=count < MIN_FILES, is_doubtful=count < GOOD_FILES, remedy=remedy
    )


def clock(unix_s: float, *, is_synchronised: bool | None) -> Finding:
    """is_synchronised: None where the system does not say."""
    if unix_s < EARLIEST_UNIX_S:
        words = time.strftime("it says %Y-%m-%d", time.gmtime(unix_s))
        return Finding("clock", Level.BAD, words, "set it: tokens and certificates are checked by it")
    if is_synchronised is None:
        return Finding("clock", Level.OK, "plausible")
    words = "synchronised" if is_synchronised else "not synchronised, as far as the system knows"
    remedy = "start chrony or systemd-timesyncd; in a container, see to its host"
    return judged("clock", words, is_doubtful=not is_synchronised, remedy=remedy)


def _is_synchronised() -> bool | None:
    if not sys.platform.startswith("linux"):
        return None
    # struct timex of adjtimex(2) is 208 bytes; all zero, it only asks.
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != _TIME_ERROR


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.1f} GiB"
