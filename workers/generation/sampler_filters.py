"""Penalties and filters on logits, traced. Tokens exactly as probable as the last one kept are kept too.

Nothing is sorted: what top-k and top-p keep ends at some gap to the best logit, which is found by halving the
range of float32 numbers. On two cores that takes 1/20 of a sort of a vocabulary of 128,000.

Suffixes: R draws, V vocabulary, W distinct tokens of a history.
"""

from __future__ import annotations

import jax
from jax import lax
from jax import numpy as jnp

_LARGEST = jnp.finfo(jnp.float32).max


def first_argmax(x_RV: jax.Array) -> jax.Array:
    """Of equals the lowest id. Two passes, which XLA's CPU backend vectorises, other than its argmax."""
    vocab_size = x_RV.shape[1]
    is_best_RV = x_RV == x_RV.max(-1, keepdims=True)
    first_R = jnp.where(is_best_RV, jnp.arange(vocab_size), vocab_size).min(-1)
    # With NaN there is no best: any token will do, but it must be one.
    return jnp.minimum(first_R, vocab_size - 1).astype(jnp.int32)


def penalised(
    logits_RV: jax.Array,
    ids_RW: jax.Array,
    counts_RW: jax.Array,
    *,
    repetition_R: jax.Array,
    presence_R: jax.Array,
    frequency_R: jax.Array,
) -> jax.Array:
    """Logits less penalties. ids_RW: distinct tokens of prompt and answer, padded with vocab_size;

    counts_RW: how often each is in the answer. repetition divides positive and multiplies negative logits
    (Keskar et al. 2019); frequency a token of the answer and presence once are subtracted.
    """
    rows_R1 = jnp.arange(len(logits_RV))[:, None]
    seen_RW = logits_RV.at[rows_R1, ids_RW].get(mode="fill", fill_value=0)
    repetition_R1 = repetition_R[:, None]
    seen_RW = jnp.where(seen_RW > 0, seen_RW / repetition_R1, seen_RW * repetition_R1)
    seen_RW -= frequency_R[:, None] * counts_RW + presence_R[:, None] * (counts_RW > 0)
    return logits_RV.at[rows_R1, ids_RW].set(seen_RW, mode="drop")


def kept(gaps_RV: jax.Array, *, top_k_R: jax.Array, top_p_R: jax.Array, min_p_R: jax.Array) -> jax.Array:
    """Which tokens may be drawn. gaps_RV: to the best logit, at least 0, after temperature.

    top_k 0, top_p 1 and min_p 0 keep all. Top-p is of what top-k has kept; min-p is relative to the best.
    """
    is_by_k_R = (top_k_R > 0) & (top_k_R < gaps_RV.shape[1])
    is_by_p_R = top_p_R < 1

    def narrow(stage: jax.Array, limit_R: jax.Array) -> jax.Array:
        """Of the two filters that sum something up: tokens, then probabilities."""
        is_k = stage == 0
        within_RV = gaps_RV <= limit_R[:, None]
        weights_RV = jnp.where(within_RV, jnp.where(is_k, 1, jnp.exp(-gaps_RV)), 0)
        wanted_R = jnp.where(is_k, top_k_R, top_p_R * weights_RV.sum(-1))
        needed_R = jnp.where(is_k, is_by_k_R, is_by_p_R)
        return jnp.where(needed_R, _smallest(gaps_RV, weights_RV, wanted_R), limit_R)

    # A filter that no row needs is not computed.
    first, end = jnp.where(is_by_k_R.any(), 0, 1), jnp.where(is_by_p_R.any(), 2, 1)
    limit_R = lax.fori_loop(first, end, narrow, jnp.full(len(gaps_RV), jnp.inf))
    return gaps_RV <= jnp.minimum(limit_R, -jnp.log(jnp.maximum(min_p_R, 0)))[:, None]


def _smallest(gaps_RV: jax.Array, weights_RV: jax.Array, wanted_R: jax.Array) -> jax.Array:
    """The smallest gap within which the weights sum up to what is wanted, by halving.

    Numbers at least 0 are in the order of their bits as integers.
    """
    finite_RV = jnp.where(gaps_RV <= _LARGEST, gaps_RV, 0)
    low_R = jnp.zeros(len(gaps_RV), jnp.int32)
    high_R = lax.bitcast_convert_type(finite_RV.max(-1), jnp.int32)

    def halve(ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low_R, high_R = ends
        middle_R = low_R + (high_R - low_R) // 2
        within_RV = gaps_RV <= lax.bitcast_convert_type(middle_R, jnp.float32)[:, None]
        is_enough_R = jnp.where(within_RV, weights_RV, 0).sum(-1) >= wanted_R
        return jnp.where(is_enough_R, low_R, middle_R + 1), jnp.where(is_enough_R, middle_R, high_R)

    def is_open(ends: tuple[jax.Array, jax.Array]) -> jax.Array:
        return (ends[0] < ends[1]).any()

    low_R, _ = lax.while_loop(is_open, halve, (low_R, high_R))
    return lax.bitcast_convert_type(low_R, jnp.float32)
