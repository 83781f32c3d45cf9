"""Paged attention of one layer: what every backend promises (PagedAttention, Kwon et al. 2023, section 4.1).

The cache of a sequence is a table of pages, anywhere in the pool. Nothing here knows of layers, models or
steps: the caller holds one cache a layer and one table for all of them.

Legend of array suffixes in this room, besides families/family.py (K key-value heads, N query heads, G query
heads per key-value head, H head width): P pages, E tokens of a page, T tokens of a step, S rows that decode,
C tiles of chunks, B queries of a tile, M columns of a table, R rows taken at once, J columns of a table taken
at once, X their tokens (J * E), Q the queries of a row and key-value head (B * G).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
from jax import numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

# A pytree of arrays: Pages for every backend so far.
Cache = Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Pages:
    """Keys and values of some pages of one layer; the order of dimensions is the backend's own.

    Also, with PartitionSpecs for arrays, how they lie on a mesh.
    """

    k: Any
    v: Any


class AttentionBackend(Protocol):
    """Paged attention over a cache whose layout is the backend's own and is never transposed in a step.

    All methods are pure and traceable. Queries come unscaled; scores are divided by sqrt(head width). Page
    ids are int32. Ids of columns that a row does not need may be anything.
    """

    @property
    def name(self) -> str:
        """As in the log and in specifications."""
        ...

    def on_mesh(self, mesh: Mesh, tensor_axis: str | None) -> AttentionBackend:
        """The same backend for caches and heads that lie on `mesh` as spec(tensor_axis) says."""
        ...

    def empty(
        self, *, num_pages: int, page_tokens: int, num_kv_heads: int, head_width: int, dtype: DTypeLike
    ) -> Cache:
        """The cache of one layer, zeros."""
        ...

    def spec(self, tensor_axis: str | None) -> Cache:
        """A PartitionSpec for every array of a cache: key-value heads split over the axis, or replicated."""
        ...

    def write(self, cache: Cache, k_TKH: jax.Array, v_TKH: jax.Array, slots_T: jax.Array) -> Cache:
        """The cache with each token at its slot: page * page_tokens + offset. Others' slots are untouched.

        Slots beyond the pool are dropped (num_pages * page_tokens marks padding). No slot may occur twice.
        """
        ...

    def decode(self, cache: Cache, q_SNH: jax.Array, tables_SM: jax.Array, lengths_S: jax.Array) -> jax.Array:
        """mixed_SNH of one query a row over the row's first lengths_S tokens, its own included.

        The token must have been written. Rows of length 0 are padding: their result is finite.
        """
        ...

    def chunks(
        self,
        cache: Cache,
        q_CBNH: jax.Array,
        tables_CM: jax.Array,
        starts_C: jax.Array,
        counts_C: jax.Array,
    ) -> jax.Array:
        """mixed_CBNH of tiles: query b of tile c is at position starts_C[c] + b of the tile's sequence.

        It sees all tokens of the sequence up to itself, which must have been written. Queries from
        counts_C[c] on are padding: their result is finite. A sequence may have several tiles.
        """
        ...

    def read_pages(self, cache: Cache, pages_P: jax.Array) -> Cache:
        """Whole pages, for a copy or for the host's memory. Ids beyond the pool read anything."""
        ...

    def write_pages(self, cache: Cache, pages_P: jax.Array, values: Cache) -> Cache:
        """The cache with pages as read_pages gave them. Ids beyond the pool are dropped."""
        ...


def page_bytes(*, page_tokens: int, num_kv_heads: int, head_width: int, dtype: DTypeLike) -> int:
    """Bytes of one page of one layer, keys and values, over all devices: the same for every backend."""
    return 2 * page_tokens * num_kv_heads * head_width * jnp.dtype(dtype).itemsize
