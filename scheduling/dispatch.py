"""Which of the groups that hold a model gets the next request. Ties go to the first group in the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, final

from scheduling.generation_load import GenerationLoad
from scheduling.load import GroupLoad
from scheduling.sent_prefixes import SentPrefixes
from scheduling.two_choices import two_of
from vocabulary.catalog import StageSeconds


class AbstractCandidate(Protocol):
    """A group that holds the model, and what a request takes there."""

    @property
    def group(self) -> GroupLoad: ...

    def finish_s(self, now_s: float) -> float:
        """When the request would end there; changes nothing."""
        ...

    def take(self, now_s: float) -> float:
        """The request goes there; returns its predicted finish."""
        ...

    def served(self, finish_s: float) -> None:
        """The request left the last stage."""

    def dropped(self, now_s: float) -> None:
        """The request left without running."""


@final
@dataclass(frozen=True, slots=True)
class Candidate:
    """For one-shot requests, which all take `stages_s`. model_load, sent: of a model that generates as well.

    sent: None where nothing is cached, or no router asks.
    """

    group: GroupLoad
    stages_s: StageSeconds
    model_load: GenerationLoad | None = None
    sent: SentPrefixes | None = None

    def finish_s(self, now_s: float) -> float:
        return self.group.clock.finish_s(now_s, self.stages_s)

    def take(self, now_s: float) -> float:
        return self.group.take(now_s, self.stages_s)

    def served(self, finish_s: float) -> None:
        self.group.served(finish_s)

    def dropped(self, now_s: float) -> None:
        self.group.dropped(now_s, self.stages_s)

    def lost(self) -> None:
        """The group is gone, and what the model had in flight and in its cache there."""
        if self.model_load is not None:
            self.model_load.clear()
        if self.sent is not None:
            self.sent.clear()


# Open candidates come in plan order and are never empty; num_before: requests of this model routed before.
Chosen = TypeVar("Chosen", bound=AbstractCandidate)


class Router(Protocol):
    def __call__(self, candidates: Sequence[Chosen], now_s: float, num_before: int, /) -> Chosen:
        """The candidate that gets the request."""
        ...


def round_robin(candidates: Sequence[Chosen], now_s: float, num_before: int) -> Chosen:
    return candidates[num_before % len(candidates)]


def least_loaded(candidates: Sequence[Chosen], now_s: float, num_before: int) -> Chosen:
    """Fewest requests there: the artifact's event simulator and real controller."""
    return min(candidates, key=lambda candidate: candidate.group.num_held)


def min_stage_clock(candidates: Sequence[Chosen], now_s: float, num_before: int) -> Chosen:
    """Last stage free first, blind to service time: the artifact's fast simulator."""
    return min(candidates, key=lambda candidate: candidate.group.clock.last_s)


def shortest_expected_delay(candidates: Sequence[Chosen], now_s: float, num_before: int) -> Chosen:
    """Earliest predicted finish."""
    if len(candidates) == 1:  # a third of the simulated requests: nothing to compare
        return candidates[0]
    return min(candidates, key=lambda candidate: candidate.finish_s(now_s))


def power_of_two(candidates: Sequence[Chosen], now_s: float, num_before: int) -> Chosen:
    """The earlier predicted finish of two, whichever the count says: no scan of all, and no herd.

    Front ends that know each other's requests from heartbeats alone believe the same group the best until the
    next one, and all go there; of two drawn ones, they mostly draw others (Mitzenmacher 2000, stale loads).
    """
    if len(candidates) == 1:
        return candidates[0]
    first, second = two_of(len(candidates), num_before)
    one, other = candidates[first], candidates[second]
    return one if one.finish_s(now_s) <= other.finish_s(now_s) else other


def prefix_affinity(candidates: Sequence[Chosen], now_s: float, num_before: int) -> Chosen:
    """Earliest predicted finish, where what a prompt finds in a group's cache takes no time.

    So a prompt goes where its beginning is until waiting there takes longer than computing it elsewhere.
    """
    return shortest_expected_delay(candidates, now_s, num_before)


ROUTERS: dict[str, Router] = {
    "round_robin": round_robin,
    "least_loaded": least_loaded,
    "min_stage_clock": min_stage_clock,
    "shortest_expected_delay": shortest_expected_delay,
    "power_of_two": power_of_two,
    "prefix_affinity": prefix_affinity,
}
# Those that ask what prompts find in the caches of groups: `Candidate.sent`.
ASK_FOR_PREFIXES = frozenset({"prefix_affinity"})
