"""The lines in which requests wait for the generating models of a group, by the queue policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from scheduling.fairness import VirtualTokenCounter
from scheduling.fairness_costs import cost_of
from scheduling.fairness_counters import TenantCounters
from scheduling.queueing import ORDERS, Queue
from scheduling.waiting import AbstractWaiting, MakeWaiting, Matched
from scheduling.waiting_by_prefix import DepthFirst, LongestPrefixFirst
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits, StepTimes


@final
class WaitingLines:
    """Makes the line of each model. Under `vtc`, tenants have one counter for all models of the group where
    cost is measured, in seconds of the group's devices, and one for each model where it is in tokens."""

    __slots__ = ("_counters", "_policy")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._counters = TenantCounters(policy.fairness.weights)

    def of_model(self, times: Sequence[StepTimes], limits: GenerationLimits) -> MakeWaiting | None:
        """For a scheduler of its sequences; None where a queue by `ORDERS` does, which heeds no service.

        times: of each stage.
        """
        if self._policy.queue in ("fcfs", "edf"):
            return None
        return lambda matched: self._line(times, limits, matched)

    def _line(
        self, times: Sequence[StepTimes], limits: GenerationLimits, matched: Matched
    ) -> AbstractWaiting:
        policy = self._policy
        if policy.queue != "vtc":
            return _plain(policy.queue, matched, policy.max_overtaken)
        fairness = policy.fairness
        return VirtualTokenCounter(
            self._counters if fairness.cost == "measured" else TenantCounters(fairness.weights),
            cost=cost_of(fairness, times=times, limits=limits),
            predicts=fairness.predicts_output,
            within=lambda: _plain(fairness.within, matched, policy.max_overtaken),
        )


def _plain(order: str, matched: Matched, max_overtaken: int) -> AbstractWaiting:
    """A line that heeds no tenants."""
    match order:
        case "longest_prefix":
            return LongestPrefixFirst(matched, max_overtaken=max_overtaken)
        case "depth_first":
            return DepthFirst(max_overtaken=max_overtaken)
        case _:
            return Queue(ORDERS[order])
