"""Sentence embeddings from hidden states, as `modules.json` of a sentence-transformers model says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
from jax import numpy as jnp

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig


@dataclass(frozen=True, slots=True)
class Pooling:
    """The mean over tokens that are not padding; scaled to length 1 if `is_normalised`."""

    is_normalised: bool


def parse_pooling(modules: object, pooling: HubConfig, *, where: Path) -> Pooling:
    """From modules.json and the config.json of its pooling module. Raises InvalidInput for other modules."""
    listed = modules if isinstance(modules, list) else []
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in listed if isinstance(module, dict)]
    match kinds:
        case ["Transformer", "Pooling"] | ["Transformer", "Pooling", "Normalize"]:
            _check_mean(pooling)
            return Pooling(is_normalised=kinds[-1] == "Normalize")
    raise InvalidInput(
        f"modules {kinds}; implemented: Transformer, Pooling and perhaps Normalize", where=str(where)
    )


def pool(pooling: Pooling, x_BLD: jax.Array, mask_BL: jax.Array) -> jax.Array:
    """embedding_BD. A row without any token gives zeros."""
    weights_BL1 = mask_BL[..., None].astype(x_BLD.dtype)
    mean_BD = (x_BLD * weights_BL1).sum(1) / jnp.maximum(weights_BL1.sum(1), 1e-9)
    if not pooling.is_normalised:
        return mean_BD
    return mean_BD / jnp.maximum(jnp.linalg.norm(mean_BD, axis=-1, keepdims=True), 1e-12)


def _check_mean(pooling: HubConfig) -> None:
    modes = sorted(key for key, value in pooling.values.items() if key.startswith("pooling_mode_") and value)
    if modes != ["pooling_mode_mean_tokens"]:
        raise InvalidInput(
            f"modes {modes}; only pooling_mode_mean_tokens is implemented", where=pooling.where
        )
