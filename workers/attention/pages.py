"""Pools in the layout [pages, key-value heads, tokens of a page, head width], and how they are written.

The tokens of one head lie together, so that a block of pages is a batch of matrices without a transposition.
On CPUs pools are float32: XLA there turns a whole 16-bit pool into float32 and back at every write (31 ms for
a pool of 8.5 MB).
Array suffixes: attention/interface.py.
"""

from __future__ import annotations

import jax
from jax import numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike

from workers.attention.interface import Pages


def empty_pages(
    *, num_pages: int, page_tokens: int, num_kv_heads: int, head_width: int, dtype: DTypeLike
) -> Pages:
    shape = (num_pages, num_kv_heads, page_tokens, head_width)
    return Pages(k=jnp.zeros(shape, dtype), v=jnp.zeros(shape, dtype))


def pages_spec(tensor_axis: str | None) -> Pages:
    spec = PartitionSpec(None, tensor_axis)
    return Pages(k=spec, v=spec)


def write_tokens(cache: Pages, k_TKH: jax.Array, v_TKH: jax.Array, slots_T: jax.Array) -> Pages:
    pages_T, places_T = jnp.divmod(slots_T, cache.k.shape[2])
    return Pages(
        k=cache.k.at[pages_T, :, places_T].set(k_TKH.astype(cache.k.dtype), mode="drop"),
        v=cache.v.at[pages_T, :, places_T].set(v_TKH.astype(cache.v.dtype), mode="drop"),
    )


def take_pages(cache: Pages, pages_P: jax.Array) -> Pages:
    return Pages(
        k=jnp.take(cache.k, pages_P, axis=0, mode="clip"), v=jnp.take(cache.v, pages_P, axis=0, mode="clip")
    )


def put_pages(cache: Pages, pages_P: jax.Array, values: Pages) -> Pages:
    return Pages(
        k=cache.k.at[pages_P].set(values.k, mode="drop"), v=cache.v.at[pages_P].set(values.v, mode="drop")
    )
