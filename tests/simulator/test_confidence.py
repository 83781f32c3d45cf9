"""Intervals of attainment and p99 from resampled windows."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.confidence import confidence, windows
from vocabulary.outcomes import FATE_CODE, Outcomes
from vocabulary.request import Fate
from vocabulary.trace import Trace

ALL = slice(None)


def outcomes(
    good: np.ndarray, *, latency_s: np.ndarray | None = None, served: np.ndarray | None = None
) -> Outcomes:
    """Evenly spread requests of two models in turn."""
    num = len(good)
    trace = Trace(np.arange(num) / 10.0, (np.arange(num) % 2).astype(np.int32), ("a", "b"))
    latency_s = np.ones(num) if latency_s is None else latency_s
    served = np.ones(num, dtype=bool) if served is None else served
    fate = np.where(served, FATE_CODE[Fate.SERVED], FATE_CODE[Fate.SLO_INFEASIBLE]).astype(np.int8)
    return Outcomes(trace, np.zeros(num, dtype=np.int32), trace.arrival_s + latency_s, fate, good & served)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    made = outcomes(np.random.default_rng(0).random(2000) < 0.9)
    first, again, other = (confidence(made, rows=ALL, num_resamples=50, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Bursts: the requests of a window are good or late together, far from independent."""
    random = np.random.default_rng(1)
    num_held = 0
    for seed in range(200):
        share = random.beta(8, 2, size=40)
        good = random.random((40, 50)) < share[:, None]
        every, _ = confidence(outcomes(good.ravel()), rows=ALL, num_resamples=200, seed=seed)
        num_held += every.slo_attainment.low <= 0.8 <= every.slo_attainment.high
    # 95 % of 200 is 190; a percentile bootstrap of 40 windows is a little narrow, and 5 is chance.
    assert num_held >= 180


def test_requests_of_one_burst_do_not_count_as_many() -> None:
    good = np.repeat(np.random.default_rng(2).random(40) < 0.8, 50)
    together, _ = confidence(outcomes(good), rows=ALL, num_resamples=300, seed=0)
    apart, _ = confidence(
        outcomes(np.random.default_rng(2).permutation(good)), rows=ALL, num_resamples=300, seed=0
    )
    width = [one.slo_attainment.high - one.slo_attainment.low for one in (together, apart)]
    assert width[0] > 3 * width[1]


def test_p99_is_of_the_served_and_lies_in_its_interval() -> None:
    random = np.random.default_rng(5)
    latency_s = random.exponential(1.0, size=4000)
    served = random.random(4000) < 0.9
    made = outcomes(np.ones(4000, dtype=bool), latency_s=latency_s, served=served)
    every, by_model = confidence(made, rows=ALL, num_resamples=200, seed=0)
    assert every.p99_s.low <= np.quantile(latency_s[served], 0.99) <= every.p99_s.high
    assert all(one.p99_s.low > 3 for one in by_model)


@pytest.mark.parametrize("growth_s", [0.0, 0.1], ids=["mixed", "slow windows at the end"])
def test_p99_of_a_resample_is_the_sorted_copy_s(growth_s: float) -> None:
    """Against the plain way: take the drawn windows' requests, sort, index."""
    random = np.random.default_rng(7)
    latency_s = random.exponential(1.0, size=300) + growth_s * np.arange(300)
    made = outcomes(np.ones(300, dtype=bool), latency_s=latency_s)
    every, _ = confidence(made, rows=ALL, num_resamples=20, seed=9, num_windows=7)
    window = windows(made.trace.arrival_s, 7)
    plain = []
    for draw in np.random.default_rng(9).integers(7, size=(20, 7)):
        drawn_s = np.sort(np.concatenate([made.latency_s[window == index] for index in draw]))
        plain.append(drawn_s[int(np.ceil(0.99 * len(drawn_s))) - 1])
    low, high = np.quantile(plain, [0.025, 0.975])
    assert (every.p99_s.low, every.p99_s.high) == pytest.approx((low, high))


def test_nothing_to_count_has_no_interval() -> None:
    none_served = outcomes(np.zeros(50, dtype=bool), served=np.zeros(50, dtype=bool))
    every, _ = confidence(none_served, rows=ALL, num_resamples=10, seed=0)
    assert every.p99_s is None and every.slo_attainment.high == 0
    every, by_model = confidence(none_served, rows=slice(0, 0), num_resamples=10, seed=0)
    assert every.slo_attainment is None and by_model[1].slo_attainment is None


def test_windows_are_equal_parts_of_the_time() -> None:
    assert windows(np.array([5.0, 5.9, 6.0, 9.0, 9.0]), 4).tolist() == [0, 0, 1, 3, 3]
    assert windows(np.array([2.0, 2.0]), 4).tolist() == [0, 0]
