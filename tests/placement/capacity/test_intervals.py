"""Confidence in an attainment: honest where nothing was missed, wider where misses come together."""

import numpy as np
import pytest

from placement.capacity.intervals import over_draws, over_windows

ARRIVALS = np.linspace(0.0, 1000.0, 10_000)


def test_a_run_without_a_miss_is_not_certain() -> None:
    found = over_windows(np.ones(100, dtype=bool), ARRIVALS[:100], seed=0)
    assert found.high == 1.0
    assert found.low == pytest.approx(0.025 ** (1 / 100))


def test_no_requests_say_nothing() -> None:
    found = over_windows(np.zeros(0, dtype=bool), np.zeros(0), seed=0)
    assert (found.low, found.high) == (0.0, 1.0)


def test_misses_in_one_burst_leave_more_doubt_than_misses_all_over() -> None:
    together = np.ones(10_000, dtype=bool)
    together[3000:3500] = False
    spread = np.ones(10_000, dtype=bool)
    spread[::20] = False
    wide, narrow = (over_windows(good, ARRIVALS, seed=1) for good in (together, spread))
    for found in (wide, narrow):
        assert found.low <= 0.95 <= found.high
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(200):
        found = over_windows(rng.random(2000) < 0.9, ARRIVALS[:2000], seed=seed)
        covered += found.low <= 0.9 <= found.high
    # Of 200 at 95 %, three standard deviations below; percentile intervals of 40 windows are a bit narrow.
    assert covered >= 178


def test_the_same_seed_gives_the_same_interval() -> None:
    good = ARRIVALS % 7 > 1
    assert over_windows(good, ARRIVALS, seed=3) == over_windows(good, ARRIVALS, seed=3)


def test_draws_that_agree_leave_no_doubt_and_bounds_stay_shares() -> None:
    assert over_draws([0.9, 0.9, 0.9]).low == pytest.approx(0.9)
    found = over_draws([0.2, 1.0])
    assert (found.low, found.high) == (0.0, 1.0)
    # Student's t with 2 degrees of freedom: 4.3027 standard errors.
    found = over_draws([0.8, 0.85, 0.9])
    assert found.high - 0.85 == pytest.approx(4.3027 * 0.05 / 3**0.5, rel=1e-4)
