"""The overhead that the requests of a run show."""

from __future__ import annotations

import numpy as np
import pytest

from statmux.calibrate import observed_overhead
from statmux.recording import Timings
from vocabulary.outcomes import FATE_CODE, Outcomes
from vocabulary.request import Fate
from vocabulary.trace import Trace

DISPATCH_S, RETURN_S, STAGE_S = 0.001, 0.003, 0.2


def run_of(arrival_s: list[float], *, says: bool = True) -> tuple[Outcomes, Timings]:
    """One group of one stage, first come first served."""
    trace = Trace(np.array(arrival_s), np.zeros(len(arrival_s), dtype=np.int32), ("a",))
    queue_s, free_s = np.zeros(len(trace)), 0.0
    for row, time_s in enumerate(arrival_s):
        start_s = max(time_s + DISPATCH_S, free_s)
        queue_s[row], free_s = start_s - time_s, start_s + STAGE_S
    execute_s = np.full(len(trace), STAGE_S if says else np.nan)
    finish_s = trace.arrival_s + queue_s + STAGE_S + RETURN_S
    fate = np.full(len(trace), FATE_CODE[Fate.SERVED], dtype=np.int8)
    fate[-1] = FATE_CODE[Fate.SLO_INFEASIBLE]
    outcomes = Outcomes(trace, np.zeros(len(trace), dtype=np.int32), finish_s, fate, fate == 0)
    return outcomes, Timings(queue_s, execute_s, np.zeros(len(trace)))


@pytest.mark.parametrize(
    "arrival_s",
    [[0.0, 1.0, 2.0, 3.0], [0.0, 0.01, 0.02, 0.03, 0.04, 5.0]],
    ids=["lone requests", "requests that wait for one another"],
)
def test_it_is_the_way_there_and_back_whoever_waited(arrival_s: list[float]) -> None:
    found = observed_overhead(*run_of(arrival_s))
    assert found.fixed_overhead_s == pytest.approx(DISPATCH_S + RETURN_S)
    assert found.lower_quartile_s == pytest.approx(found.upper_quartile_s)
    assert found.num_requests == len(arrival_s) - 1  # one was refused


def test_a_fleet_that_does_not_say_and_a_single_request_show_none() -> None:
    assert observed_overhead(*run_of([0.0, 1.0, 2.0], says=False)) is None
    assert observed_overhead(*run_of([0.0, 1.0])) is None
