"""Arrivals drawn anew by moving blocks of them about: a local block bootstrap.

Nothing is fitted: bursts inside a block stay as they were, while how many requests a model gets, and which
models burst at the same time, come out otherwise, as they would on another day. (Blocks: Künsch, "The
jackknife and the bootstrap for general stationary observations", 1989; from nearby times only: Paparoditis
and Politis, "Local block bootstrap", 2002.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vocabulary.trace import Trace

# Long enough for a burst and the queue that it leaves, short enough that a few minutes have many blocks.
BLOCK_S = 20.0
# Blocks come from at most so far away: the time of day stays what it was.
REACH_S = 300.0
# More blocks say nothing more, and of a trace with gaps of years there would be too many to make.
MAX_BLOCKS = 100_000


def redrawn(
    trace: Trace, rng: np.random.Generator, *, block_s: float = BLOCK_S, reach_s: float = REACH_S
) -> Trace:
    """A trace as long as the given one, each model's arrivals put together from blocks of its own.

    It begins at 0, whenever the given one does. Token counts are left out: what searches score does not read
    them.
    """
    if not len(trace):
        return trace
    # What comes within a block of 0 is counted from there; other clocks begin with the first arrival.
    first_s = float(trace.arrival_s[0])
    arrival_s = trace.arrival_s if first_s < block_s else trace.arrival_s - first_s
    block_s = max(block_s, trace.duration_s / MAX_BLOCKS)
    columns = [
        _redrawn_s(arrival_s[trace.model_index == model], trace.duration_s, rng, block_s, reach_s)
        for model in range(len(trace.models))
    ]
    return _mixed(columns, trace.models)


def one_after_another(traces: list[Trace], *, gap_s: float) -> Trace:
    """All in one, so far apart that no queue lasts from one to the next."""
    start_s = 0.0
    arrivals: list[NDArray[np.float64]] = []
    for trace in traces:
        arrivals.append(trace.arrival_s + start_s)
        start_s += (float(trace.arrival_s[-1]) if len(trace) else 0.0) + gap_s
    index = np.concatenate([trace.model_index for trace in traces])
    return Trace(np.concatenate(arrivals), index, traces[0].models)


def slices(trace: Trace, *, num_requests: int, num_slices: int, gap_s: float) -> Trace:
    """About so many requests, in stretches spread evenly over the trace; the whole when it is no longer."""
    if len(trace) <= num_requests:
        return trace
    length = num_requests // num_slices
    starts = np.linspace(0, len(trace) - length, num_slices).astype(int)
    return one_after_another([_from_zero(trace, start, start + length) for start in starts], gap_s=gap_s)


def _from_zero(trace: Trace, first: int, end: int) -> Trace:
    arrival_s = trace.arrival_s[first:end]
    return Trace(arrival_s - arrival_s[0], trace.model_index[first:end], trace.models)


def _redrawn_s(
    arrival_s: NDArray[np.float64],
    duration_s: float,
    rng: np.random.Generator,
    block_s: float,
    reach_s: float,
) -> NDArray[np.float64]:
    """One model's arrivals, as a ring so that every one is as likely as any other to come."""
    num_blocks = max(1, int(np.ceil(duration_s / block_s)))
    to_s = np.arange(num_blocks) * block_s
    reach_s = min(reach_s, duration_s / 2)
    from_s = (to_s + rng.uniform(-reach_s, reach_s, num_blocks)) % max(duration_s, 1e-9)
    ring_s = np.concatenate([arrival_s, arrival_s + duration_s])
    length_s = np.minimum(block_s, duration_s - to_s)
    first = np.searchsorted(ring_s, from_s, side="left")
    counts = np.searchsorted(ring_s, from_s + length_s, side="left") - first
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return ring_s[np.repeat(first, counts) + within] - np.repeat(from_s - to_s, counts)


def _mixed(columns: list[NDArray[np.float64]], models: tuple[str, ...]) -> Trace:
    arrival_s = np.concatenate(columns)
    index = np.repeat(np.arange(len(columns), dtype=np.int32), [len(column) for column in columns])
    order = np.argsort(arrival_s, kind="stable")
    return Trace(np.maximum(arrival_s[order], 0.0), index[order], models)
