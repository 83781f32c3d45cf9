"""What the overlap benchmark says of steps that somebody else timed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.overlap import EAGER, WAITING, WAYS, Row, is_met, table
from resharding.schedule_times import StageTimes, makespan_s
from resharding.schedules import peak_in_flight

FORWARD_S = 0.03
TIMES = StageTimes(FORWARD_S, 2 * FORWARD_S, FORWARD_S / 2)


def rows(*, slower: float = 1.0) -> list[Row]:
    """As simulated, at half a forward; eager-1F1B so many times slower."""
    return [
        Row(
            way.name,
            0.5,
            _step_s(way) * (slower if way is EAGER else 1.0),
            _step_s(way),
            way.ideal_s(TIMES),
            (),
            peak_in_flight(way.rows()),
        )
        for way in WAYS
    ]


def _step_s(way) -> float:
    return makespan_s(way.rows(), replace(TIMES, overlaps=way.overlaps))


def test_the_table_has_measured_beside_simulated_by_the_ideal_and_memory() -> None:
    printed = table(rows())
    assert "| 1F1B, no overlap | 1.307 | 1.307 | 4, 3, 2, 1 |" in printed
    assert "| eager-1F1B | 1.053 | 1.053 | 7, 5, 3, 1 |" in printed
    assert "| inference | 1.079 | 1.079 | 1, 1, 1, 1 |" in printed
    assert "1.242 times as fast as 1F1B without overlap, 1.242 simulated (bar 1.15: met)" in printed
    assert printed.startswith("Emulated: 4 stages, 16 micro-batches")


@pytest.mark.parametrize(("slower", "expected"), [(1.0, True), (1.2, False)])
def test_the_bar_is_of_eager_against_waiting_at_half_a_forward(slower: float, expected: bool) -> None:
    assert is_met(rows(slower=slower)) is expected
    assert is_met([replace(row, transfer_by_forward=1.0) for row in rows(slower=slower)])
    assert ("MISSED" in table(rows(slower=slower))) is not expected


def test_every_way_is_a_schedule_of_its_own() -> None:
    assert len({(way.schedule, way.overlaps, way.is_delayed) for way in WAYS}) == len(WAYS) == 9
    assert not WAITING.overlaps
