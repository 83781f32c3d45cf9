"""The Triton decode kernel in interpret mode, and chunks on its layout, against loops in float64."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from tests.workers.attention.oracle import case, chunk_all, decode_all
from workers.attention.interface import Pages
from workers.attention.pallas_gpu import PallasGpuAttention, cut_columns

TOLERANCE = 1e-5


@pytest.mark.parametrize("num_kv_heads", [1, 4])
def test_decode_equals_loops(num_kv_heads: int) -> None:
    drawn = case([1, 5, 17, 64], num_kv_heads=num_kv_heads)
    mixed = decode_all(PallasGpuAttention(interprets=True), drawn)
    for sequence, length in enumerate(drawn.lengths):
        np.testing.assert_allclose(mixed[sequence], drawn.expected(sequence, length - 1), atol=TOLERANCE)
    assert np.isfinite(mixed).all()


def test_chunks_equal_loops_on_the_kernels_layout() -> None:
    drawn, starts = case([9, 41]), [3, 30]
    mixed = chunk_all(PallasGpuAttention(), drawn, tile=6, starts=starts)
    for c, start in enumerate(starts):
        for b in range(6):
            np.testing.assert_allclose(mixed[c, b], drawn.expected(c, start + b), atol=TOLERANCE)


def test_pages_come_back_as_they_went() -> None:
    backend, drawn = PallasGpuAttention(), case([5, 9, 30])
    cache, pages = drawn.cache(backend), jnp.asarray([2, 5, 1, 1000], jnp.int32)
    moved = backend.write_pages(jax.tree.map(jnp.zeros_like, cache), pages, backend.read_pages(cache, pages))
    kept = jnp.asarray([2, 5, 1])
    assert (moved.k[:, kept] == cache.k[:, kept]).all()
    assert float(jnp.abs(moved.v).sum()) == pytest.approx(float(jnp.abs(cache.v[:, kept]).sum()))


@pytest.mark.parametrize(
    ("dtype", "head_width", "num_kv_heads"), [("bfloat16", 128, 8), ("float32", 64, 8), ("float16", 64, 1)]
)
def test_the_kernel_is_lowered_for_cuda_in_shapes_of_real_models(
    dtype: str, head_width: int, num_kv_heads: int
) -> None:
    pool = jax.ShapeDtypeStruct((num_kv_heads, 256, 16, head_width), dtype)
    lowered = (
        jax.jit(PallasGpuAttention().decode)
        .trace(
            Pages(pool, pool),
            jax.ShapeDtypeStruct((8, 32, head_width), dtype),
            jax.ShapeDtypeStruct((8, 64), jnp.int32),
            jax.ShapeDtypeStruct((8,), jnp.int32),
        )
        .lower(lowering_platforms=("cuda",))
    )
    assert "xla.gpu.triton" in lowered.as_text()


@pytest.mark.parametrize("num_columns", [1, 7, 8, 24, 100, 128])
@pytest.mark.parametrize("num_programs", [1, 64, 1000])
def test_cuts_are_what_the_kernel_takes(num_columns: int, num_programs: int) -> None:
    cut = cut_columns(num_columns=num_columns, page_tokens=16, num_programs=num_programs)
    per_split, rest = divmod(num_columns + cut.num_padding, cut.num_splits)
    assert rest == 0
    assert per_split % cut.block_columns == 0
    assert cut.num_padding < cut.block_columns * cut.num_splits
