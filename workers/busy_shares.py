"""Which share of the last seconds each stage of a group was at work."""

from __future__ import annotations

from collections import deque
from typing import final

# Longer than the batches of most models, and than the silence between two pulses of a follower.
WINDOW_S = 10.0


@final
class BusyShares:
    """Hears of the seconds that stages have worked, at every heartbeat."""

    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._heard: deque[tuple[float, tuple[float, ...]]] = deque()

    def of(self, busy_s: tuple[float, ...], *, now_s: float) -> tuple[float, ...]:
        """Of each stage, 0 to 1, since the last time heard that is a window ago; 0 at the first time.

        Work may be told when its batch starts or when it ends, so that a share can be out by one batch.
        """
        heard = self._heard
        heard.append((now_s, busy_s))
        while len(heard) > 2 and heard[1][0] <= now_s - self._window_s:
            heard.popleft()
        then_s, before_s = heard[0]
        if now_s <= then_s:
            return (0.0,) * len(busy_s)
        return tuple(
            min(1.0, max(0.0, (after - before) / (now_s - then_s)))
            for before, after in zip(before_s, busy_s, strict=True)
        )
