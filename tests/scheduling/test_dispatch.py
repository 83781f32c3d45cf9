"""Routers: who gets the next request, and who on a tie."""

from __future__ import annotations

import pytest

from scheduling.dispatch import (
    ROUTERS,
    Candidate,
    least_loaded,
    min_stage_clock,
    round_robin,
    shortest_expected_delay,
)
from scheduling.load import GroupLoad


def candidates(*stages_s: tuple[float, ...]) -> list[Candidate]:
    return [Candidate(GroupLoad(index, len(stages)), stages) for index, stages in enumerate(stages_s)]


@pytest.mark.parametrize("router", sorted(ROUTERS))
def test_idle_equal_groups_tie_and_the_first_in_the_plan_wins(router: str) -> None:
    equal = candidates((1.0,), (1.0,), (1.0,))
    assert ROUTERS[router](equal, 0.0, 0) is equal[0]


@pytest.mark.parametrize("router", ["least_loaded", "min_stage_clock", "shortest_expected_delay"])
def test_a_taken_group_loses_to_an_idle_equal_one(router: str) -> None:
    equal = candidates((1.0,), (1.0,), (1.0,))
    equal[0].group.take(0.0, (1.0,))
    assert ROUTERS[router](equal, 0.0, 0) is equal[1]


def test_round_robin_counts_the_requests_before() -> None:
    three = candidates((9.0,), (1.0,), (1.0,))
    assert [three.index(round_robin(three, 0.0, num_before)) for num_before in range(5)] == [0, 1, 2, 0, 1]


def test_least_loaded_counts_requests_not_seconds() -> None:
    slow, fast = candidates((1.0,), (1.0,))
    slow.group.take(0.0, (100.0,))
    fast.group.take(0.0, (0.1,))
    fast.group.take(0.0, (0.1,))
    assert least_loaded([slow, fast], 0.0, 0) is slow


def test_min_stage_clock_is_blind_to_service_time() -> None:
    slow, fast = candidates((5.0,), (1.0,))
    fast.group.take(0.0, (0.5,))
    assert min_stage_clock([slow, fast], 0.0, 0) is slow
    assert shortest_expected_delay([slow, fast], 0.0, 0) is fast


def test_min_stage_clock_compares_last_stages_even_those_in_the_past() -> None:
    first, second = candidates((1.0, 1.0), (1.0, 1.0))
    first.group.take(0.0, (0.1, 0.3))
    second.group.take(0.0, (0.3, 0.05))
    assert min_stage_clock([first, second], 9.0, 0) is second


def test_the_shortest_expected_delay_looks_through_the_whole_pipeline() -> None:
    short, deep = candidates((1.0,), (0.4, 0.4))
    deep.group.take(0.0, (0.4, 0.4))
    assert shortest_expected_delay([short, deep], 0.0, 0) is short
    short.group.take(0.0, (1.0,))
    assert shortest_expected_delay([short, deep], 0.0, 0) is deep
