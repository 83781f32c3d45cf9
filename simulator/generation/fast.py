"""One generating model on one engine of a single stage, compiled: arrivals and tokens in, columns out.

First come, first served, nothing cancelled. With the output reserved and no cached prefixes the plain kernel
answers (a closed form between events), otherwise the one that keeps pages. What the machines decide beside
this rule is not covered: other queue orders, admission by SLO, several models or several stages on a group,
preemption to the host, eviction by cost, several answers to a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.outcomes import FATE_CODE
from vocabulary.request import Fate
from vocabulary.trace import Tokens

if TYPE_CHECKING:  # numba takes half a second to import: only who generates pays for it
    from simulator.generation.kernel import Asked, Columns, Limits, Seconds
    from simulator.generation.running import Cache


@dataclass(frozen=True, slots=True)
class GenerationCounts:
    """Totals of a run. Tokens are computed ones; peak_pages: most pages that sequences held at once."""

    num_steps: int
    num_tokens: int
    num_preempted: int
    num_recomputed: int
    num_hit: int
    peak_pages: int
    peak_sequences: int


@dataclass(frozen=True, slots=True)
class Generated:
    """first_token_s, finish_s: float64 [requests], NaN where refused; fate: int8, SERVED or INVALID."""

    first_token_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    fate: NDArray[np.int8]
    counts: GenerationCounts

    @property
    def served(self) -> NDArray[np.bool_]:
        return self.fate == FATE_CODE[Fate.SERVED]

    def token_s(self, tokens: Tokens) -> NDArray[np.float64]:
        """Mean seconds of each token after the first; NaN for answers of one token."""
        num_later = np.maximum(tokens.output_tokens, 1) - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(num_later > 0, (self.finish_s - self.first_token_s) / num_later, np.nan)


def is_plain(limits: GenerationLimits) -> bool:
    """Whether the closed form applies."""
    shares = limits.has_prefix_cache or limits.max_sequences > limits.max_batched_tokens
    return limits.reserves_output and not shares


def is_covered(limits: GenerationLimits, tokens: Tokens) -> bool:
    """Whether preemptions and evictions under these limits are those of the kernels."""
    shares = limits.has_prefix_cache and tokens.prefix_hashes is not None
    swaps = limits.num_host_pages > 0 and not limits.reserves_output
    return not swaps and not (shares and limits.eviction != "lru")


def generate(
    arrival_s: NDArray[np.float64],
    tokens: Tokens,
    *,
    times: StepTimes,
    limits: GenerationLimits,
    tolerance_s: float = 5e-7,
) -> Generated:
    """Every request answered, or refused because it can never run; arrivals must not go back in time.

    What is decided equals the machines', and times are equal to the last bit or, by the closed form, within
    tolerance_s, which may be 0.
    """
    from simulator.generation.kernel import (
        LOG_LENGTH,
        MAX_REQUESTS,
        NUM_COUNTS,
        Columns,
        Seconds,
        replay_plain,
    )

    num_requests = len(arrival_s)
    assert np.all(arrival_s[1:] >= arrival_s[:-1]), "arrivals must not go back in time"
    assert num_requests < MAX_REQUESTS, num_requests
    assert is_covered(limits, tokens), limits
    assert min(times.constant_s, times.token_s, times.kv_token_s) >= 0, times
    columns = Columns(
        np.full(num_requests, np.nan), np.full(num_requests, np.nan), np.empty(num_requests, dtype=np.int8)
    )
    asked, bounds = _asked(arrival_s, tokens), _limits(limits, tokens)
    seconds = Seconds(float(times.constant_s), float(times.token_s), float(times.kv_token_s))
    counts = np.zeros(NUM_COUNTS, dtype=np.int64)
    if is_plain(limits):
        finishing = np.empty(min(limits.max_sequences, num_requests) + 1, dtype=np.int64)
        log = np.empty((LOG_LENGTH, 3), dtype=np.int64)
        replay_plain(asked, seconds, bounds, columns, counts, float(tolerance_s), finishing, log)
    else:
        _replay_pages(asked, seconds, bounds, columns, counts, tokens)
    return Generated(*columns, GenerationCounts(*counts.tolist()))


def _asked(arrival_s: NDArray[np.float64], tokens: Tokens) -> Asked:
    from simulator.generation.kernel import Asked

    return Asked(
        np.ascontiguousarray(arrival_s, dtype=np.float64),
        np.ascontiguousarray(tokens.input_tokens, dtype=np.int32),
        np.ascontiguousarray(tokens.output_tokens, dtype=np.int32),
    )


def _limits(limits: GenerationLimits, tokens: Tokens) -> Limits:
    from simulator.generation.kernel import Limits

    # A page larger than any sequence is as good as one that just holds the largest.
    most = int(tokens.input_tokens.max(initial=1)) + int(tokens.output_tokens.max(initial=1)) + 1
    return Limits(
        limits.num_pages,
        min(limits.page_tokens, most),
        limits.max_batched_tokens,
        limits.max_sequences,
        limits.is_chunked,
        limits.reserves_output,
        limits.has_prefix_cache and tokens.prefix_hashes is not None,
    )


def _replay_pages(
    asked: Asked,
    seconds: Seconds,
    limits: Limits,
    columns: Columns,
    counts: NDArray[np.int64],
    tokens: Tokens,
) -> None:
    from simulator.generation.kernel_pages import FREE, NUM_STATE, replay_pages
    from simulator.generation.running import Running

    num_requests = len(asked.arrival_s)
    num_places = min(limits.max_sequences, num_requests)
    state = np.zeros(NUM_STATE, dtype=np.int64)
    state[FREE] = limits.num_pages
    replay_pages(
        asked,
        seconds,
        limits,
        columns,
        counts,
        state,
        Running(*(np.zeros(num_places, dtype=np.int64) for _ in Running._fields)),
        _cache(tokens, limits),
        np.zeros(limits.page_tokens, dtype=np.int64),
        np.zeros(num_requests, dtype=np.int64),
    )


def _cache(tokens: Tokens, limits: Limits) -> Cache:
    """An empty cache, with a number for every page of a prompt that can be known by its hash."""
    from simulator.generation.running import Cache

    offsets, hashes = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if limits.has_prefix_cache:
        assert tokens.prefix_offsets is not None and tokens.prefix_hashes is not None
        offsets, hashes = tokens.prefix_offsets, tokens.prefix_hashes
    depth = np.arange(len(hashes)) - np.repeat(offsets[:-1], np.diff(offsets))
    node, depth_of_node = _nodes(hashes, depth)
    # Pages whose last token lies in a block of that depth.
    first, block_tokens = depth_of_node * tokens.block_tokens // limits.page_tokens, tokens.block_tokens
    num_pages = (depth_of_node + 1) * block_tokens // limits.page_tokens - first
    total = int(num_pages.sum())
    assert total < 2**31, f"{total} pages of prompts"
    ring = np.full(total + 1, total, dtype=np.int32)
    return Cache(
        block_tokens=block_tokens,
        first_node=np.ascontiguousarray(offsets, dtype=np.int64),
        node=node,
        first_page=np.cumsum(num_pages) - num_pages,
        is_known=np.zeros(total, dtype=bool),
        users=np.zeros(total, dtype=np.int32),
        before=ring,
        after=ring.copy(),
    )


def _nodes(
    hashes: NDArray[np.int64], depth: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each different (hash, depth), and the depth of each number."""
    order = np.lexsort((depth, hashes))
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (np.diff(hashes[order]) != 0) | (np.diff(depth[order]) != 0)
    node = np.empty(len(order), dtype=np.int64)
    node[order] = np.cumsum(is_new) - 1
    return node, depth[order][is_new]
