"""Gamma distributions fitted to gaps between arrivals: maximum likelihood with location 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from simulator.traffic.renewal import MAX_SHAPE, MIN_SHAPE

# Gaps shorter than this are known to be shorter, not how much: clocks of traces tell microseconds at best,
# and of a bursty Gamma process (CV 4) a quarter of the gaps are below a nanosecond.
RESOLUTION_S = 1e-6
# Bisection of the logarithm of the shape, from MIN_SHAPE to MAX_SHAPE, down to the last digits.
NUM_HALVINGS = 50


def fit_shape(gaps_s: NDArray[np.float64], *, resolution_s: float = RESOLUTION_S) -> float | None:
    """The most likely shape, 1 / CV^2. None for fewer than two gaps, or none above the resolution."""
    return fit_shapes(gaps_s, np.zeros(len(gaps_s), dtype=np.int64), 1, resolution_s=resolution_s)[0]


def fit_shapes(
    gaps_s: NDArray[np.float64],
    group: NDArray[np.int64],
    num_groups: int,
    *,
    resolution_s: float = RESOLUTION_S,
) -> tuple[float | None, ...]:
    """One shape for the gaps of each group [num_groups]; `group` names the group of every gap.

    The most likely scale is mean / shape, which leaves one equation in the shape k, with f the share of gaps
    below the resolution (censored there): log k - digamma(k) - f / k = log(mean) - mean(log).
    """
    counts = np.bincount(group, minlength=num_groups)
    is_short = gaps_s < resolution_s
    shorts = np.bincount(group, weights=is_short, minlength=num_groups)
    sums_s = np.bincount(group, weights=gaps_s, minlength=num_groups)
    logs = np.bincount(group, weights=np.log(np.maximum(gaps_s, resolution_s)), minlength=num_groups)
    can_fit = (counts >= 2) & (shorts < counts)
    number = counts[can_fit]
    spread = np.log(sums_s[can_fit] / number) - logs[can_fit] / number
    shapes: list[float | None] = [None] * num_groups
    for index, shape in zip(np.flatnonzero(can_fit), _solve(spread, shorts[can_fit] / number), strict=True):
        shapes[index] = float(shape)
    return tuple(shapes)


def _solve(spread: NDArray[np.float64], censored: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.full(len(spread), np.log(MIN_SHAPE))
    high = np.full(len(spread), np.log(MAX_SHAPE))
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        shape = np.exp(middle)
        is_low = middle - digamma(shape) - censored / shape > spread
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    # Few digits decide nothing and differ between machines.
    middle = np.exp((low + high) / 2)
    return middle.round(9)
