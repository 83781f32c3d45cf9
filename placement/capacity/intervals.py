"""How sure an attainment is: over draws of traffic, or over the windows of one replay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.confidence import LEVEL, NUM_WINDOWS, Interval, windows

NUM_RESAMPLES = 1000


def over_windows(good: NDArray[np.bool_], arrival_s: NDArray[np.float64], *, seed: int) -> Interval:
    """Of the share of good requests of one replay: a bootstrap of windows of equal time.

    Where nothing was missed there is nothing to resample: then the lower bound is the exact one for
    independent requests. No requests say nothing: 0 to 1.
    """
    if not len(good):
        return Interval(0.0, 1.0)
    if bool(good.all()):
        return Interval(((1 - LEVEL) / 2) ** (1 / len(good)), 1.0)
    window = windows(arrival_s, NUM_WINDOWS)
    num_requests = np.bincount(window, minlength=NUM_WINDOWS)
    num_good = np.bincount(window[good], minlength=NUM_WINDOWS)
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = rng.integers(NUM_WINDOWS, size=(NUM_RESAMPLES, NUM_WINDOWS))
    totals = num_requests[drawn].sum(axis=1)
    shares = num_good[drawn].sum(axis=1)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def over_draws(shares: Sequence[float]) -> Interval:
    """Of the mean of shares of independent draws, two or more: Student's t."""
    from scipy.special import stdtrit

    num_draws = len(shares)
    assert num_draws > 1, shares
    mean = float(np.mean(shares))
    error = float(np.std(shares, ddof=1)) / math.sqrt(num_draws)
    half = float(stdtrit(num_draws - 1, (1 + LEVEL) / 2)) * error
    return Interval(max(0.0, mean - half), min(1.0, mean + half))
