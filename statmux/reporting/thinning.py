"""Fewer points where more cannot be seen: the lowest and the highest of every stretch of a curve are kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statmux.reporting.figures import Series

_MAX_POINTS = 480
# Each point of a cloud is an element of the page.
_MAX_CLOUD = 500


class Columns(NamedTuple):
    """float64, equally long; infinite values are NaN, which leaves a gap."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None


def thinned(series: Series) -> Columns:
    """The columns of a series, at most as long as can be told apart on paper."""
    x, y = _column(series.x), _column(series.y)
    low, high = (None if side is None else _column(side) for side in (series.low, series.high))
    if series.style == "points":
        keep = _spread(len(x), _MAX_CLOUD)
    elif len(x) > _MAX_POINTS:
        keep = _extremes(y, _MAX_POINTS // 2)
    else:
        return Columns(x, y, low, high)
    return Columns(x[keep], y[keep], None if low is None else low[keep], None if high is None else high[keep])


def _column(values: ArrayLike) -> NDArray[np.float64]:
    column = np.array(values, dtype=float).ravel()
    column[~np.isfinite(column)] = np.nan
    return column


def _spread(num_points: int, num_kept: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, max(num_points - 1, 0), min(num_points, num_kept)).astype(np.int64))


def _extremes(y: NDArray[np.float64], num_stretches: int) -> NDArray[np.int64]:
    """First, last, in every stretch the places of its lowest and its highest value, and where gaps begin."""
    edges = np.linspace(0, len(y), num_stretches + 1).astype(np.int64)
    low, high = np.where(np.isnan(y), np.inf, y), np.where(np.isnan(y), -np.inf, y)
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    places = [at + int(side[at:end].argmin()) for at, end in pairs for side in (low, -high)]
    is_gap = np.isnan(y)
    gaps = np.flatnonzero(is_gap & ~np.concatenate([[False], is_gap[:-1]]))
    return np.unique([0, *places, *gaps, len(y) - 1])
