"""Random numbers as a function of (seed, sample, index, token) alone: the same in any row and batch.

The hash is pcg4d (Jarzynski and Olano, Hash Functions for GPU Rendering, JCGT 9(3), 2020), once over the draw
and once more over its tokens. JAX's own threefry compiles five times as long, and every shape of a step has a
sampler. Works on arrays of numpy and of JAX alike. Suffixes: R draws, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_MULTIPLIER, _INCREMENT = np.uint32(1664525), np.uint32(1013904223)


class Words(NamedTuple):
    """Four uint32 arrays of one shape, or of shapes that broadcast."""

    a: Any
    b: Any
    c: Any
    d: Any


def pcg4d(words: Words) -> Words:
    """Four words that hash four words: every bit depends on every bit."""
    a, b, c, d = (word * _MULTIPLIER + _INCREMENT for word in words)
    a, b, c, d = _mix(a, b, c, d)
    a, b, c, d = (word ^ (word >> np.uint32(16)) for word in (a, b, c, d))
    return Words(*_mix(a, b, c, d))


def random_bits_RV(draws_R: Words, tokens_V: Any) -> Any:
    """uint32 [R, V]. draws_R: of seed (high word, low word), sample, index; tokens_V: uint32 ids."""
    keys = pcg4d(draws_R)
    return pcg4d(Words(keys.a[:, None] ^ tokens_V[None], keys.b[:, None], keys.c[:, None], keys.d[:, None])).d


def gumbel(bits: Any, xp: Any) -> Any:
    """Gumbel noise of uint32 bits, float32. xp: numpy or jax.numpy.

    Fine where it is large, since the largest decides: -log(-log(1 - u)) with u in steps of 2 ** -32 at 0.
    """
    u = (bits.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    # Rounding must not make a whole 1: the noise would be minus infinity.
    u = xp.minimum(u, np.float32(1 - 2.0**-24))
    return -xp.log(-xp.log1p(-u))


def _mix(a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    a = a + b * d
    b = b + c * a
    c = c + a * b
    d = d + b * c
    return a, b, c, d
