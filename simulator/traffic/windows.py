"""A model's arrivals as windows, each with a rate and the shape of a Gamma distribution of its gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.gamma_fit import fit_shape, fit_shapes
from vocabulary.errors import InvalidInput
from vocabulary.trace import Trace

# A fitted rate this many times the window's own is the fit's mistake (a burst, then silence): artifact.
MAX_RATE_RATIO = 5.0
# Added to every gap by the artifact before it fits: simultaneous arrivals have no logarithm.
PUBLISHED_GAP_S = 1e-6
# A window with fewer requests has no two gaps to fit.
MIN_REQUESTS = 3


class Method(StrEnum):
    """How windows become processes.

    UNBIASED: as many requests are expected as the window has, and the CV is that of the gaps: stationary
    processes, gaps below the clock's resolution taken as such, arrivals of a clock that ticks spread over
    the tick, and windows too small for a fit drawn with the shape of the model's other windows.
    PUBLISHED: as AlpaServe's artifact. Every window starts at an arrival, the rate is the fitted one unless
    it is more than five times the window's, a microsecond is added to all gaps (a CV of 4 is fitted as 3),
    and windows with fewer than three requests give none.
    """

    UNBIASED = "unbiased"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time, one of several."""

    index: int
    start_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """A model's requests of a piece: the first of them (a position among the model's), how many, the fit."""

    piece: Piece
    first: int
    num_requests: int
    rate_rps: float
    shape: float

    @property
    def index(self) -> int:
        return self.piece.index

    @property
    def start_s(self) -> float:
        return self.piece.start_s

    @property
    def duration_s(self) -> float:
        return self.piece.duration_s


def pieces(trace: Trace, window_s: float) -> tuple[Piece, ...]:
    """The time from the first to the last arrival in even pieces as near to `window_s` as can be."""
    if not 0 < window_s < float("inf"):
        raise InvalidInput(f"a window of {window_s} s", where="window", hint="windows take some time: 60s")
    number = max(1, round(trace.duration_s / window_s))
    edges_s = trace.arrival_s[0] + trace.duration_s * np.arange(number + 1) / number
    return tuple(
        Piece(index, float(start_s), float(stop_s - start_s))
        for index, (start_s, stop_s) in enumerate(pairwise(edges_s))
    )


def fitted_windows(
    arrival_s: NDArray[np.float64], cut: tuple[Piece, ...], method: Method
) -> Iterator[Window]:
    """The windows of one model that have requests to draw, in order. The last piece has its end."""
    starts = np.searchsorted(arrival_s, [piece.start_s for piece in cut[1:]])
    edges = np.concatenate([[0], starts, [len(arrival_s)]])
    published = method is Method.PUBLISHED
    gaps_s = np.diff(arrival_s) + (PUBLISHED_GAP_S if published else 0.0)
    # A gap belongs to a window when both its arrivals do.
    group = np.searchsorted(edges, np.arange(len(gaps_s)), side="right") - 1
    inside = np.arange(1, len(gaps_s) + 1) < edges[group + 1]
    shapes = _shapes(gaps_s[inside], group[inside], len(cut), published=published)
    for piece, first, stop, shape in zip(cut, edges[:-1], edges[1:], shapes, strict=True):
        if first == stop or piece.duration_s <= 0 or (published and (stop - first < MIN_REQUESTS)):
            continue
        rate_rps = (stop - first) / piece.duration_s
        if published:
            fitted_rps = 1.0 / float(gaps_s[first : stop - 1].mean())
            rate_rps = rate_rps if fitted_rps > MAX_RATE_RATIO * rate_rps else fitted_rps
        yield Window(piece, int(first), int(stop - first), float(rate_rps), shape)


def _shapes(
    gaps_s: NDArray[np.float64], group: NDArray[np.int64], num_groups: int, *, published: bool
) -> tuple[float, ...]:
    if published:
        fits = fit_shapes(gaps_s, group, num_groups, resolution_s=0.0)
        return tuple(1.0 if fit is None else fit for fit in fits)
    fits = fit_shapes(gaps_s, group, num_groups)
    pooled = pooled_shape(gaps_s, group, num_groups)
    return tuple(pooled if fit is None else fit for fit in fits)


def spread_s(
    arrival_s: NDArray[np.float64], tick: float | None, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Ascending times within the ticks that a coarse clock showed; the times themselves when it was exact.

    As if what one tick holds were a Poisson process: of that, the trace says nothing.
    """
    return arrival_s if tick is None else np.sort(arrival_s + tick * rng.random(len(arrival_s)))


def pooled_shape(gaps_s: NDArray[np.float64], group: NDArray[np.int64], num_groups: int) -> float:
    """One shape for the gaps of all groups, each group's by its mean; 1 when there is nothing to fit.

    So a rate that differs from window to window is not taken for burstiness.
    """
    counts = np.bincount(group, minlength=num_groups)
    means_s = np.bincount(group, weights=gaps_s, minlength=num_groups) / np.maximum(counts, 1)
    useful = (counts[group] >= 2) & (means_s[group] > 0)
    if not useful.any():
        return 1.0
    overall_s = float(gaps_s[useful].mean())
    shape = fit_shape(gaps_s[useful] / means_s[group][useful] * overall_s)
    return 1.0 if shape is None else shape
