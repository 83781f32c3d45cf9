"""Pipeline schedules: complete, in order, with the memory and the times that the notes give for them."""

from __future__ import annotations

import itertools

import pytest

from resharding.schedule_times import StageTimes, makespan_s, timed_schedule
from resharding.schedules import (
    SCHEDULES,
    Rows,
    Task,
    needs,
    peak_in_flight,
    table,
    with_delayed_weights,
)

SIZES = list(itertools.product((1, 2, 3, 4, 7), (1, 2, 5, 16)))
TRAINING = [name for name in SCHEDULES if name != "inference"]


def rows_of(name: str, num_stages: int, num_micro_batches: int, *, is_delayed: bool = False) -> Rows:
    rows = SCHEDULES[name](num_stages, num_micro_batches)
    return with_delayed_weights(rows) if is_delayed else rows


@pytest.mark.parametrize("is_delayed", [False, True])
@pytest.mark.parametrize("name", TRAINING)
def test_every_stage_runs_every_task_once_and_none_before_what_it_needs(name: str, is_delayed: bool) -> None:
    for num_stages, num_micro_batches in SIZES:
        rows = rows_of(name, num_stages, num_micro_batches, is_delayed=is_delayed)
        kinds = "FBW" if is_delayed else "FB"
        wanted = {Task(kind, index) for kind in kinds for index in range(num_micro_batches)}
        assert all(len(row) == len(wanted) and set(row) == wanted for row in rows)
        clock_of = {(stage, task): clock for (stage, clock), task in table(rows).items()}
        assert len(clock_of) == num_stages * len(wanted)
        for (stage, task), clock in clock_of.items():
            assert all(clock_of[one] < clock for one in needs(stage, task, num_stages))


def test_inference_takes_stages_plus_micro_batches_less_one_clocks() -> None:
    for num_stages, num_micro_batches in SIZES:
        clocks = [clock for _, clock in table(SCHEDULES["inference"](num_stages, num_micro_batches))]
        assert max(clocks) + 1 == num_stages + num_micro_batches - 1


def test_gpipe_runs_micro_batch_k_less_d_at_stage_d_in_clock_k() -> None:
    found = table(SCHEDULES["gpipe"](4, 6))
    assert all(
        found[stage, clock] == Task("F", clock - stage)
        for stage in range(4)
        for clock in range(stage, stage + 6)
    )


def test_rows_read_as_in_the_paper() -> None:
    words = [" ".join(map(str, row)) for row in SCHEDULES["1f1b"](2, 3)]
    assert words == ["F0 F1 B0 F2 B1 B2", "F0 B0 F1 B1 F2 B2"]
    assert " ".join(map(str, SCHEDULES["eager_1f1b"](2, 3)[0])) == "F0 F1 F2 B0 B1 B2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gpipe", (16,) * 4), ("1f1b", (4, 3, 2, 1)), ("eager_1f1b", (7, 5, 3, 1))],
)
def test_activations_in_flight(name: str, expected: tuple[int, ...]) -> None:
    assert peak_in_flight(SCHEDULES[name](4, 16)) == expected


@pytest.mark.parametrize(
    ("name", "overlaps", "is_delayed", "expected"),
    [
        # Time by the ideal without travel, at transfers of 1/4, 1/2 and 1 forward (backward: 2 forwards).
        ("1f1b", False, False, (1.154, 1.307, 1.614)),
        ("1f1b", True, False, (1.123, 1.246, 1.491)),
        ("eager_1f1b", True, False, (1.026, 1.053, 1.105)),
        ("eager_1f1b", True, True, (0.974, 1.000, 1.053)),
        ("1f1b", True, True, (0.974, 1.000, 1.246)),
    ],
)
def test_times_with_travel_are_those_of_the_notes(
    name: str, overlaps: bool, is_delayed: bool, expected: tuple[float, ...]
) -> None:
    rows = rows_of(name, 4, 16, is_delayed=is_delayed)
    found = [makespan_s(rows, StageTimes(1.0, 2.0, c, overlaps=overlaps)) / 57.0 for c in (0.25, 0.5, 1.0)]
    assert found == pytest.approx(expected, abs=0.001)


def test_inference_only_pays_for_filling_the_pipeline() -> None:
    found = [makespan_s(SCHEDULES["inference"](4, 16), StageTimes(1.0, 0.0, c)) / 19 for c in (0.25, 0.5, 1)]
    assert found == pytest.approx((1.039, 1.079, 1.158), abs=0.001)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_stage_does_one_thing_at_a_time_and_in_its_order(name: str) -> None:
    rows = SCHEDULES[name](3, 5)
    spans = timed_schedule(rows, StageTimes(1.0, 2.0, 0.3))
    for stage, row in enumerate(rows):
        for before, after in itertools.pairwise(row):
            assert spans[stage, before].end_s <= spans[stage, after].start_s
