"""A network port that is slower than the real one, for tests and benchmarks."""

from __future__ import annotations

import threading
import time
from typing import final

# A sleep ends this late at times; what it was late is not lost to the port, idle time is.
_LATE_S = 0.01


@final
class EmulatedNic:
    """Everything that a process sends to other hosts passes through it, one frame after another."""

    def __init__(self, bytes_per_s: float) -> None:
        assert bytes_per_s > 0, bytes_per_s
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_s = 0.0

    def pass_through(self, num_bytes: int) -> None:
        """Returns when the last of these bytes has left the port, which is when a frame may arrive."""
        with self._lock:
            now_s = time.monotonic()
            start_s = now_s if now_s - self._free_s > _LATE_S else self._free_s
            self._free_s = start_s + num_bytes / self.bytes_per_s
            left_s = self._free_s - now_s
        if left_s > 0:
            time.sleep(left_s)
