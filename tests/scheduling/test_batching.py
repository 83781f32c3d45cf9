"""Batch sizes: as many as keep every member's deadline, and no more than allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.batching import BATCHING, Situation, keep_the_deadline, one_at_a_time
from scheduling.pipeline import PipelineClock
from scheduling.queueing import ORDERS, Queue
from vocabulary.catalog import BatchCosts
from vocabulary.request import Request
from vocabulary.units import NEVER_S

LINEAR = {1: (1.0,), 2: (1.5,), 4: (2.5,)}


def situation(
    slo_s: Sequence[float],
    *,
    costs: Mapping[int, tuple[float, ...]] = LINEAR,
    order: str = "fcfs",
    max_batch_size: int = 16,
    overhead_s: float = 0.0,
    now_s: float = 0.0,
) -> Situation:
    """Requests that arrived at 0 with these objectives wait; the group is idle."""
    queue = Queue(ORDERS[order])
    for index, slo in enumerate(slo_s):
        queue.push(Request(index, "a", 0.0, slo))
    clock = PipelineClock(len(costs[1]))
    sizes = BatchCosts(tuple(costs), tuple(costs.values()))
    return Situation(now_s, queue, sizes, clock, overhead_s, max_batch_size)


def test_without_batching_one_runs_whatever_waits() -> None:
    assert one_at_a_time(situation([NEVER_S] * 5)) == 1


def test_without_deadlines_the_largest_profiled_batch_runs() -> None:
    assert keep_the_deadline(situation([NEVER_S] * 9)) == 4


def test_nobody_waits_for_a_fuller_batch() -> None:
    assert keep_the_deadline(situation([NEVER_S])) == 1
    assert keep_the_deadline(situation([NEVER_S] * 2)) == 2


def test_a_batch_never_exceeds_what_the_policy_allows() -> None:
    assert keep_the_deadline(situation([NEVER_S] * 9, max_batch_size=3)) == 3
    assert keep_the_deadline(situation([NEVER_S] * 9, max_batch_size=1)) == 1


def test_the_batch_ends_where_its_head_would_be_late() -> None:
    assert keep_the_deadline(situation([1.5, 9.0, 9.0, 9.0])) == 2
    assert keep_the_deadline(situation([1.4, 9.0, 9.0, 9.0])) == 1


def test_a_member_that_would_be_late_ends_the_batch_before_it() -> None:
    assert keep_the_deadline(situation([9.0, 9.0, 2.0, 9.0])) == 2


def test_three_pay_for_four_when_three_is_not_profiled() -> None:
    assert keep_the_deadline(situation([2.5] * 3)) == 3
    assert keep_the_deadline(situation([2.4] * 3)) == 2


def test_a_padded_batch_may_be_late_where_the_next_full_one_is_not() -> None:
    cheaper_when_full = {1: (1.0,), 2: (3.0,), 4: (2.0,)}
    assert keep_the_deadline(situation([2.0] * 4, costs=cheaper_when_full)) == 4
    assert keep_the_deadline(situation([2.0] * 2, costs=cheaper_when_full)) == 1


def test_a_head_that_is_late_even_alone_runs_alone() -> None:
    assert keep_the_deadline(situation([0.5, 9.0])) == 1


def test_the_fixed_overhead_is_time_that_members_wait() -> None:
    assert keep_the_deadline(situation([1.5] * 2, overhead_s=0.0)) == 2
    assert keep_the_deadline(situation([1.5] * 2, overhead_s=0.1)) == 1


def test_a_busy_last_stage_delays_the_whole_batch() -> None:
    costs = {1: (1.0, 1.0), 2: (1.5, 1.5)}
    busy = situation([3.4] * 2, costs=costs)
    assert keep_the_deadline(busy) == 2
    busy.clock.free_s = [0.0, 2.0]
    assert keep_the_deadline(busy) == 1


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 12).map(lambda ticks: ticks / 2), min_size=1, max_size=8),
    st.lists(st.integers(1, 8).map(lambda ticks: ticks / 2), min_size=3, max_size=3),
    st.sampled_from(sorted(ORDERS)),
    st.integers(1, 5),
    st.sampled_from(sorted(BATCHING)),
)
def test_a_batch_of_two_or_more_keeps_every_members_deadline(
    slo_s: list[float], latencies_s: list[float], order: str, max_batch_size: int, batching: str
) -> None:
    costs = {size: (latency,) for size, latency in zip((1, 2, 4), latencies_s, strict=True)}
    asked = situation(slo_s, costs=costs, order=order, max_batch_size=max_batch_size)
    size = BATCHING[batching](asked)
    assert 1 <= size <= min(len(slo_s), max_batch_size, 4)
    members = list(asked.queue.waiting())[:size]
    assert size == 1 or all(asked.costs.of(size)[0] <= request.slo_s for request in members)


@pytest.mark.parametrize("batching", sorted(BATCHING))
def test_choosing_a_size_takes_nothing_out_of_the_queue(batching: str) -> None:
    asked = situation([9.0] * 3)
    BATCHING[batching](asked)
    assert len(asked.queue) == 3
