"""How a trace's arrivals are spread over time: counts, rates and gaps window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.trace import Trace

# The share of the last window that may lie after the end.
MISSING = 0.02
# A clock of microseconds is as good as exact. A coarser one is noticed when this share of gaps is 0.
EXACT_S, TIED_SHARE = 1e-6, 0.05


@dataclass(frozen=True, slots=True)
class Windows:
    """Even pieces of the time from a trace's first to its last arrival.

    start_s: float64 [windows]; counts: int64 [windows]; cv: float64 [windows], of the gaps between arrivals
    of the window, NaN below three of them or when all are simultaneous.
    """

    window_s: float
    start_s: NDArray[np.float64]
    counts: NDArray[np.int64]
    cv: NDArray[np.float64]

    @property
    def rates_rps(self) -> NDArray[np.float64]:
        return self.counts / self.window_s

    @property
    def dispersion(self) -> float | None:
        """Index of dispersion, variance / mean of the counts: 1 is Poisson. None below two windows."""
        return float(self.counts.var(ddof=1) / self.counts.mean()) if len(self.counts) >= 2 else None

    @property
    def peak_to_mean(self) -> float:
        """The busiest window by the average one."""
        return float(self.counts.max() / self.counts.mean())

    @property
    def median_cv(self) -> float | None:
        """Of the windows that have a CV; None when none has."""
        known = self.cv[~np.isnan(self.cv)]
        return float(np.median(known)) if len(known) else None


def windows(
    arrival_s: NDArray[np.float64], *, window_s: float, start_s: float, duration_s: float
) -> Windows | None:
    """Arrivals (ascending, within the time) by whole windows; None when none is whole, or has an arrival.

    What is left after the last whole window is left out: its count would say nothing beside the others. The
    last one may lack a little: a trace that was asked to last ten minutes ends with the last arrival in them.
    """
    number = int(duration_s / window_s + MISSING)
    edges_s = start_s + window_s * np.arange(number + 1, dtype=np.float64)
    bounds = np.searchsorted(arrival_s, edges_s)
    counts = np.diff(bounds)
    if number == 0 or counts.sum() == 0:
        return None
    return Windows(window_s, edges_s[:-1], counts, _gap_cvs(arrival_s, bounds))


def windows_of(trace: Trace, *, window_s: float) -> Windows | None:
    """Of all requests of a trace."""
    start_s = float(trace.arrival_s[0])
    return windows(trace.arrival_s, window_s=window_s, start_s=start_s, duration_s=trace.duration_s)


def windows_by_model(trace: Trace, *, window_s: float) -> dict[str, Windows | None]:
    """Of each model, over the time of the whole trace."""
    start_s, duration_s = float(trace.arrival_s[0]), trace.duration_s
    order = np.argsort(trace.model_index, kind="stable")
    rows = np.split(trace.arrival_s[order], np.cumsum(trace.counts())[:-1])
    return {
        name: windows(arrival_s, window_s=window_s, start_s=start_s, duration_s=duration_s)
        for name, arrival_s in zip(trace.models, rows, strict=True)
    }


def tick_s(arrival_s: NDArray[np.float64]) -> float | None:
    """Steps in which the clock of a trace went, when they are so coarse that many arrivals are simultaneous.

    None for an exact clock, and when everything is at one instant. Gaps below the step say nothing.
    """
    gaps_s = np.diff(arrival_s)
    steps_s = gaps_s[gaps_s > 0]
    if not len(steps_s) or len(steps_s) > (1 - TIED_SHARE) * len(gaps_s) or steps_s.min() <= EXACT_S:
        return None
    return float(steps_s.min())


def _gap_cvs(arrival_s: NDArray[np.float64], bounds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of the gaps inside each window; a gap over an edge belongs to none."""
    gaps_s = np.diff(arrival_s)
    group = np.searchsorted(bounds, np.arange(len(gaps_s)), side="right") - 1
    last = np.append(bounds, len(arrival_s) + 1)[group + 1]
    inside = (group >= 0) & (group < len(bounds) - 1) & (np.arange(1, len(gaps_s) + 1) < last)
    gaps_s, group, number = gaps_s[inside], group[inside], len(bounds) - 1
    counts = np.bincount(group, minlength=number)
    means_s = np.bincount(group, weights=gaps_s, minlength=number) / np.maximum(counts, 1)
    squares = np.bincount(group, weights=(gaps_s - means_s[group]) ** 2, minlength=number)
    has_spread = (counts >= 2) & (means_s > 0)
    cv = np.full(number, np.nan)
    cv[has_spread] = np.sqrt(squares[has_spread] / counts[has_spread]) / means_s[has_spread]
    return cv
