"""How long a search may take: a time to be over, and a flag that an interruption sets."""

from __future__ import annotations

import threading
import time
from typing import final


@final
class Budget:
    """Asked between simulations, by several threads. Without seconds it is over only when it is stopped."""

    def __init__(self, seconds: float | None = None) -> None:
        self._start_s = time.perf_counter()
        self._seconds = seconds
        self._stopped = threading.Event()

    @property
    def is_limited(self) -> bool:
        return self._seconds is not None

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start_s

    @property
    def is_over(self) -> bool:
        return self._stopped.is_set() or (self._seconds is not None and self.elapsed_s >= self._seconds)

    def stop(self) -> None:
        self._stopped.set()
