"""Outcomes and the statistics of them."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.outcomes import FATE_CODE, FATES, Outcomes, kept_rows, statistics
from vocabulary.request import Fate, Request
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S


def outcomes(rows: list[tuple[float, int, Fate, float, bool]]) -> Outcomes:
    """Rows of (arrival, model index, fate, finish, good)."""
    arrivals, models, fates, finishes, good = zip(*rows, strict=True) if rows else ((),) * 5
    trace = Trace(np.array(arrivals, dtype=float), np.array(models, dtype=np.int32), ("a", "b"))
    return Outcomes(
        trace,
        np.zeros(len(rows), dtype=np.int32),
        np.array(finishes, dtype=float),
        np.array([FATE_CODE[fate] for fate in fates], dtype=np.int8),
        np.array(good, dtype=bool),
    )


FOUR = outcomes(
    [
        (0.0, 0, Fate.SERVED, 0.5, True),
        (1.0, 1, Fate.SLO_INFEASIBLE, 0.0, False),
        (1.5, 0, Fate.SERVED, 3.5, False),
        (2.0, 1, Fate.SERVED, 3.0, True),
    ]
)


def test_codes_name_every_fate_once() -> None:
    assert [FATE_CODE[fate] for fate in FATES] == list(range(len(Fate)))


def test_only_served_requests_have_a_latency() -> None:
    np.testing.assert_array_equal(FOUR.latency_s, [0.5, np.nan, 2.0, 1.0])
    assert FOUR.served.tolist() == [True, False, True, True]


def test_statistics_count_all_requests_but_time_the_served_ones() -> None:
    all_rows = statistics(FOUR, rows=slice(None))
    assert (all_rows.num_requests, all_rows.num_good, all_rows.num_served) == (4, 2, 3)
    assert all_rows.slo_attainment == 0.5
    assert all_rows.goodput_rps == 2 / 2.0
    assert all_rows.p50_s == 1.0
    assert all_rows.p99_s == pytest.approx(1.98)
    assert all_rows.mean_s == pytest.approx(3.5 / 3)


def test_statistics_of_one_model_keep_the_span_of_all() -> None:
    only_b = statistics(FOUR, rows=slice(None), model_index=1)
    assert (only_b.num_requests, only_b.num_good, only_b.num_served) == (2, 1, 1)
    assert only_b.goodput_rps == 1 / 2.0
    assert only_b.p50_s == only_b.p99_s == only_b.mean_s == 1.0


def test_statistics_look_at_the_rows_asked_for() -> None:
    tail = statistics(FOUR, rows=slice(2, 4))
    assert (tail.num_requests, tail.num_good, tail.goodput_rps) == (2, 1, 2.0)


def test_of_no_request_nothing_is_missed() -> None:
    nothing = statistics(outcomes([]), rows=slice(0, 0))
    assert (nothing.slo_attainment, nothing.goodput_rps, nothing.p50_s, nothing.mean_s) == (
        1.0,
        0.0,
        None,
        None,
    )


def test_when_none_is_served_there_are_no_quantiles() -> None:
    refused = statistics(FOUR, rows=slice(1, 2))
    assert (refused.num_requests, refused.num_served, refused.p99_s, refused.slo_attainment) == (
        1,
        0,
        None,
        0.0,
    )


@pytest.mark.parametrize(
    ("trim_s", "kept"), [(0.0, slice(0, 10)), (1.0, slice(1, 9)), (1.9, slice(2, 8)), (9.0, slice(10, 10))]
)
def test_trimming_drops_a_share_of_requests_at_both_ends(trim_s: float, kept: slice) -> None:
    evenly = Trace(np.linspace(0.0, 9.0, 10), np.zeros(10, dtype=np.int32), ("a",))
    assert kept_rows(evenly, trim_s) == kept


def test_a_trace_of_one_instant_is_not_trimmed() -> None:
    burst = Trace(np.zeros(5), np.zeros(5, dtype=np.int32), ("a",))
    assert kept_rows(burst, 3.0) == slice(0, 5)


def test_three_latencies_fit_in_an_objective_of_three() -> None:
    request = Request(0, "a", arrival_s=0.0, slo_s=0.3)
    assert 0.1 + 0.1 + 0.1 > 0.3
    assert request.is_in_time(0.1 + 0.1 + 0.1)
    assert not request.is_in_time(0.3 + 2 * TIME_TOLERANCE_S)


def test_a_request_is_due_at_the_earlier_of_objective_and_deadline() -> None:
    assert Request(0, "a", arrival_s=1.0, slo_s=0.5, deadline_s=9.0).due_s == 1.5
    assert Request(0, "a", arrival_s=1.0, slo_s=0.5, deadline_s=1.2).due_s == 1.2
    assert not Request(0, "a", arrival_s=1.0, slo_s=0.5, deadline_s=1.2).is_in_time(1.3)
