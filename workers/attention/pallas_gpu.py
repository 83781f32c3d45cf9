"""Decode with the Triton kernel of JAX's wheel (split over keys); chunks in plain XLA on its layout.

The layout is the kernel's: [key-value heads, pages, tokens of a page, head width]. The kernel multiplies
masked values by zero, so an infinity in a page that a sequence has given back can spread; see decision 0026.
Array suffixes: attention/interface.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import jax
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jax.typing import DTypeLike

from workers.attention.blocks import Rows, Tiling, attend
from workers.attention.interface import AttentionBackend, Pages
from workers.attention.xla import ON_GPU

# Programs of the kernel that keep a GPU busy: two for each of the about 130 multiprocessors of one.
_WANTED_PROGRAMS = 256
# The kernel's matrix products take at least 16 rows; query heads of a group are padded to that.
_BLOCK_HEADS = 16
_BLOCK_TOKENS = 128


@final
@dataclass(frozen=True, slots=True)
class PallasGpuAttention:
    """See `AttentionBackend`. interprets: without a GPU, slowly, for tests."""

    tiling: Tiling = ON_GPU
    interprets: bool = False
    mesh: Mesh | None = None
    tensor_axis: str | None = None
    name: str = "pallas_gpu"

    def on_mesh(self, mesh: Mesh, tensor_axis: str | None) -> AttentionBackend:
        return replace(self, mesh=mesh, tensor_axis=tensor_axis)

    def empty(
        self, *, num_pages: int, page_tokens: int, num_kv_heads: int, head_width: int, dtype: DTypeLike
    ) -> Pages:
        shape = (num_kv_heads, num_pages, page_tokens, head_width)
        return Pages(k=jnp.zeros(shape, dtype), v=jnp.zeros(shape, dtype))

    def spec(self, tensor_axis: str | None) -> Pages:
        spec = PartitionSpec(tensor_axis)
        return Pages(k=spec, v=spec)

    def write(self, cache: Pages, k_TKH: jax.Array, v_TKH: jax.Array, slots_T: jax.Array) -> Pages:
        pages_T, places_T = jnp.divmod(slots_T, cache.k.shape[2])
        k_KTH, v_KTH = k_TKH.swapaxes(0, 1), v_TKH.swapaxes(0, 1)
        return Pages(
            k=cache.k.at[:, pages_T, places_T].set(k_KTH.astype(cache.k.dtype), mode="drop"),
            v=cache.v.at[:, pages_T, places_T].set(v_KTH.astype(cache.v.dtype), mode="drop"),
        )

    def decode(self, cache: Pages, q_SNH: jax.Array, tables_SM: jax.Array, lengths_S: jax.Array) -> jax.Array:
        if self.mesh is None:
            return self._decode(cache, q_SNH, tables_SM, lengths_S)
        # The partitioner does not look into a kernel: every device runs it on its own heads.
        heads, whole = PartitionSpec(None, self.tensor_axis), PartitionSpec()
        on_each = jax.shard_map(
            self._decode,
            mesh=self.mesh,
            in_specs=(self.spec(self.tensor_axis), heads, whole, whole),
            out_specs=heads,
            check_vma=False,
        )
        return on_each(cache, q_SNH, tables_SM, lengths_S)

    def chunks(
        self,
        cache: Pages,
        q_CBNH: jax.Array,
        tables_CM: jax.Array,
        starts_C: jax.Array,
        counts_C: jax.Array,
    ) -> jax.Array:
        num_kv_heads, _, page_tokens, _ = cache.k.shape

        def take(ids_RJ: jax.Array) -> tuple[jax.Array, jax.Array]:
            block = self.read_pages(cache, ids_RJ)
            return _join(block.k), _join(block.v)

        rows = Rows(q_CBNH, tables_CM, starts_C, counts_C)
        return attend(rows, take=take, num_kv_heads=num_kv_heads, page_tokens=page_tokens, tiling=self.tiling)

    def read_pages(self, cache: Pages, pages_P: jax.Array) -> Pages:
        return Pages(
            k=jnp.take(cache.k, pages_P, axis=1, mode="clip"),
            v=jnp.take(cache.v, pages_P, axis=1, mode="clip"),
        )

    def write_pages(self, cache: Pages, pages_P: jax.Array, values: Pages) -> Pages:
        return Pages(
            k=cache.k.at[:, pages_P].set(values.k, mode="drop"),
            v=cache.v.at[:, pages_P].set(values.v, mode="drop"),
        )

    def _decode(
        self, cache: Pages, q_SNH: jax.Array, tables_SM: jax.Array, lengths_S: jax.Array
    ) -> jax.Array:
        from jax.experimental.pallas.ops.gpu.paged_attention import paged_attention

        num_kv_heads, num_pages, page_tokens, head_width = cache.k.shape
        cut = cut_columns(
            num_columns=tables_SM.shape[1],
            page_tokens=page_tokens,
            num_programs=len(q_SNH) * num_kv_heads * -(-q_SNH.shape[1] // num_kv_heads // _BLOCK_HEADS),
        )
        # Blocks at a sequence's end load pages that it does not have: those ids must be of pages.
        tables_SM = jnp.pad(tables_SM.clip(0, num_pages - 1), ((0, 0), (0, cut.num_padding)))
        # Float32 means float32: the kernel's products would else be of TF32.
        with jax.default_matmul_precision("highest"):
            mixed_SNH = paged_attention(
                q_SNH * head_width**-0.5,
                cache.k,
                cache.v,
                tables_SM,
                lengths_S,
                block_h=_BLOCK_HEADS,
                pages_per_compute_block=cut.block_columns,
                k_splits=cut.num_splits,
                interpret=self.interprets,
            )
        return mixed_SNH.astype(q_SNH.dtype)


@dataclass(frozen=True, slots=True)
class Cut:
    """How the kernel cuts a table: num_splits equal runs of blocks, after some columns of padding."""

    block_columns: int
    num_splits: int
    num_padding: int


def cut_columns(*, num_columns: int, page_tokens: int, num_programs: int) -> Cut:
    """num_programs: those that run side by side without a split. Blocks and splits are powers of two."""
    # Whole blocks also of narrow tables: Triton's products want 16 keys at least, and padding costs nothing.
    block_columns = _power_of_two(max(1, _BLOCK_TOKENS // page_tokens))
    num_blocks = -(-num_columns // block_columns)
    num_splits = _power_of_two(max(1, min(16, num_blocks, _WANTED_PROGRAMS // num_programs)))
    return Cut(block_columns, num_splits, -num_columns % (block_columns * num_splits))


def _power_of_two(count: int) -> int:
    """The largest that is not above."""
    return 1 << (count.bit_length() - 1)


def _join(x_KRJEH: jax.Array) -> jax.Array:
    """KRJEH -> RKXH."""
    num_kv_heads, rows, columns, page_tokens, width = x_KRJEH.shape
    return x_KRJEH.reshape(num_kv_heads, rows, columns * page_tokens, width).swapaxes(0, 1)
