"""Which of the groups that hold a model gets the next request. Ties go to the first group in the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scheduling.load import GroupLoad
from vocabulary.catalog import StageSeconds


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group that holds the model, and what one request of the model costs there."""

    group: GroupLoad
    stages_s: StageSeconds

    def finish_s(self, now_s: float) -> float:
        return self.group.clock.finish_s(now_s, self.stages_s)


# (open candidates in plan order, never empty; time; requests of this model routed before) -> the chosen one
Router = Callable[[Sequence[Candidate], float, int], Candidate]


def round_robin(candidates: Sequence[Candidate], now_s: float, num_before: int) -> Candidate:
    return candidates[num_before % len(candidates)]


def least_loaded(candidates: Sequence[Candidate], now_s: float, num_before: int) -> Candidate:
    """Fewest requests in flight: the artifact's event simulator and real controller."""
    return min(candidates, key=lambda candidate: candidate.group.num_in_flight)


def min_stage_clock(candidates: Sequence[Candidate], now_s: float, num_before: int) -> Candidate:
    """Last stage free first, blind to service time: the artifact's fast simulator."""
    return min(candidates, key=lambda candidate: candidate.group.clock.last_s)


def shortest_expected_delay(candidates: Sequence[Candidate], now_s: float, num_before: int) -> Candidate:
    """Earliest predicted finish."""
    if len(candidates) == 1:  # a third of the simulated requests: nothing to compare
        return candidates[0]
    return min(candidates, key=lambda candidate: candidate.finish_s(now_s))


ROUTERS: dict[str, Router] = {
    "round_robin": round_robin,
    "least_loaded": least_loaded,
    "min_stage_clock": min_stage_clock,
    "shortest_expected_delay": shortest_expected_delay,
}
