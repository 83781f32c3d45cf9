"""How far the figures of one trace may be from those of other traffic like it: a block bootstrap.

The trace is cut into windows of equal time; a resample draws as many windows, with replacement, and counts
the requests in them. Windows, not requests, since requests of one burst wait for each other and are late
together. What never occurs in the trace occurs in no resample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.outcomes import Outcomes

# Long enough for a burst to end in the window where it began, and enough windows to draw from.
NUM_WINDOWS = 40
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Between which values the figure lies in LEVEL of the resamples."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """Of a set of requests. None where there is nothing to count: no request, or none served."""

    slo_attainment: Interval | None
    p99_s: Interval | None


def confidence(
    outcomes: Outcomes, *, rows: slice, num_resamples: int, seed: int, num_windows: int = NUM_WINDOWS
) -> tuple[Confidence, tuple[Confidence, ...]]:
    """Of all requests of `rows`, and of each model; the same windows are drawn for all.

    O(requests x resamples). Equal arguments give equal intervals.
    """
    assert num_resamples >= 2, num_resamples
    window = windows(outcomes.trace.arrival_s[rows], num_windows)
    random = np.random.default_rng(seed)
    # How often each resample has each window [resamples, windows].
    draws = random.integers(num_windows, size=(num_resamples, num_windows))
    times = np.stack([np.bincount(draw, minlength=num_windows) for draw in draws])
    good, latency_s = outcomes.good[rows], outcomes.latency_s[rows]
    model = outcomes.trace.model_index[rows]
    every = _confidence(times, window, good, latency_s)
    masks = (model == index for index in range(len(outcomes.trace.models)))
    return every, tuple(_confidence(times, window[one], good[one], latency_s[one]) for one in masks)


def windows(arrival_s: NDArray[np.float64], num_windows: int) -> NDArray[np.int64]:
    """The window of each request: equal parts of the time from the first arrival to the last."""
    if not len(arrival_s):
        return np.zeros(0, dtype=np.int64)
    span_s = max(float(arrival_s[-1] - arrival_s[0]), np.finfo(float).tiny)
    shares = (arrival_s - arrival_s[0]) / span_s
    return np.minimum((shares * num_windows).astype(np.int64), num_windows - 1)


def _confidence(
    times: NDArray[np.int64],
    window: NDArray[np.int64],
    good: NDArray[np.bool_],
    latency_s: NDArray[np.float64],
) -> Confidence:
    num_windows = times.shape[1]
    num_requests = times @ np.bincount(window, minlength=num_windows)
    num_good = times @ np.bincount(window[good], minlength=num_windows)
    drawn = num_requests > 0
    served = ~np.isnan(latency_s)
    return Confidence(
        _interval(num_good[drawn] / num_requests[drawn]),
        _interval(_p99_s(times, window[served], latency_s[served])),
    )


def _p99_s(
    times: NDArray[np.int64], window: NDArray[np.int64], latency_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each resample with a served request: the smallest latency that 99 % of them do not exceed."""
    order = np.argsort(latency_s)
    ascending_s, window = latency_s[order], window[order]
    totals = times @ np.bincount(window, minlength=times.shape[1])
    # Nearly always the answer is among the slowest tenth, and the rest need not be counted.
    tail = int(0.9 * len(window))
    found: list[float] = []
    for each, total in zip(times[totals > 0], totals[totals > 0].tolist(), strict=True):
        num_below = total - int(each[window[tail:]].sum())
        start = tail if num_below < 0.99 * total else 0
        num_up_to = np.cumsum(each[window[start:]]) + (num_below if start else 0)
        found.append(float(ascending_s[start + int(np.searchsorted(num_up_to, 0.99 * float(total)))]))
    return np.array(found)


def _interval(values: NDArray[np.float64]) -> Interval | None:
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
