"""Counts and gaps of a trace, window by window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabulary.burstiness import tick_s, windows, windows_by_model, windows_of
from vocabulary.trace import Trace


def test_windows_count_and_what_is_left_over_is_left_out():
    counted = windows(np.array([0.0, 1.0, 2.0, 10.0, 24.0]), window_s=10.0, start_s=0.0, duration_s=24.0)
    assert counted is not None
    assert counted.start_s.tolist() == [0.0, 10.0]
    assert counted.counts.tolist() == [3, 1]
    assert counted.rates_rps.tolist() == [0.3, 0.1]
    assert counted.peak_to_mean == 1.5
    assert counted.dispersion == pytest.approx(1.0)


def test_a_last_window_may_lack_a_little():
    arrival_s = np.array([0.0, 15.0, 19.9])
    for duration_s, number in ((19.9, 2), (19.5, 1)):
        counted = windows(arrival_s, window_s=10.0, start_s=0.0, duration_s=duration_s)
        assert counted is not None
        assert len(counted.counts) == number


def test_gaps_over_an_edge_belong_to_no_window():
    counted = windows(np.array([0.0, 1.0, 4.0, 5.0, 6.0, 7.0]), window_s=5.0, start_s=0.0, duration_s=10.0)
    assert counted is not None
    # Gaps 1, 3 in the first; 1, 1 in the second.
    assert counted.cv.tolist() == [0.5, 0.0]
    assert counted.median_cv == 0.25


def test_no_whole_window_or_no_arrival_is_nothing_to_say():
    assert windows(np.array([0.0, 1.0]), window_s=5.0, start_s=0.0, duration_s=1.0) is None
    assert windows(np.array([]), window_s=5.0, start_s=0.0, duration_s=10.0) is None


def test_one_window_has_no_dispersion_and_two_arrivals_no_cv():
    counted = windows(np.array([0.0, 1.0]), window_s=5.0, start_s=0.0, duration_s=5.0)
    assert counted is not None
    assert counted.dispersion is None
    assert counted.median_cv is None


def test_a_coarse_clock_is_noticed_by_what_it_ties():
    exact_s = np.sort(np.random.default_rng(1).random(500)) * 100
    assert tick_s(exact_s) is None
    assert tick_s(np.floor(exact_s)) == pytest.approx(1.0)
    assert tick_s(np.floor(exact_s * 2) / 2) == pytest.approx(0.5)
    # One client that sends everything twice has ties, and a clock that tells other gaps well.
    assert tick_s(np.repeat(np.array([0.0, 1.0, 1.0000001, 7.0]), 2)) is None
    assert tick_s(np.zeros(5)) is None
    assert tick_s(np.array([1.0])) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.5, 50))
def test_counts_and_cvs_are_those_of_a_plain_loop(times, window_s):
    times_s = np.sort(np.array(times))
    trace = Trace(times_s, (np.arange(len(times)) % 2).astype(np.int32), ("a", "b"))
    counted = windows_of(trace, window_s=window_s)
    if counted is None:
        assert trace.duration_s < window_s
        return
    edges = times_s[0] + window_s * np.arange(len(counted.counts) + 1)
    for start_s, stop_s, count, cv in zip(edges[:-1], edges[1:], counted.counts, counted.cv, strict=True):
        inside = times_s[(times_s >= start_s) & (times_s < stop_s)]
        gaps = np.diff(inside)
        assert count == len(inside)
        if len(gaps) >= 2 and gaps.mean() > 0:
            assert cv == pytest.approx(gaps.std() / gaps.mean(), rel=1e-6, abs=1e-9)
        else:
            assert np.isnan(cv)
    by_model = windows_by_model(trace, window_s=window_s).values()
    assert sum(one.counts.sum() for one in by_model if one) == counted.counts.sum()
