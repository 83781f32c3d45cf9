"""How long a search may take: a time to be over, and a flag that an interruption sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import final


@final
class Budget:
    """Asked between simulations, by several threads. Without seconds it is over only when it is stopped.

    What the machine compiles for the first time is not paid from it: else the first search on a machine would
    find less than any later one. clock, compiling_s: in seconds; what has been compiled for so far.
    """

    def __init__(
        self,
        seconds: float | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        compiling_s: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._compiling_s = compiling_s or (_nothing if seconds is None else _compiling())
        self._start_s, self._start_compiling_s = clock(), self._compiling_s()
        self._seconds = seconds
        self._stopped = threading.Event()

    @property
    def is_limited(self) -> bool:
        return self._seconds is not None

    @property
    def elapsed_s(self) -> float:
        """On the clock."""
        return self._clock() - self._start_s

    @property
    def spent_s(self) -> float:
        """Of the budget."""
        return self.elapsed_s - (self._compiling_s() - self._start_compiling_s)

    @property
    def is_over(self) -> bool:
        return self._stopped.is_set() or (self._seconds is not None and self.spent_s >= self._seconds)

    def stop(self) -> None:
        self._stopped.set()


def _nothing() -> float:
    return 0.0


def _compiling() -> Callable[[], float]:
    from simulator.compiling import compiling_s  # numba takes its time to be imported

    return compiling_s
