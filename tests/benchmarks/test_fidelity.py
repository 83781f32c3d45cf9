"""The fidelity benchmark: which part of a trace it replays, and what it says of its runs."""

from __future__ import annotations

import numpy as np

from benchmarks.fidelity import SETTLED_S, table, window
from vocabulary.trace import Trace


def test_window_leaves_the_first_burst_out_and_starts_at_zero() -> None:
    arrival_s = np.array([0.0, 0.0, SETTLED_S - 0.1, SETTLED_S + 1, SETTLED_S + 2, SETTLED_S + 31])
    taken = window(Trace(arrival_s, np.arange(6, dtype=np.int32), tuple("abcdef")), 30.0)
    assert taken.arrival_s.tolist() == [0.0, 1.0]
    assert taken.model_index.tolist() == [3, 4] and taken.models == tuple("abcdef")


def run(scale: float, simulated: float, measured: float) -> dict:
    return {
        "table_scale": scale,
        "slo_attainment_simulated": simulated,
        "slo_attainment": measured,
        "difference_points": 100 * (simulated - measured),
    }


def test_table_has_every_point_and_judges_both_bars() -> None:
    calibration = {"fixed_overhead_s": 0.003, "lower_quartile_s": 0.002, "upper_quartile_s": 0.004}
    plans = {
        "sr-greedy": {"calibration": calibration, "runs": [run(0.5, 0.0, 0.0), run(1.5, 0.5, 0.503)]},
        "mp-search": {"calibration": calibration, "runs": [run(2, 0.82, 0.805)]},
    }
    text = table({"workload": "w3", "num_requests": 10, "rate_rps": 2.0, "plans": plans})
    assert "| 1.5 | 50.00% | 50.30% | -0.30 |" in text
    assert "mp-search, fixed overhead 3.00 ms (quartiles 2.00 to 4.00):" in text
    assert text.endswith(
        "3 points: mean absolute difference 0.60 points (bar 0.4, missed), largest 1.50 (bar 1.2, missed)"
    )
