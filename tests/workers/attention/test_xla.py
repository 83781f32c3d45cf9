"""Plain XLA attention over pages against loops in float64."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from tests.workers.attention.oracle import case, chunk_all, decode_all
from workers.attention.blocks import Tiling
from workers.attention.interface import Pages
from workers.attention.xla import ON_GPU, XlaAttention

# One column a turn and rows one by one; a few of each; everything at once.
TILINGS = (Tiling(max_rows=1, block_bytes=1), Tiling(max_rows=3, block_bytes=4096), ON_GPU)
# Float32 sums of about a hundred terms of size 1.
TOLERANCE = 1e-5


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_decode_equals_loops_whatever_is_computed_at_once(tiling: Tiling, num_kv_heads: int) -> None:
    drawn = case([1, 5, 17, 64, 3], num_kv_heads=num_kv_heads)
    mixed = decode_all(XlaAttention(tiling), drawn)
    for sequence, length in enumerate(drawn.lengths):
        np.testing.assert_allclose(mixed[sequence], drawn.expected(sequence, length - 1), atol=TOLERANCE)
    assert np.isfinite(mixed).all()


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("starts", [[0, 0, 0], [7, 2, 30], [8, 0, 36]])
def test_chunks_see_all_that_came_before_and_nothing_after(tiling: Tiling, starts: list[int]) -> None:
    drawn = case([9, 6, 41])
    mixed = chunk_all(XlaAttention(tiling), drawn, tile=6, starts=starts)
    for c, start in enumerate(starts):
        for b in range(min(6, drawn.lengths[c] - start)):
            np.testing.assert_allclose(mixed[c, b], drawn.expected(c, start + b), atol=TOLERANCE)
    assert np.isfinite(mixed).all()


def test_garbage_of_other_sequences_does_not_spread() -> None:
    """Pages are not cleared between sequences: an overflow of one must stay its own."""
    backend, drawn = XlaAttention(), case([5, 9])
    cache = drawn.cache(backend)
    own = np.zeros(drawn.num_slots, bool)
    own[drawn.slots(1)] = True
    foreign = jnp.asarray(np.flatnonzero(~own), jnp.int32)
    garbage = jnp.full((len(foreign), 2, 8), jnp.nan)
    cache = backend.write(cache, garbage, garbage, foreign)
    tables, q = jnp.asarray(drawn.tables_SM[1:]), jnp.asarray(drawn.q[1][-1:])
    mixed = backend.decode(cache, q, tables, jnp.asarray([9], jnp.int32))
    np.testing.assert_allclose(mixed[0], drawn.expected(1, 8), atol=TOLERANCE)


def test_pages_come_back_as_they_went() -> None:
    backend, drawn = XlaAttention(), case([5, 9, 30])
    cache = drawn.cache(backend)
    pages = jnp.asarray([2, 5, 1, 1000], jnp.int32)
    values = backend.read_pages(cache, pages)
    moved = backend.write_pages(jax.tree.map(jnp.zeros_like, cache), pages, values)
    assert (moved.k[jnp.asarray([2, 5, 1])] == cache.k[jnp.asarray([2, 5, 1])]).all()
    assert float(jnp.abs(moved.v).sum()) == float(jnp.abs(cache.v[jnp.asarray([2, 5, 1])]).sum())


def test_slots_beyond_the_pool_are_dropped() -> None:
    backend = XlaAttention()
    cache = backend.empty(num_pages=2, page_tokens=4, num_kv_heads=2, head_width=8, dtype="float32")
    ones = jnp.ones((3, 2, 8))
    written = backend.write(cache, ones, ones, jnp.asarray([3, 8, 4000], jnp.int32))
    assert float(written.k.sum()) == 16
    assert (written.v[0, :, 3] == 1).all()


def test_a_wide_table_costs_no_memory_and_a_chunk_no_gather_of_its_table() -> None:
    """A block's keys, values, scores and weights, twice: far below the keys that the tables could name."""
    tiling = Tiling(max_rows=8, block_bytes=1 << 18)
    temporary = [_temporary_bytes(tiling, columns=columns) for columns in (64, 1024)]
    tables_bytes = 4 * 4 * (1024 - 64)
    assert temporary[1] - temporary[0] <= 2 * tables_bytes
    assert temporary[1] < 8 * tiling.block_bytes + 8 * _QUERY_BYTES


_QUERY_BYTES = 4 * 64 * 8 * 32 * 4


def _temporary_bytes(tiling: Tiling, *, columns: int) -> int:
    backend = XlaAttention(tiling)
    pool = jax.ShapeDtypeStruct((256, 4, 16, 32), jnp.float32)
    q = jax.ShapeDtypeStruct((4, 64, 8, 32), jnp.float32)
    tables = jax.ShapeDtypeStruct((4, columns), jnp.int32)
    counts = jax.ShapeDtypeStruct((4,), jnp.int32)
    compiled = jax.jit(backend.chunks).lower(Pages(pool, pool), q, tables, counts, counts).compile()
    return compiled.memory_analysis().temp_size_in_bytes
