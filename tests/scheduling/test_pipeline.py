"""The finish-time predictor against the tandem recurrence written out as a table."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.pipeline import PipelineClock

SECONDS = st.one_of(
    st.integers(0, 8).map(lambda ticks: ticks / 4), st.floats(0, 10, allow_nan=False, allow_infinity=False)
)


@st.composite
def jobs(draw) -> tuple[int, list[tuple[float, tuple[float, ...]]]]:
    num_stages = draw(st.integers(1, 4))
    stages = st.tuples(*[SECONDS] * num_stages)
    return num_stages, draw(st.lists(st.tuples(SECONDS, stages), max_size=12))


def tandem_finish_s(work: list[tuple[float, tuple[float, ...]]], num_stages: int) -> list[list[float]]:
    """ends[job][stage]: a job starts on a stage when it left the one before and so did the job before."""
    ends: list[list[float]] = []
    for start_s, stages_s in work:
        row: list[float] = []
        for stage in range(num_stages):
            job_ready_s = row[stage - 1] if stage else start_s
            stage_ready_s = ends[-1][stage] if ends else 0.0
            row.append(max(stage_ready_s, job_ready_s) + stages_s[stage])
        ends.append(row)
    return ends


@settings(deadline=None)
@given(jobs())
def test_every_finish_is_that_of_the_tandem_recurrence_to_the_last_bit(drawn) -> None:
    num_stages, work = drawn
    clock = PipelineClock(num_stages)
    for (start_s, stages_s), row in zip(work, tandem_finish_s(work, num_stages), strict=True):
        predicted_s = clock.finish_s(start_s, stages_s)
        assert clock.occupy(start_s, stages_s) == predicted_s == row[-1]
        assert clock.free_s == row
        assert clock.last_s == row[-1]


def test_asking_changes_nothing() -> None:
    clock = PipelineClock(2)
    clock.occupy(1.0, (0.5, 2.0))
    assert clock.finish_s(1.0, (1.0, 1.0)) == clock.finish_s(1.0, (1.0, 1.0)) == 4.5
    assert clock.free_s == [1.5, 3.5]


def test_a_shift_moves_every_stage() -> None:
    clock = PipelineClock(2)
    clock.occupy(0.0, (1.0, 2.0))
    clock.shift(0.5)
    assert clock.free_s == [1.5, 3.5]
    clock.shift(-1.0)
    assert clock.free_s == [0.5, 2.5]


def test_an_idle_pipeline_is_free_by_now_but_not_taken_until_now() -> None:
    clock = PipelineClock(3)
    clock.free_s = [1.0, 2.0, 3.0]
    clock.idle_by(2.5)
    assert clock.free_s == [1.0, 2.0, 2.5]


def test_a_free_first_stage_says_nothing_of_the_others() -> None:
    clock = PipelineClock(2)
    clock.free_s = [4.0, 9.0]
    clock.first_idle_by(3.0)
    assert clock.free_s == [3.0, 9.0]
    clock.first_idle_by(5.0)
    assert clock.free_s == [3.0, 9.0]


def test_latencies_of_another_number_of_stages_are_a_bug() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        PipelineClock(2).finish_s(0.0, (1.0,))
