"""An asyncio loop whose clock jumps to the next timer: live shells run in virtual time, repeatably."""

from __future__ import annotations

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time stands still while callbacks are ready, then jumps. Opens no file but its own wake-up pipe.

    `soon(rank)` gives the `soon` of a shell: its decisions run when nothing else is ready at this instant,
    the lowest rank first, as the simulator orders them (cluster 0, group i 1 + i).
    """

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self._now_s = 0.0
        self._deferred: list[tuple[int, int, Callable[[], None]]] = []
        self._num_deferred = 0

    def time(self) -> float:
        return self._now_s

    def soon(self, rank: int) -> Callable[[Callable[[], None]], None]:
        def defer(callback: Callable[[], None]) -> None:
            heapq.heappush(self._deferred, (rank, self._num_deferred, callback))
            self._num_deferred += 1

        return defer

    def _run_once(self) -> None:
        if not self._ready and not self._due_now():
            if self._deferred:
                self.call_soon(heapq.heappop(self._deferred)[2])
            elif self._scheduled:
                self._now_s = max(self._now_s, self._scheduled[0]._when)
        # A timer at exactly now is due, one a single unit in the last place later is not.
        self._clock_resolution = math.ulp(self._now_s)
        super()._run_once()

    def _due_now(self) -> bool:
        while self._scheduled and self._scheduled[0]._cancelled:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._timer_cancelled_count -= 1
        return bool(self._scheduled) and self._scheduled[0]._when <= self._now_s
