"""What a trace asks for: rates and burstiness, in all and per model; and its models under other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Traffic:
    """rate_rps: requests by seconds from the trace's first to its last arrival; None when that is no time.

    cv: coefficient of variation of the gaps between arrivals (1 is Poisson); None below three arrivals.
    """

    num_requests: int
    rate_rps: float | None
    cv: float | None


def traffic(trace: Trace) -> Traffic:
    """Of all requests together."""
    return _traffic(trace.arrival_s, trace.duration_s)


def traffic_by_model(trace: Trace) -> Mapping[str, Traffic]:
    """Of each model, over the time of the whole trace."""
    return {
        name: _traffic(trace.arrival_s[trace.model_index == index], trace.duration_s)
        for index, name in enumerate(trace.models)
    }


def dealt_round_robin(trace: Trace, models: Sequence[str], *, by_request: bool = False) -> Trace:
    """Model i of the trace as models[i mod M], as AlpaServe maps functions; `by_request` deals requests."""
    sources = np.arange(len(trace)) if by_request else trace.model_index
    return replace(trace, model_index=(sources % len(models)).astype(np.int32), models=tuple(models))


def dealt_in_stripes(trace: Trace, models: Sequence[str], *, by_request: bool = False) -> Trace:
    """Contiguous blocks of the trace's models, or of its requests, one block for each of `models`."""
    num_sources = len(trace) if by_request else len(trace.models)
    sources = np.arange(len(trace)) if by_request else trace.model_index
    dealt = sources.astype(np.int64) * len(models) // num_sources
    return replace(trace, model_index=dealt.astype(np.int32), models=tuple(models))


def dealt_by_name(trace: Trace, target_of: Mapping[str, str]) -> Trace:
    """Each model of the trace as the one it is mapped to, these in the order of the map.

    Models that are mapped to one become one. Raises KeyError for a model of the trace that is not in the map.
    """
    targets = tuple(dict.fromkeys(target_of.values()))
    lookup = np.array([targets.index(target_of[name]) for name in trace.models], dtype=np.int32)
    return replace(trace, model_index=lookup[trace.model_index], models=targets)


def part_of(trace: Trace, *, start_s: float, duration_s: float) -> Trace:
    """The requests in [start_s, start_s + duration_s), at their times, with all models."""
    first = int(np.searchsorted(trace.arrival_s, start_s))
    stop = int(np.searchsorted(trace.arrival_s, start_s + duration_s))
    return trace.take(np.arange(first, stop))


def time_scaled(trace: Trace, factor: float) -> Trace:
    """The same requests in 1 / factor of the time: rates grow by `factor`, the burstiness stays."""
    return replace(trace, arrival_s=trace.arrival_s / factor)


def _traffic(arrival_s: NDArray[np.float64], duration_s: float) -> Traffic:
    gaps_s = np.diff(arrival_s)
    has_spread = len(gaps_s) >= 2 and gaps_s.mean() > 0
    return Traffic(
        num_requests=len(arrival_s),
        rate_rps=len(arrival_s) / duration_s if duration_s > 0 else None,
        cv=float(gaps_s.std() / gaps_s.mean()) if has_spread else None,
    )
