"""Arrivals for published traces that have none: drawn within windows, or for conversations at a rate."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import generator
from simulator.traffic.renewal import whole_ns
from simulator.traffic.resample import arrivals_of_counts
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.imported import Conversations, Lengths, Windows
from vocabulary.trace import Tokens, Trace

# A trace is in memory, at about 50 bytes a request while it is made.
MAX_REQUESTS = 100_000_000
DAY_S = 86_400.0
FIELDS = ("input_tokens", "output_tokens")


def arrivals_in_windows(windows: Windows, *, cv: float = 1.0, seed: int = 0) -> Trace:
    """Of windows that say how their gaps are distributed as many as they had; else Gamma processes of `cv`.

    Raises InvalidInput for more than 100 million requests.
    """
    total = int(windows.num_requests.sum())
    if total > MAX_REQUESTS:
        message = f"{total} requests are more than a trace can hold ({MAX_REQUESTS})"
        raise InvalidInput(message, hint="take a part of it: --start 0s --duration 1h")
    if windows.gap_shape is None:
        return _of_counts(windows, cv, seed)
    arrivals = [_client_s(windows, index, seed) for index in range(len(windows.sources))]
    arrival_s = np.concatenate(arrivals)
    index = np.repeat(np.arange(len(arrivals), dtype=np.int32), [len(one) for one in arrivals])
    order = np.argsort(arrival_s, kind="stable")
    tokens = _tokens(windows, arrivals, seed)
    tokens = None if tokens is None else tokens.take(order)
    return Trace(arrival_s[order], index[order], windows.sources, tokens)


def arrivals_of_conversations(
    conversations: Conversations, *, rate_rps: float, think_s: float, seed: int = 0
) -> Trace:
    """Conversations begin as a Poisson process, so often that requests come at `rate_rps` while they do.

    A turn follows the one before it after an exponential time of mean `think_s`.
    """
    rng = generator(seed, 0)
    talk = conversations.conversation_index
    num_talks = int(talk[-1]) + 1
    starts_s = np.cumsum(rng.exponential(len(talk) / num_talks / rate_rps, num_talks))
    pauses_s = np.where(conversations.turn_index == 0, 0.0, rng.exponential(think_s, len(talk)))
    waited_s = np.cumsum(pauses_s)
    first = np.arange(len(talk)) - conversations.turn_index
    arrival_s = whole_ns(starts_s[talk] - starts_s[0] + waited_s - waited_s[first])
    order = np.argsort(arrival_s, kind="stable")
    return Trace(
        arrival_s[order],
        conversations.model_index[order],
        conversations.models,
        conversations.tokens.take(order),
    )


def _of_counts(windows: Windows, cv: float, seed: int) -> Trace:
    """By whole days: a day late in a trace needs no table of the days before it."""
    window_s = float(windows.length_s[0])
    day_s = float(windows.start_s.min() // DAY_S * DAY_S)
    counts = replace(windows, start_s=windows.start_s - day_s).counts(window_s)
    drawn = arrivals_of_counts(counts, models=windows.sources, window_s=window_s, cv=cv, seed=seed)
    return replace(drawn, arrival_s=whole_ns(drawn.arrival_s + day_s)) if day_s else drawn


def _client_s(windows: Windows, source_index: int, seed: int) -> NDArray[np.float64]:
    """The arrivals of one client; they do not depend on other clients, nor on which windows are imported."""
    assert windows.gap_shape is not None
    assert windows.is_weibull is not None
    client = _key(windows.sources[source_index])
    arrivals = [np.empty(0)]
    for row in np.flatnonzero(windows.source_index == source_index):
        start_s, length_s = windows.start_s[row], windows.length_s[row]
        rng = generator(seed, client, len(FIELDS) + 1 + round(start_s / length_s))
        draw = rng.weibull if windows.is_weibull[row] else rng.standard_gamma
        shares = _shares(draw(float(windows.gap_shape[row]), int(windows.num_requests[row]) + 1))
        arrivals.append(start_s + shares * length_s)
    return whole_ns(np.concatenate(arrivals))


def _shares(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where in [0, 1] requests are that have these gaps before, between and after them.

    So a window has exactly its count. A process run from an arrival at its start would bring (CV^2 - 1) / 2
    requests too many: 37 for a client of CV 8.6.
    """
    total = gaps.sum()
    if not 0 < total < np.inf:  # shapes near 0 give gaps that all are 0, or one beyond bounds
        gaps, total = np.ones(len(gaps)), float(len(gaps))
    return np.minimum(np.cumsum(gaps)[:-1] / total, 1.0)


def _key(name: str) -> int:
    """Of a client's generators, whatever its position among others."""
    return zlib.crc32(name.encode())


def _tokens(windows: Windows, arrivals: list[NDArray[np.float64]], seed: int) -> Tokens | None:
    """Input and output drawn each for itself: how they go together is not published. 0 where unknown."""
    if not windows.lengths:
        return None
    columns: list[NDArray[np.int32]] = []
    for key, field in enumerate(FIELDS):
        known: dict[int, list[Lengths]] = {}
        for one in windows.lengths:
            if one.field == field:
                known.setdefault(one.source_index, []).append(one)
        drawn = [
            _counts(known.get(index, []), arrival_s, generator(seed, _key(windows.sources[index]), key + 1))
            for index, arrival_s in enumerate(arrivals)
        ]
        columns.append(np.concatenate(drawn))
    inputs, outputs = columns
    return Tokens(inputs, outputs)


def _counts(
    entries: list[Lengths], arrival_s: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int32]:
    """From the entry in force at each arrival; before the first one, from that."""
    counts = np.zeros(len(arrival_s), dtype=np.int32)
    starts_s = [entry.start_s for entry in entries]
    entry_index = np.maximum(np.searchsorted(starts_s, arrival_s, side="right") - 1, 0)
    uniform = rng.random(len(arrival_s))
    for index, entry in enumerate(entries):
        rows = entry_index == index
        bins = np.searchsorted(np.cumsum(entry.weights), uniform[rows])
        counts[rows] = entry.values[np.minimum(bins, len(entry.values) - 1)]
    return counts
