"""Paged attention in plain XLA: exact, on every platform, and what the other backends are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import jax
from jax import numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

from workers.attention.blocks import Rows, Tiling, attend
from workers.attention.interface import AttentionBackend, Pages
from workers.attention.pages import empty_pages, pages_spec, put_pages, take_pages, write_tokens

# Measured on two cores, docs/decisions/0026: blocks that stay in the second-level cache and are not wider
# than most contexts, and rows in groups small enough that a long one does not hold up many short ones.
ON_CPU = Tiling(max_rows=16, block_bytes=1 << 19)
# An accelerator wants all rows at once; blocks bound the memory.
ON_GPU = Tiling(max_rows=1 << 30, block_bytes=64 << 20)


@final
@dataclass(frozen=True, slots=True)
class XlaAttention:
    """See `AttentionBackend`. The layout is [pages, key-value heads, tokens of a page, head width]."""

    tiling: Tiling = ON_CPU
    name: str = "xla"

    def on_mesh(self, mesh: Mesh, tensor_axis: str | None) -> AttentionBackend:
        return self

    def empty(
        self, *, num_pages: int, page_tokens: int, num_kv_heads: int, head_width: int, dtype: DTypeLike
    ) -> Pages:
        return empty_pages(
            num_pages=num_pages,
            page_tokens=page_tokens,
            num_kv_heads=num_kv_heads,
            head_width=head_width,
            dtype=dtype,
        )

    def spec(self, tensor_axis: str | None) -> Pages:
        return pages_spec(tensor_axis)

    def write(self, cache: Pages, k_TKH: jax.Array, v_TKH: jax.Array, slots_T: jax.Array) -> Pages:
        return write_tokens(cache, k_TKH, v_TKH, slots_T)

    def decode(self, cache: Pages, q_SNH: jax.Array, tables_SM: jax.Array, lengths_S: jax.Array) -> jax.Array:
        ones_S = jnp.minimum(lengths_S, 1)
        rows = Rows(q_SNH[:, None], tables_SM, lengths_S - ones_S, ones_S)
        return self._attend(cache, rows)[:, 0]

    def chunks(
        self,
        cache: Pages,
        q_CBNH: jax.Array,
        tables_CM: jax.Array,
        starts_C: jax.Array,
        counts_C: jax.Array,
    ) -> jax.Array:
        return self._attend(cache, Rows(q_CBNH, tables_CM, starts_C, counts_C))

    def read_pages(self, cache: Pages, pages_P: jax.Array) -> Pages:
        return take_pages(cache, pages_P)

    def write_pages(self, cache: Pages, pages_P: jax.Array, values: Pages) -> Pages:
        return put_pages(cache, pages_P, values)

    def _attend(self, cache: Pages, rows: Rows) -> jax.Array:
        num_kv_heads, page_tokens = cache.k.shape[1:3]

        def take(ids_RJ: jax.Array) -> tuple[jax.Array, jax.Array]:
            block = take_pages(cache, ids_RJ)
            return _join(block.k), _join(block.v)

        return attend(rows, take=take, num_kv_heads=num_kv_heads, page_tokens=page_tokens, tiling=self.tiling)


def _join(x_RJKEH: jax.Array) -> jax.Array:
    """RJKEH -> RKXH."""
    rows, columns, num_kv_heads, page_tokens, width = x_RJKEH.shape
    return x_RJKEH.transpose(0, 2, 1, 3, 4).reshape(rows, num_kv_heads, columns * page_tokens, width)
