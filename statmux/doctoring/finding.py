"""One thing that was looked at, and how it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, and may not later or not well
    BAD = "bad"  # a fleet would not start, or fail soon


@dataclass(frozen=True, slots=True)
class Finding:
    """words: with the numbers. remedy: what to do, empty where there is nothing to do."""

    topic: str
    level: Level
    words: str
    remedy: str = ""


def judged(
    topic: str, words: str, *, is_bad: bool = False, is_doubtful: bool = False, remedy: str
) -> Finding:
    """The remedy is only for what is not as it should be."""
    level = Level.BAD if is_bad else Level.WARN if is_doubtful else Level.OK
    return Finding(topic, level, words, "" if level is Level.OK else remedy)
