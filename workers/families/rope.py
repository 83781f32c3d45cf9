"""Rotary position embeddings (RoFormer), with the `linear` and `llama3` ways of stretching them."""

from __future__ import annotations

import math

import jax
import numpy as np
from jax import numpy as jnp

from vocabulary.formats.hub_config import HubConfig

# How `rope_scaling` is written before Transformers 5, and `rope_parameters` since.
SCALINGS = ("default", "linear", "llama3")


def parse_frequencies(config: HubConfig, *, head_width: int, default_theta: float) -> tuple[float, ...]:
    """Radians per position of each pair of a head: head_width / 2 numbers."""
    rope = config.section("rope_parameters" if config.values.get("rope_parameters") else "rope_scaling")
    rope.only("partial_rotary_factor", 1.0)
    theta = rope.number("rope_theta", config.number("rope_theta", default_theta))
    frequencies = theta ** -(np.arange(0, head_width, 2, dtype=np.float64) / head_width)
    match rope.choice("rope_type" if "rope_type" in rope.values else "type", SCALINGS, "default"):
        case "linear":
            frequencies = frequencies / rope.number("factor")
        case "llama3":
            frequencies = _stretch(frequencies, rope)
    return tuple(frequencies.tolist())


def rotate(x_BLNH: jax.Array, positions_BL: jax.Array, frequencies: tuple[float, ...]) -> jax.Array:
    """Turn each pair (i, i + H/2) of every head by position x frequency."""
    turns_BL11 = positions_BL.astype(jnp.float32)[..., None, None]
    angles_BL1P = turns_BL11 * jnp.asarray(frequencies, jnp.float32)
    cos, sin = jnp.cos(angles_BL1P), jnp.sin(angles_BL1P)
    first, second = jnp.split(x_BLNH, 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x_BLNH.dtype)


def _stretch(frequencies: np.ndarray, rope: HubConfig) -> np.ndarray:
    """Long wavelengths are stretched by `factor`, short ones kept, those between blended (Llama 3.1)."""
    low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
    turns = rope.number("original_max_position_embeddings") * frequencies / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return kept * frequencies + (1 - kept) * frequencies / rope.number("factor")
