"""What the cluster machine believes of one group: how busy it is, corrected by what is observed."""

from __future__ import annotations

from collections import deque
from typing import final

from scheduling.pipeline import PipelineClock
from vocabulary.catalog import StageSeconds


@final
class GroupLoad:
    """In-flight count and stage clocks of a group, from predictions and settled requests.

    The clocks follow predictions; each completion compares with the earliest prediction still outstanding and
    moves all of them by the difference, so a group that runs late (or early) is believed late by as much.
    Completions are matched by order, not by request: total work is what a queue's length depends on, whatever
    order the group runs it in. Where predictions are exact, nothing ever moves.

    What other front ends sent there is known from heartbeats only, and an own completion cannot tell theirs
    from lateness: while there is any, the clocks follow heartbeats, and own requests between them.
    """

    __slots__ = ("_lag_s", "_outstanding_s", "clock", "index", "is_open", "num_elsewhere", "num_in_flight")

    def __init__(self, index: int, num_stages: int) -> None:
        self.index = index
        self.is_open = False
        self.num_in_flight = 0
        # Requests of other front ends that the group holds, as last heard.
        self.num_elsewhere = 0
        self.clock = PipelineClock(num_stages)
        # Predicted ends of the last stage, less the lag when predicted; ascending.
        self._outstanding_s: deque[float] = deque()
        self._lag_s = 0.0

    @property
    def num_held(self) -> int:
        """Requests there, of all front ends as far as is known."""
        return self.num_in_flight + self.num_elsewhere

    def heard(self, at_s: float, *, backlog_s: float | None, num_held: int) -> None:
        """What a heartbeat said of all front ends' requests; nothing changes while all are our own.

        backlog_s: None leaves the clocks as they are: where models generate, they say when prompts are done,
        and a backlog, when all answers are.
        """
        was_shared, self.num_elsewhere = self.num_elsewhere > 0, max(0, num_held - self.num_in_flight)
        if not was_shared and not self.num_elsewhere:
            return
        if backlog_s is None:
            return
        # All that is there has the last stage still ahead of it, or is in it.
        self.clock.end_at(at_s + backlog_s)
        if self._outstanding_s:
            # Alone again, completions are compared with what is believed now.
            self._lag_s = self.clock.last_s - self._outstanding_s[-1]

    def take(self, now_s: float, stages_s: StageSeconds) -> float:
        """One more request is on its way there; returns the predicted end of its last stage."""
        finish_s = self.clock.occupy(now_s, stages_s)
        self._outstanding_s.append(finish_s - self._lag_s)
        self.num_in_flight += 1
        return finish_s

    def served(self, finish_s: float) -> None:
        """A request left the last stage at `finish_s`."""
        self.num_in_flight -= 1
        error_s = finish_s - (self._outstanding_s.popleft() + self._lag_s)
        if error_s and not self.num_elsewhere:
            self.clock.shift(error_s)
            self._lag_s += error_s
        self._settle_idle(finish_s)

    def dropped(self, now_s: float, stages_s: StageSeconds) -> None:
        """A request left without running: its slowest stage's time is given back."""
        self.num_in_flight -= 1
        self._outstanding_s.pop()
        self.clock.shift(-max(stages_s))
        self._settle_idle(now_s)

    def add(self, now_s: float, stages_s: StageSeconds) -> float:
        """As `take`, of a request whose end says nothing about the clocks: others overtake it."""
        self.num_in_flight += 1
        return self.clock.occupy(now_s, stages_s)

    def remove(self, now_s: float, *, unused_s: StageSeconds = (0.0,)) -> None:
        """A request of `add` left; of its stages `unused_s` did not run."""
        self.num_in_flight -= 1
        if any(unused_s):
            self.clock.shift(-max(unused_s))
        self._settle_idle(now_s)

    def lost(self) -> None:
        """The group and all it held are gone."""
        self.is_open = False
        self.num_in_flight = self.num_elsewhere = 0
        self._outstanding_s.clear()
        self._lag_s = 0.0
        self.clock = PipelineClock(len(self.clock.free_s))

    def _settle_idle(self, now_s: float) -> None:
        if self.num_in_flight == 0 and not self.num_elsewhere:
            self.clock.idle_by(now_s)
            # Nothing outstanding is relative to it; kept, its rounding would break ties between equal groups.
            self._lag_s = 0.0
