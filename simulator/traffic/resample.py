"""Arrivals drawn anew, window by window: Gamma processes fitted to a trace or to counts (AlpaServe §6.2).

A model's windows each have a rate and a shape, and a generator of their own, named by seed, model and window.
So a sweep over rates stretches the same draws, and a model more or less changes no other's arrivals. (The
artifact counts its seed up by one per window; then seeds 0 and 1 share all windows but one.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import generator, mixed
from simulator.traffic.renewal import renewal_s, shape_of, whole_ns
from simulator.traffic.windows import Method, Piece, Window, fitted_windows, pieces, spread_s
from vocabulary.burstiness import tick_s
from vocabulary.errors import InvalidInput
from vocabulary.trace import Tokens, Trace

# Bursts of real traces last for seconds to minutes, and longer windows lose them: decision 10.
WINDOW_S = 60.0
# The artifact's windows for Azure Functions 2021; for 2019 they are the minutes of its counts.
MAF2_WINDOW_S = 5400.0
# Key of the generators that spread ticks; windows have the lower ones.
TICKS = 2**40


@dataclass(frozen=True, slots=True)
class Scales:
    """What re-sampling multiplies: rates of windows, and the CV of the gaps in them."""

    rate: float = 1.0
    cv: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("cv", self.cv)):
            if not 0 <= value < float("inf"):
                message = f"a {name} cannot be scaled by {value}"
                raise InvalidInput(message, where=f"--{name}-scale", hint="use a number of 0 or more")


def resampled(
    trace: Trace,
    *,
    scales: Scales = Scales(),
    window_s: float = WINDOW_S,
    seed: int = 0,
    method: Method = Method.UNBIASED,
) -> Trace:
    """Other arrivals over the same time, with the rates and the burstiness of each model's windows, scaled.

    The trace's time is cut into even windows of about `window_s`. Token counts and prefixes come along: the
    requests of a window are dealt to its new arrivals in their order, evenly spread: some are left out when
    there are fewer, some come several times when there are more. Prefixes of second copies differ from those
    of the first: they are more users, not the same ones asking twice.
    """
    if not len(trace):
        return trace
    cut = pieces(trace, window_s)
    tick = tick_s(trace.arrival_s) if method is Method.UNBIASED else None
    draws: list[_Draw] = []
    for model_index in range(len(trace.models)):
        rows = np.flatnonzero(trace.model_index == model_index)
        times_s = spread_s(trace.arrival_s[rows], tick, generator(seed, model_index, TICKS))
        for window in fitted_windows(times_s, cut, method):
            arrival_s = _draw_s(window, scales, generator(seed, model_index, window.index + 1), method)
            source = rows[window.first : window.first + window.num_requests]
            draws.append(_Draw(model_index, arrival_s, *_dealt(source, len(arrival_s))))
    return _merged(draws, trace)


def arrivals_of_counts(
    counts: NDArray[np.int64],
    *,
    models: Sequence[str],
    window_s: float = WINDOW_S,
    rate_scale: float = 1.0,
    cv: float = 1.0,
    seed: int = 0,
    method: Method = Method.UNBIASED,
) -> Trace:
    """Arrivals for counts [models, windows]: in each window a Gamma process of rate count / window_s * scale.

    As the artifact replays Azure Functions 2019, with `cv` its `cv_scale`. A window without requests gives
    none. Raises InvalidInput for negative counts.
    """
    assert counts.shape[0] == len(models), (counts.shape, len(models))
    if counts.size and counts.min() < 0:
        raise InvalidInput(f"a count is {counts.min()}", hint="counts of requests are 0 or more")
    scales = Scales(rate_scale, 1.0)
    arrivals, indices = [np.empty(0)], [np.empty(0, dtype=np.int32)]
    for model_index, window in _counted(counts, window_s, shape_of(cv)):
        drawn = _draw_s(window, scales, generator(seed, model_index, window.index + 1), method)
        arrivals.append(drawn)
        indices.append(np.full(len(drawn), model_index, dtype=np.int32))
    arrival_s, model_indices = np.concatenate(arrivals), np.concatenate(indices)
    order = np.argsort(arrival_s, kind="stable")
    return Trace(arrival_s[order], model_indices[order], tuple(models))


@dataclass(frozen=True, slots=True)
class _Draw:
    """Of one window: arrivals, the row of the trace each took its tokens from, and which repetition it is."""

    model_index: int
    arrival_s: NDArray[np.float64]
    rows: NDArray[np.int64]
    repetition: NDArray[np.int64]


def _draw_s(window: Window, scales: Scales, rng: np.random.Generator, method: Method) -> NDArray[np.float64]:
    drawn_s = renewal_s(
        rate_rps=window.rate_rps * scales.rate,
        shape=shape_of(window.shape**-0.5 * scales.cv),
        duration_s=window.duration_s,
        rng=rng,
        is_stationary=method is Method.UNBIASED,
    )
    return whole_ns(window.start_s + drawn_s)


def _counted(counts: NDArray[np.int64], window_s: float, shape: float) -> Iterator[tuple[int, Window]]:
    for model_index, index in np.argwhere(counts > 0):
        count = int(counts[model_index, index])
        piece = Piece(int(index), float(index * window_s), window_s)
        yield int(model_index), Window(piece, 0, count, count / window_s, shape)


def _dealt(rows: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A row for each of `size` arrivals, in order and evenly spread, and how often it was dealt before."""
    position = np.arange(size) * len(rows) // max(size, 1)
    return rows[position], np.arange(size) - np.searchsorted(position, position)


def _merged(draws: list[_Draw], trace: Trace) -> Trace:
    arrival_s = np.concatenate([np.empty(0), *(draw.arrival_s for draw in draws)])
    sizes = [len(draw.arrival_s) for draw in draws]
    indices = np.repeat(np.array([draw.model_index for draw in draws], dtype=np.int32), sizes)
    order = np.argsort(arrival_s, kind="stable")
    tokens = None
    if trace.tokens is not None:
        rows = np.concatenate([np.empty(0, dtype=np.int64), *(draw.rows for draw in draws)])[order]
        repetition = np.concatenate([np.empty(0, dtype=np.int64), *(draw.repetition for draw in draws)])
        tokens = _of_other_users(trace.tokens.take(rows), repetition[order])
    return Trace(arrival_s[order], indices[order], trace.models, tokens)


def _of_other_users(tokens: Tokens, repetition: NDArray[np.int64]) -> Tokens:
    if tokens.prefix_hashes is None or tokens.prefix_offsets is None:
        return tokens
    salts = mixed(repetition.astype(np.uint64)) >> np.uint64(1)
    salts[repetition == 0] = 0
    sizes = np.diff(tokens.prefix_offsets)
    hashes = tokens.prefix_hashes ^ np.repeat(salts.astype(np.int64), sizes)
    return replace(tokens, prefix_hashes=hashes)
