"""The compiled search for violated rows says what trying every interval says."""

import itertools

import numpy as np
import pytest

from placement.bound.intervals import Interval, row_of, violated
from placement.bound.resources import Resource


def resource(seed: int, *, is_counted: bool) -> Resource:
    """Two choices; the first columns are served requests, the last two how many stages there are."""
    rng = np.random.default_rng(seed)
    num_uses = 12
    release_s = np.round(rng.uniform(0, 3, num_uses), 1)
    return Resource(
        (0, 0),
        np.arange(num_uses),
        release_s,
        release_s + rng.choice([0.7, 1.1, np.inf], num_uses, p=[0.5, 0.4, 0.1]),
        np.ones(num_uses) if is_counted else rng.uniform(0.5, 2, num_uses),
        rng.integers(1, 5, num_uses).astype(float),
        is_counted,
        np.array([num_uses, num_uses + 1]),
        rng.uniform(1, 4, 2),
        rng.uniform(0, 0.5, 2),
    )


def excess(found: Resource, values: np.ndarray, interval: Interval) -> float:
    row = row_of(found, interval)
    return float(row.values @ values[row.columns] - row.limit)


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_the_worst_interval_is_found_and_none_is_made_up(seed: int, is_counted: bool) -> None:
    found = resource(seed, is_counted=is_counted)
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.uniform(0, 1, 12) * found.count, rng.uniform(0, 1.5, 2)])
    tried = [
        excess(found, values, Interval(begin_s, end_s))
        for begin_s, end_s in itertools.product(found.release_s, found.due_s)
        if begin_s < end_s
    ]
    intervals = violated(found, values, most_rows=8)
    if max(tried) <= 1e-3 * found.work.mean():
        assert not intervals
        return
    assert excess(found, values, intervals[0]) == pytest.approx(max(tried))
    assert all(excess(found, values, interval) > 0 for interval in intervals)
    assert all(a.end_s <= b.begin_s or b.end_s <= a.begin_s for a, b in itertools.combinations(intervals, 2))


def test_no_replica_serves_no_request_and_half_a_replica_half_of_each() -> None:
    found = resource(0, is_counted=True)
    for share in (0.0, 0.5):
        values = np.concatenate([share * np.ones(12), [share, 0.0]])
        one = Interval(float(found.release_s[0]), float(found.due_s[0]))
        assert excess(found, values, one) <= 0
        greedy = values + np.concatenate([0.2 + found.count, [0.0, 0.0]])
        assert excess(found, greedy, one) > 0
