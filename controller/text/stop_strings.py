"""Stop strings in text that comes in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@dataclass(frozen=True, slots=True)
class Scanned:
    """What may be told, and whether a stop string was met: then it is all there is."""

    text: str
    is_stopped: bool = False


@final
class StopScanner:
    """Tells text once it can no longer be the beginning of a stop string."""

    def __init__(self, stops: tuple[str, ...], *, includes_stop: bool = False) -> None:
        self._stops = stops
        self._includes_stop = includes_stop
        self._held = ""
        self.is_stopped = False

    def push(self, piece: str) -> Scanned:
        """The next piece of text. After a stop nothing is told any more."""
        if self.is_stopped or not piece:
            return Scanned("", self.is_stopped)
        text = self._held + piece
        met = self._first_met(text)
        if met is not None:
            self._held, self.is_stopped = "", True
            return Scanned(met, is_stopped=True)
        num_held = self._num_undecided(text)
        self._held = text[len(text) - num_held :]
        return Scanned(text[: len(text) - num_held])

    def finish(self) -> str:
        """What was held back; no stop string will complete it."""
        held, self._held = self._held, ""
        return held

    def _first_met(self, text: str) -> str | None:
        """`text` up to the stop string that was complete first, of those the longest; None without one."""
        found = [(text.find(stop), stop) for stop in self._stops]
        ends = [(at + len(stop), at) for at, stop in found if at >= 0]
        if not ends:
            return None
        end, start = min(ends)
        return text[: end if self._includes_stop else start]

    def _num_undecided(self, text: str) -> int:
        """Characters at the end that begin some stop string: the most of all."""
        return max((_overlap(text, stop) for stop in self._stops), default=0)


def _overlap(text: str, stop: str) -> int:
    """The longest end of `text` that is a beginning of `stop`, but not all of it."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[len(text) - size :]):
            return size
    return 0
