"""Runs a target on mutated samples: what it raises, how long it takes, and what of it stays in memory."""

from __future__ import annotations

import gc
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.mutations import mutated

# A single input may take so long before it counts as hanging; the machine may be busy with other things.
HANG_S = 10.0
# New kinds of outcomes are mutated further, up to so many.
_MAX_CORPUS = 400
_MAX_FINDINGS = 5
_WARM = 0.3  # of the inputs fill caches; what grows after them stays
_DETAIL = re.compile(r"0x[0-9a-f]+|'[^']*'|\"[^\"]*\"|[0-9.]+")


@dataclass(frozen=True, slots=True)
class Target:
    """`run` may raise `expected`, and nothing else. weight: its share of the inputs."""

    name: str
    samples: tuple[bytes, ...]
    run: Callable[[bytes], object]
    expected: tuple[type[Exception], ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that did something else. words: the exception and where it was raised."""

    data: bytes
    words: str


@dataclass(slots=True)
class Report:
    """growth_bytes: of the process, after the first inputs had filled what is kept."""

    target: str
    num_inputs: int = 0
    num_refused: int = 0
    num_kinds: int = 0
    longest_s: float = 0.0
    seconds: float = 0.0
    growth_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


class _Hang(BaseException):
    """Not an Exception: nothing that is fuzzed may catch it."""


def fuzz(target: Target, *, num_inputs: int, seed: int, sees_growth: bool = False) -> Report:
    """The same seed gives the same inputs. sees_growth: look at memory, which takes a moment."""
    random, report = Random(f"{target.name} {seed}"), Report(target.name)
    corpus, kinds = list(target.samples), set()
    start_s, warm_bytes = time.perf_counter(), 0
    with _watched():
        for number in range(num_inputs):
            if sees_growth and number == int(num_inputs * _WARM):
                warm_bytes = resident_bytes()
            first = number < len(target.samples)
            data = corpus[number] if first else mutated(random.choice(corpus), corpus, random)
            kind = _one(target, data, report)
            if kind not in kinds and len(corpus) < _MAX_CORPUS:
                kinds.add(kind)
                corpus.append(data)
            if len(report.findings) >= _MAX_FINDINGS:
                break
    report.seconds = time.perf_counter() - start_s
    report.num_kinds = len(kinds)
    report.growth_bytes = max(resident_bytes() - warm_bytes, 0) if warm_bytes else 0
    return report


def resident_bytes() -> int:
    """Of this process, after what nobody holds has gone."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _one(target: Target, data: bytes, report: Report) -> str:
    """The kind of its outcome."""
    start_s = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    kind = ""
    try:
        target.run(data)
    except target.expected as error:
        report.num_refused += 1
        kind = f"{type(error).__name__}: {_DETAIL.sub('_', str(error))[:120]}"
    except _Hang:
        report.findings.append(Finding(data, f"took longer than {HANG_S:g} s"))
    except Exception as error:
        report.findings.append(Finding(data, _words(error)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    report.num_inputs += 1
    report.longest_s = max(report.longest_s, time.perf_counter() - start_s)
    return kind


@contextmanager
def _watched() -> Iterator[None]:
    def hang(number: int, frame: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _words(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames[-4:]))
    return f"{type(error).__name__}: {str(error)[:200]} at {where}"
