"""How long this process has spent compiling: once per machine, since what is compiled stays on disk."""

from __future__ import annotations

import time
from typing import final

from numba.core.event import Event, Listener, register


@final
class _Stopwatch(Listener):
    """Of all compiling, which numba does under one lock; what is compiled on the way is part of it."""

    def __init__(self) -> None:
        self._total_s = 0.0
        self._depth = 0
        self._since_s = 0.0

    @property
    def total_s(self) -> float:
        running_s = time.perf_counter() - self._since_s if self._depth else 0.0
        return self._total_s + running_s

    def on_start(self, event: Event) -> None:
        if not self._depth:
            self._since_s = time.perf_counter()
        self._depth += 1

    def on_end(self, event: Event) -> None:
        self._depth -= 1
        if not self._depth:
            self._total_s += time.perf_counter() - self._since_s


_stopwatch = _Stopwatch()
register("numba:compile", _stopwatch)


def compiling_s() -> float:
    """Seconds since this was first imported, those of what is being compiled included."""
    return _stopwatch.total_s
