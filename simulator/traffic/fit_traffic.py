"""A trace -> the workloads of its models: what `traffic.workload` would draw traffic like it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.gamma_fit import fit_shape
from simulator.traffic.generators import generator
from simulator.traffic.resample import WINDOW_S
from simulator.traffic.windows import pieces, pooled_shape, spread_s
from vocabulary.burstiness import Windows, tick_s, windows_by_model
from vocabulary.deployment import Workload
from vocabulary.popularity import power_law_exponent
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token counts of some requests."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: int


@dataclass(frozen=True, slots=True)
class ModelFit:
    """One model's traffic.

    rate_rps: over the time of the whole trace; cv: 1 / sqrt(shape), None when there are too few gaps to say.
    shape: of the most likely Gamma distribution of the gaps (within windows, each by its mean, when windows
    were asked for). moment_cv: standard deviation / mean of all gaps. dispersion, peak_to_mean: of counts
    in windows.
    """

    num_requests: int
    rate_rps: float
    cv: float | None
    shape: float | None
    moment_cv: float | None
    dispersion: float | None
    peak_to_mean: float | None
    input_tokens: Lengths | None = None
    output_tokens: Lengths | None = None

    @property
    def workload(self) -> Workload:
        """Poisson when there is too little to say otherwise."""
        return Workload(self.rate_rps, 1.0 if self.cv is None else self.cv)


@dataclass(frozen=True, slots=True)
class TrafficFit:
    """exponent: of the power law of the models' shares; None below two models. tick_s: of a coarse clock."""

    models: Mapping[str, ModelFit]
    exponent: float | None
    window_s: float
    tick_s: float | None


def fit_traffic(trace: Trace, *, window_s: float = WINDOW_S, is_windowed: bool = False) -> TrafficFit:
    """Of each model that has requests, the one asked for most first.

    Arrivals that a coarse clock shows at one instant are spread over its tick, always in the same way.
    is_windowed: the CV is that of the gaps within windows, so that a rate that drifts is not taken for
    burstiness. `window_s` is also what counts are counted in.
    """
    spread = windows_by_model(trace, window_s=window_s) if trace.duration_s >= window_s else {}
    tick = tick_s(trace.arrival_s)
    fits = {
        name: _fit(trace, index, spread.get(name), window_s if is_windowed else None, tick)
        for index, name in enumerate(trace.models)
    }
    by_requests = sorted(fits.items(), key=lambda item: -item[1].num_requests)
    present = {name: fit for name, fit in by_requests if fit.num_requests}
    return TrafficFit(present, power_law_exponent(trace.counts()), window_s, tick)


def lengths(tokens: NDArray[np.int32]) -> Lengths | None:
    """None without requests, or when no request has any."""
    if not len(tokens) or not tokens.any():
        return None
    p50, p90, p99 = np.quantile(tokens, (0.5, 0.9, 0.99)).tolist()
    return Lengths(float(tokens.mean()), p50, p90, p99, int(tokens.max()))


def _fit(
    trace: Trace, model_index: int, spread: Windows | None, window_s: float | None, tick: float | None
) -> ModelFit:
    rows = np.flatnonzero(trace.model_index == model_index)
    arrival_s = spread_s(trace.arrival_s[rows], tick, generator(0, model_index))
    gaps_s = np.diff(arrival_s)
    shape = _shape(trace, arrival_s, window_s)
    has_spread = len(gaps_s) >= 2 and gaps_s.mean() > 0
    return ModelFit(
        num_requests=len(rows),
        rate_rps=len(rows) / trace.duration_s if trace.duration_s > 0 else 0.0,
        cv=None if shape is None else shape**-0.5,
        shape=shape,
        moment_cv=float(gaps_s.std() / gaps_s.mean()) if has_spread else None,
        dispersion=None if spread is None else spread.dispersion,
        peak_to_mean=None if spread is None else spread.peak_to_mean,
        input_tokens=None if trace.tokens is None else lengths(trace.tokens.input_tokens[rows]),
        output_tokens=None if trace.tokens is None else lengths(trace.tokens.output_tokens[rows]),
    )


def _shape(trace: Trace, arrival_s: NDArray[np.float64], window_s: float | None) -> float | None:
    gaps_s = np.diff(arrival_s)
    if window_s is None or len(gaps_s) < 2:
        return fit_shape(gaps_s)
    cut = pieces(trace, window_s)
    group = np.searchsorted([piece.start_s for piece in cut[1:]], arrival_s, side="right")
    inside = group[1:] == group[:-1]
    return pooled_shape(gaps_s[inside], group[1:][inside], len(cut))
