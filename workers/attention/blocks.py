"""Exact attention over paged keys and values, a block of table columns at a time, with an online softmax.

Memory beyond the operands is that of one block: rows at once x columns at once x bytes of a page. How wide a
table is costs nothing: rows go through the columns that the longest of them needs (Milakov and Gimelshein
2018; FlashAttention, Dao et al. 2022, algorithm 1). Array suffixes: attention/interface.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

# Takes ids_RJ, gives k_RKXH and v_RKXH: all the layout that the algorithm needs to know.
TakeBlock = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
# Scores of keys that a query does not see. Finite: a row that sees nothing must not become NaN.
_UNSEEN = -1e30
# Products with fewer keys at once are slow: rather fewer rows.
_FEW_COLUMNS = 4


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Rows:
    """Queries with their tables: query b of row r is at position starts_R[r] + b, counts_R[r] are real."""

    q_RBNH: jax.Array
    tables_RM: jax.Array
    starts_R: jax.Array
    counts_R: jax.Array


@dataclass(frozen=True, slots=True)
class Tiling:
    """How much is computed at once. max_rows: these share one loop, which ends with the longest of them.

    block_bytes: of float32 keys or scores, about, that one turn of the loop makes.
    """

    max_rows: int
    block_bytes: int

    def block(self, *, rows: int, columns: int, column_bytes: int) -> Block:
        """Of so many rows and columns; column_bytes: what one turn makes of a column of one row."""
        most = min(rows, self.max_rows, max(1, self.block_bytes // (_FEW_COLUMNS * column_bytes)))
        at_once = max(count for count in range(1, most + 1) if rows % count == 0)
        fitting = max(1, min(columns, self.block_bytes // (at_once * column_bytes)))
        return Block(at_once, 1 << (fitting.bit_length() - 1))


@dataclass(frozen=True, slots=True)
class Block:
    """What is computed at once. rows: a divisor of all rows; columns: a power of two."""

    rows: int
    columns: int


def attend(rows: Rows, *, take: TakeBlock, num_kv_heads: int, page_tokens: int, tiling: Tiling) -> jax.Array:
    """mixed_RBNH, in the queries' type. Rows are taken in groups, one after another."""
    num_rows, num_queries, num_heads, head_width = rows.q_RBNH.shape
    key_bytes, score_bytes = 4 * num_kv_heads * head_width, 4 * num_queries * num_heads
    block = tiling.block(
        rows=num_rows,
        columns=rows.tables_RM.shape[1],
        column_bytes=page_tokens * max(key_bytes, score_bytes),
    )

    def mix(group: Rows) -> jax.Array:
        return _mix(
            group, take=take, num_kv_heads=num_kv_heads, page_tokens=page_tokens, columns=block.columns
        )

    if block.rows == num_rows:
        return mix(rows)
    groups = jax.tree.map(lambda x: x.reshape(num_rows // block.rows, block.rows, *x.shape[1:]), rows)
    return lax.map(mix, groups).reshape(rows.q_RBNH.shape)


def _mix(rows: Rows, *, take: TakeBlock, num_kv_heads: int, page_tokens: int, columns: int) -> jax.Array:
    q_RKQH = _by_kv_head(rows.q_RBNH, num_kv_heads)
    tables_RM = jnp.pad(rows.tables_RM, ((0, 0), (0, -rows.tables_RM.shape[1] % columns)))
    ends_R = jnp.where(rows.counts_R > 0, rows.starts_R + rows.counts_R, 0)
    last_RQ = rows.starts_R[:, None] + jnp.arange(q_RKQH.shape[2])[None] // _group_size(rows, num_kv_heads)
    block_tokens = columns * page_tokens

    def turn(index: jax.Array, carry: _Carry) -> _Carry:
        ids_RJ = lax.dynamic_slice_in_dim(tables_RM, index * columns, columns, axis=1)
        k_RKXH, v_RKXH = take(ids_RJ)
        at_X = index * block_tokens + jnp.arange(block_tokens)
        # Beyond a row's end is other sequences' garbage: even times zero, infinities would spread.
        v_RKXH = jnp.where((at_X < ends_R[:, None])[:, None, :, None], v_RKXH, 0)
        scores_RKQX = _product("RKQH,RKXH->RKQX", q_RKQH, k_RKXH)
        seen_RQX = (at_X <= last_RQ[:, :, None]) & (at_X < ends_R[:, None, None])
        return carry.joined(jnp.where(seen_RQX[:, None], scores_RKQX, _UNSEEN), v_RKXH)

    num_turns = jnp.minimum(-(-ends_R.max() // block_tokens), tables_RM.shape[1] // columns)
    return _by_query(lax.fori_loop(0, num_turns, turn, _Carry.start(q_RKQH)).mixed(), rows.q_RBNH)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class _Carry:
    """Over the blocks so far: the largest score, the sum of exponents and of values weighted by them."""

    largest_RKQ: jax.Array
    total_RKQ: jax.Array
    weighted_RKQH: jax.Array

    @classmethod
    def start(cls, q_RKQH: jax.Array) -> _Carry:
        zeros_RKQ = jnp.zeros(q_RKQH.shape[:-1], jnp.float32)
        return cls(zeros_RKQ + _UNSEEN, zeros_RKQ, jnp.zeros(q_RKQH.shape, jnp.float32))

    def joined(self, scores_RKQX: jax.Array, v_RKXH: jax.Array) -> _Carry:
        largest_RKQ = jnp.maximum(self.largest_RKQ, scores_RKQX.max(-1))
        shrink_RKQ = jnp.exp(self.largest_RKQ - largest_RKQ)
        weights_RKQX = jnp.exp(scores_RKQX - largest_RKQ[..., None])
        mixed_RKQH = _product("RKQX,RKXH->RKQH", weights_RKQX.astype(v_RKXH.dtype), v_RKXH)
        return _Carry(
            largest_RKQ,
            self.total_RKQ * shrink_RKQ + weights_RKQX.sum(-1),
            self.weighted_RKQH * shrink_RKQ[..., None] + mixed_RKQH,
        )

    def mixed(self) -> jax.Array:
        # No block at all leaves a sum of 0: any finite result will do.
        return self.weighted_RKQH / jnp.maximum(self.total_RKQ, 1e-30)[..., None]


def _product(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """Float32 sums; with float32 operands no shorter products either (GPUs would take TF32)."""
    dot: Any = jnp.einsum
    return dot(subscripts, a, b, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


def _group_size(rows: Rows, num_kv_heads: int) -> int:
    return rows.q_RBNH.shape[2] // num_kv_heads


def _by_kv_head(q_RBNH: jax.Array, num_kv_heads: int) -> jax.Array:
    """Scaled queries of a key-value head together: RBNH -> RKQH, the group's heads fastest."""
    rows, queries, _, width = q_RBNH.shape
    q_RBKGH = q_RBNH.reshape(rows, queries, num_kv_heads, -1, width) * width**-0.5
    return q_RBKGH.transpose(0, 2, 1, 3, 4).reshape(rows, num_kv_heads, -1, width)


def _by_query(mixed_RKQH: jax.Array, q_RBNH: jax.Array) -> jax.Array:
    rows, queries, _, width = q_RBNH.shape
    mixed_RKBGH = mixed_RKQH.reshape(rows, mixed_RKQH.shape[1], queries, -1, width)
    return mixed_RKBGH.transpose(0, 2, 1, 3, 4).reshape(q_RBNH.shape).astype(q_RBNH.dtype)
