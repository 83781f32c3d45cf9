"""What the compiled loop of `kernel_pages` holds: sequences that run, and pages of prompts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Running(NamedTuple):
    """Sequences in order of admission [max_sequences].

    prompt: tokens to compute before the next can be emitted; pages: that it holds, the first `shared` of them
    known to the cache; emitted: tokens so far; slice: tokens that it computes in this step. returned: the
    requests that were preempted and wait, the next to return last.
    """

    request: NDArray[np.int64]
    prompt: NDArray[np.int64]
    cached: NDArray[np.int64]
    pages: NDArray[np.int64]
    shared: NDArray[np.int64]
    emitted: NDArray[np.int64]
    slice: NDArray[np.int64]
    returned: NDArray[np.int64]


class Cache(NamedTuple):
    """Pages of prompts by number: page i of a prompt is number first_page[node] + (its place in its block).

    node: int64 [blocks of all requests], what the chained hash and the depth of a block stand for;
    first_node: int64 [requests + 1] into it; is_known: whether the page is in the cache; users: sequences
    that hold it; before, after: the unused ones, in the order in which they are evicted, in a ring that
    starts at the last number.
    """

    block_tokens: int
    first_node: NDArray[np.int64]
    node: NDArray[np.int64]
    first_page: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    users: NDArray[np.int32]
    before: NDArray[np.int32]
    after: NDArray[np.int32]
