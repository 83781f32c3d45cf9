"""What a fleet's processes take, read from /proc: memory, open files, threads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one process at one time. memory_bytes: of its own, not of files (RssAnon)."""

    time_s: float
    memory_bytes: int
    num_files: int
    num_threads: int


@dataclass(frozen=True, slots=True)
class Trend:
    """From the first quarter after warm-up to the last, as medians."""

    role: str
    num_samples: int
    memory_bytes: tuple[float, float]
    num_files: tuple[float, float]
    num_threads: tuple[float, float]

    @property
    def growth(self) -> float:
        """Of memory, as a share of what it was."""
        first, last = self.memory_bytes
        return last / first - 1.0


def vitals_of(pid: int, *, now_s: float) -> Vitals | None:
    """None for a process that is gone."""
    folder = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError, KeyError):
        words = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
        )
        return Vitals(
            now_s,
            int(words["RssAnon"].split()[0]) * _KIB,
            len(list((folder / "fd").iterdir())),
            int(words["Threads"]),
        )
    return None


def processes_with(mark: str) -> dict[int, str]:
    """Living processes that inherited `mark` in their environment, with their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def trend(role: str, samples: Sequence[Vitals], *, warm_s: float) -> Trend | None:
    """None where too little is left after the warm-up, which is counted from the process's first sample."""
    warm = [one for one in samples if one.time_s >= samples[0].time_s + warm_s]
    quarter = len(warm) // 4
    if quarter < 2:
        return None
    first, last = warm[:quarter], warm[-quarter:]

    def both(name: str) -> tuple[float, float]:
        return median(getattr(one, name) for one in first), median(getattr(one, name) for one in last)

    return Trend(role, len(warm), both("memory_bytes"), both("num_files"), both("num_threads"))


def trends(samples: Mapping[str, Sequence[Vitals]], *, warm_s: float) -> tuple[Trend, ...]:
    found = (trend(role, each, warm_s=warm_s) for role, each in sorted(samples.items()) if each)
    return tuple(one for one in found if one is not None)
