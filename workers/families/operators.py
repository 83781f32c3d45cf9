"""Operators that families share, in the type of their arrays; norms and turns are computed in float32.

Suffix legend: families/family.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
from jax import numpy as jnp

from workers.families.family import Attend

ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


def lookup(table_VD: jax.Array, ids_BL: jax.Array) -> jax.Array:
    """Rows of an embedding table. Ids must be in range: they are checked before they reach a device."""
    return jnp.take(table_VD, ids_BL, axis=0, mode="clip")


def linear(x_BLD: jax.Array, weight_FD: jax.Array, bias_F: jax.Array | None = None) -> jax.Array:
    """A linear layer with its weight as checkpoints store it: outputs first."""
    y_BLF = jnp.einsum("BLD,FD->BLF", x_BLD, weight_FD)
    return y_BLF if bias_F is None else y_BLF + bias_F


def layer_norm(x_BLD: jax.Array, scale_D: jax.Array, bias_D: jax.Array, *, epsilon: float) -> jax.Array:
    wide_BLD = x_BLD.astype(jnp.float32)
    centred_BLD = wide_BLD - wide_BLD.mean(-1, keepdims=True)
    variance_BL1 = jnp.square(centred_BLD).mean(-1, keepdims=True)
    return (centred_BLD * jax.lax.rsqrt(variance_BL1 + epsilon) * scale_D + bias_D).astype(x_BLD.dtype)


def rms_norm(x_BLD: jax.Array, scale_D: jax.Array, *, epsilon: float) -> jax.Array:
    wide_BLD = x_BLD.astype(jnp.float32)
    mean_square_BL1 = jnp.square(wide_BLD).mean(-1, keepdims=True)
    return (wide_BLD * jax.lax.rsqrt(mean_square_BL1 + epsilon) * scale_D).astype(x_BLD.dtype)


def cut_heads(x_BLD: jax.Array, num_heads: int) -> jax.Array:
    """BL(NH) -> BLNH."""
    return x_BLD.reshape(*x_BLD.shape[:-1], num_heads, -1)


def attention(q_BLNH: jax.Array, k_BMKH: jax.Array, v_BMKH: jax.Array, allowed_BLM: jax.Array) -> jax.Array:
    """Softmax attention, heads joined again: BL(NH). Query heads N are K groups of G neighbours.

    allowed_BLM broadcasts over B and L. A query that may see no key gets a finite, meaningless row.
    """
    q_BLKGH = cut_groups(q_BLNH, num_groups=k_BMKH.shape[2])
    scores_BKGLM = jnp.einsum("BLKGH,BMKH->BKGLM", q_BLKGH * q_BLNH.shape[-1] ** -0.5, k_BMKH)
    scores_BKGLM = jnp.where(allowed_BLM[:, None, None], scores_BKGLM, jnp.finfo(jnp.float32).min)
    mixed_BLKGH = jnp.einsum("BKGLM,BMKH->BLKGH", jax.nn.softmax(scores_BKGLM), v_BMKH)
    return mixed_BLKGH.reshape(*q_BLNH.shape[:2], -1)


def masked(allowed_BLM: jax.Array) -> Attend:
    """Tokens see those of the same array that the mask allows."""
    return partial(attention, allowed_BLM=allowed_BLM)


def cut_groups(q_BLNH: jax.Array, *, num_groups: int) -> jax.Array:
    """BLNH -> BLKGH."""
    batch, length, _, width = q_BLNH.shape
    return q_BLNH.reshape(batch, length, num_groups, -1, width)


def causal(length: int) -> jax.Array:
    """allowed_1LM: a query sees its own position and those before it."""
    return jnp.tril(jnp.ones((1, length, length), bool))


def whole_text(length: int) -> jax.Array:
    """positions_1L of texts that are there from their first token on."""
    return jnp.arange(length, dtype=jnp.int32)[None]
