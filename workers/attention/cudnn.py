"""Decode with cuDNN's paged attention; chunks in plain XLA on the same layout. NVIDIA GPUs, 16-bit floats.

JAX's binding is private and wants the tables to name exactly as many pages as the pool has. A step whose rows
can share the pool's pages out evenly, each at least its table, gets its tables widened to that; others are
computed in plain XLA. Chunks stay out: cuDNN aligns causal masks with a sequence's start, not with its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import jax
from jax import numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

from workers.attention.interface import AttentionBackend, Pages
from workers.attention.pages import empty_pages, pages_spec, put_pages, take_pages, write_tokens
from workers.attention.xla import ON_GPU, XlaAttention

_XLA = XlaAttention(ON_GPU)


@final
@dataclass(frozen=True, slots=True)
class CudnnAttention:
    """See `AttentionBackend`. Raises where the binding is missing or there is no NVIDIA GPU."""

    name: str = "cudnn"

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
        from jax._src.cudnn import fused_attention_stablehlo as fused

        if not shares_out(num_pages=len(cache.k), rows=len(q_SNH), columns=tables_SM.shape[1]):
            return _XLA.decode(cache, q_SNH, tables_SM, lengths_S)
        mixed_SN1H = fused.paged_attention(
            **arguments(cache, q_SNH, tables_SM, lengths_S),
            scale=q_SNH.shape[-1] ** -0.5,
            mask_type=fused.MaskType.PADDING,
            qkv_layout="BNTH",
        )
        return mixed_SN1H[:, :, 0].astype(q_SNH.dtype)

    def chunks(
        self,
        cache: Pages,
        q_CBNH: jax.Array,
        tables_CM: jax.Array,
        starts_C: jax.Array,
        counts_C: jax.Array,
    ) -> jax.Array:
        return _XLA.chunks(cache, q_CBNH, tables_CM, starts_C, counts_C)

    def read_pages(self, cache: Pages, pages_P: jax.Array) -> Pages:
        return take_pages(cache, pages_P)

    def write_pages(self, cache: Pages, pages_P: jax.Array, values: Pages) -> Pages:
        return put_pages(cache, pages_P, values)


def shares_out(*, num_pages: int, rows: int, columns: int) -> bool:
    """Whether every row can get equally many of the pool's pages, at least its columns."""
    return num_pages % rows == 0 and num_pages // rows >= columns


def arguments(cache: Pages, q_SNH: jax.Array, tables_SM: jax.Array, lengths_S: jax.Array) -> dict[str, Any]:
    """Arrays as the binding names and shapes them."""
    num_pages, rows = len(cache.k), len(q_SNH)
    padding = ((0, 0), (0, num_pages // rows - tables_SM.shape[1]))
    tables_S1M1 = jnp.pad(tables_SM.clip(0, num_pages - 1), padding)[:, None, :, None]
    # A row of length 0 reads one token of its first page: cuDNN promises nothing for empty rows.
    return {
        "query": q_SNH[:, :, None].astype(cache.k.dtype),
        "key": cache.k,
        "value": cache.v,
        "q_seqlen": jnp.ones(rows, jnp.int32),
        "kv_seqlen": jnp.maximum(lengths_S, 1),
        "page_table_k": tables_S1M1,
        "page_table_v": tables_S1M1,
    }
