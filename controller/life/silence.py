"""Groups that say nothing for too long count as dead, however alive their processes look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from controller.life.members import Member, Members

# So many looks a time-out: a death is noticed at most a quarter later.
_LOOKS = 4


@final
class Silence:
    """Calls `lose(member, why)` for each running group that was last heard `timeout_s` ago."""

    def __init__(
        self,
        members: Members,
        *,
        timeout_s: float,
        clock: Callable[[], float],
        lose: Callable[[Member, str], None],
    ) -> None:
        self._members = members
        self._timeout_s = timeout_s
        self._clock = clock
        self._lose = lose
        self._timer: asyncio.TimerHandle | None = None
        self._looked_s = 0.0

    def start(self) -> None:
        self._looked_s = self._clock()
        self._timer = asyncio.get_running_loop().call_later(self._period_s, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _period_s(self) -> float:
        return self._timeout_s / _LOOKS

    def _look(self) -> None:
        now_s = self._clock()
        # Who did not look for a while (stopped, or starved of its cores) has not listened either.
        was_away = now_s - self._looked_s > 2 * self._period_s
        for member in self._members.running():
            if was_away:
                member.heard_s = now_s
            elif now_s - member.heard_s > self._timeout_s:
                self._lose(member, f"it said nothing for {now_s - member.heard_s:.1f} s")
        self.start()
