"""What the cluster machine believes of one group: how busy it is, corrected by what is observed."""

from __future__ import annotations

from collections import deque
from typing import final

from scheduling.pipeline import PipelineClock
from vocabulary.catalog import StageNs


@final
class GroupLoad:
    """In-flight count and stage clocks of a group, from predictions and settled requests.

    The clocks follow predictions; each completion compares with the earliest prediction still outstanding and
    moves all of them by the difference, so a group that runs late (or early) is believed late by as much.
    Completions are matched by order, not by request: total work is what a queue's length depends on, whatever
    order the group runs it in. Where predictions are exact, nothing ever moves.
    """

    __slots__ = ("_lag_ns", "_outstanding_ns", "clock", "index", "is_open", "num_in_flight")

    def __init__(self, index: int, num_stages: int) -> None:
        self.index = index
        self.is_open = False
        self.num_in_flight = 0
        self.clock = PipelineClock(num_stages)
        # Predicted ends of the last stage, less the lag when predicted; ascending.
        self._outstanding_ns: deque[int] = deque()
        self._lag_ns = 0

    def take(self, now_ns: int, stages_ns: StageNs) -> int:
        """One more request is on its way there; returns the predicted end of its last stage."""
        finish_ns = self.clock.occupy(now_ns, stages_ns)
        self._outstanding_ns.append(finish_ns - self._lag_ns)
        self.num_in_flight += 1
        return finish_ns

    def served(self, finish_ns: int) -> None:
        """A request left the last stage at `finish_ns`."""
        self.num_in_flight -= 1
        error_ns = finish_ns - (self._outstanding_ns.popleft() + self._lag_ns)
        if error_ns:
            self.clock.shift(error_ns)
            self._lag_ns += error_ns
        self._settle_idle(finish_ns)

    def dropped(self, now_ns: int, stages_ns: StageNs) -> None:
        """A request left without running: its slowest stage's time is given back."""
        self.num_in_flight -= 1
        self._outstanding_ns.pop()
        self.clock.shift(-max(stages_ns))
        self._settle_idle(now_ns)

    def lost(self) -> None:
        """The group and all it held are gone."""
        self.is_open = False
        self.num_in_flight = 0
        self._outstanding_ns.clear()
        self.clock = PipelineClock(len(self.clock.free_ns))

    def _settle_idle(self, now_ns: int) -> None:
        if self.num_in_flight == 0:
            self.clock.idle_by(now_ns)
