"""Gamma renewal arrivals, in whole nanoseconds.

The last bits of `pow` and `log` differ between machines. So every gap is rounded as soon as it is drawn, and
all that follows is exact: two machines differ only where such a bit turns a rounding, once in 1e8 gaps.
"""

from __future__ import annotations

from itertools import count

import numpy as np
from numpy.typing import NDArray

NS_PER_S = 1e9
# Shapes beyond these are as good as a single burst and a metronome: CV 32 and 0.001.
MIN_SHAPE, MAX_SHAPE = 1e-3, 1e6
# Of so few requests no trace has one, and gaps would be longer than floats go.
LEAST_EXPECTED = 1e-12


def renewal_s(
    *, rate_rps: float, shape: float, duration_s: float, rng: np.random.Generator, is_stationary: bool
) -> NDArray[np.float64]:
    """Ascending arrivals in [0, duration_s) whose gaps are Gamma distributed with mean 1 / rate_rps.

    is_stationary: the clock starts at any instant of a process that runs for long, so that rate_rps *
    duration_s arrivals are expected. Otherwise it starts at an arrival, which is not counted: with a CV
    above 1 more are expected, by (CV^2 - 1) / 2 in a long time.
    """
    if rate_rps * duration_s < LEAST_EXPECTED:
        return np.empty(0)
    first_gaps = np.array([_residual(shape, rng)]) if is_stationary else np.empty(0)
    duration_ns = duration_s * NS_PER_S
    size = int(1.2 * rate_rps * duration_s) + 16
    blocks = [_rounded_ns(first_gaps / rate_rps, duration_ns)]
    total_ns = int(blocks[0].sum())
    # Bursty draws may fall short of the duration by any number of blocks, but each adds to it.
    for _ in count():
        if total_ns >= duration_ns:
            break
        blocks.append(_rounded_ns(rng.standard_gamma(shape, size) / (shape * rate_rps), duration_ns))
        total_ns += int(blocks[-1].sum())
    arrival_ns = np.cumsum(np.concatenate(blocks))
    return arrival_ns[arrival_ns < duration_ns] / NS_PER_S


def shape_of(cv: float) -> float:
    """Of the Gamma distribution with this coefficient of variation, within what can be drawn."""
    return MAX_SHAPE if cv <= MAX_SHAPE**-0.5 else max(MIN_SHAPE, cv**-2)


def whole_ns(times_s: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Times in seconds, each the float nearest to a whole number of nanoseconds."""
    return np.rint(np.asarray(times_s) * NS_PER_S) / NS_PER_S


def _residual(shape: float, rng: np.random.Generator) -> float:
    """What is left of a gap of mean 1 at a random instant: a uniform share of a gap drawn by its length."""
    return float(rng.standard_gamma(shape + 1) / shape * rng.random())


def _rounded_ns(gaps_s: NDArray[np.float64], duration_ns: float) -> NDArray[np.int64]:
    # A gap longer than the duration ends it; cut, so that its nanoseconds fit into the integer.
    return np.rint(np.minimum(gaps_s * NS_PER_S, duration_ns)).astype(np.int64)
