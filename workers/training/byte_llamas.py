"""The sizes of byte-level Llamas, as config.json files, and their first weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vocabulary.formats.hub_config import HubConfig
from workers.families.llama import LLAMA, LlamaConfig
from workers.training.byte_tokenizer import END_OF_TEXT

Weights = Mapping[str, NDArray[np.float32]]
# A multiple of 8, so that devices can share it; the last seven are never seen, and so never said.
VOCAB_SIZE = 264
PREFIX = "model."


def _size(layers: int, hidden: int, heads: int, kv_heads: int, ffn: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "intermediate_size": ffn,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 1024,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": END_OF_TEXT,
        "torch_dtype": "float32",
    }


# Layers, hidden size, heads, key-value heads, feed-forward: 1.63, 0.23 and 0.03 million parameters.
SIZES: Mapping[str, Mapping[str, object]] = {
    "small": _size(4, 192, 6, 2, 512),
    "draft": _size(2, 96, 4, 2, 256),
    "test": _size(2, 32, 4, 2, 64),
}


def parsed(size: Mapping[str, object]) -> LlamaConfig:
    return LLAMA.parse(HubConfig(size, "config.json"))


def first_weights(config: LlamaConfig, *, seed: int) -> dict[str, NDArray[np.float32]]:
    """By the names of a checkpoint. Each matrix keeps the scale of what it is given."""
    draw = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for parameter in LLAMA.parameters(config):
        (name,) = parameter.tensors
        weights[PREFIX + name] = _drawn(name, parameter.shape, draw, num_layers=config.num_layers)
    return weights


def _drawn(
    name: str, shape: tuple[int, ...], draw: np.random.Generator, *, num_layers: int
) -> NDArray[np.float32]:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    # Sums of 2 * num_layers branches should not be larger than what enters (GPT-2).
    ends_a_branch = name.endswith(("o_proj.weight", "down_proj.weight"))
    scale = shape[1] ** -0.5 / ((2 * num_layers) ** 0.5 if ends_a_branch else 1.0)
    return (draw.standard_normal(shape) * scale).astype(np.float32)
