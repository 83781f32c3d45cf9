"""GPT-2 decoders: ids -> logits. Suffix legend: families/family.py."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import numpy as jnp

from vocabulary.formats.hub_config import HubConfig, divide
from workers.families.family import (
    Attend,
    Family,
    KeyValueHeads,
    Parameter,
    Parameters,
    Params,
    Part,
    Split,
    column,
    whole,
)
from workers.families.operators import ACTIVATIONS, cut_heads, layer_norm, linear, lookup


@dataclass(frozen=True, slots=True)
class Gpt2Config:
    num_layers: int
    hidden_size: int
    num_heads: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    epsilon: float
    activation: str
    tied: bool


def parse(config: HubConfig) -> Gpt2Config:
    config.only("scale_attn_weights", True)
    config.only("scale_attn_by_inverse_layer_idx", False)
    config.only("add_cross_attention", False)
    hidden_size, num_heads = config.count("n_embd"), config.count("n_head")
    divide("n_embd", hidden_size, "n_head", num_heads, where=config.where)
    return Gpt2Config(
        num_layers=config.count("n_layer"),
        hidden_size=hidden_size,
        num_heads=num_heads,
        ffn_size=config.count("n_inner", 4 * hidden_size),
        vocab_size=config.count("vocab_size"),
        max_positions=config.count("n_positions"),
        epsilon=config.number("layer_norm_epsilon", 1e-5),
        activation=config.choice("activation_function", ACTIVATIONS, "gelu_new"),
        tied=config.flag("tie_word_embeddings", default=True),
    )


def embed_parameters(config: Gpt2Config) -> Parameters:
    return {
        "words": column("wte.weight", config.vocab_size, config.hidden_size, num_units=config.vocab_size),
        "positions": whole("wpe.weight", config.max_positions, config.hidden_size),
    }


def layer_parameters(config: Gpt2Config, layer: int) -> Parameters:
    """GPT-2 stores linear weights inputs first, and query, key and value fused."""
    name, hidden, ffn, heads = f"h.{layer}", config.hidden_size, config.ffn_size, config.num_heads
    fused = {}
    for index, one in enumerate(("query", "key", "value")):
        fused[one] = Parameter(
            (f"{name}.attn.c_attn.weight",), (hidden, hidden), (Split(1, heads),), Part(1, index, 3)
        )
        fused[f"{one}_bias"] = Parameter(
            (f"{name}.attn.c_attn.bias",), (hidden,), (Split(0, heads),), Part(0, index, 3)
        )
    return fused | {
        "output": Parameter((f"{name}.attn.c_proj.weight",), (hidden, hidden), (Split(0, heads),)),
        "output_bias": whole(f"{name}.attn.c_proj.bias", hidden),
        "up": Parameter((f"{name}.mlp.c_fc.weight",), (hidden, ffn), (Split(1, ffn),)),
        "up_bias": column(f"{name}.mlp.c_fc.bias", ffn, num_units=ffn),
        "down": Parameter((f"{name}.mlp.c_proj.weight",), (ffn, hidden), (Split(0, ffn),)),
        "down_bias": whole(f"{name}.mlp.c_proj.bias", hidden),
        "attention_norm_scale": whole(f"{name}.ln_1.weight", hidden),
        "attention_norm_bias": whole(f"{name}.ln_1.bias", hidden),
        "ffn_norm_scale": whole(f"{name}.ln_2.weight", hidden),
        "ffn_norm_bias": whole(f"{name}.ln_2.bias", hidden),
    }


def head_parameters(config: Gpt2Config) -> Parameters:
    words = "wte.weight" if config.tied else "lm_head.weight"
    return {
        "norm_scale": whole("ln_f.weight", config.hidden_size),
        "norm_bias": whole("ln_f.bias", config.hidden_size),
        "words": column(words, config.vocab_size, config.hidden_size, num_units=config.vocab_size),
    }


def kv_heads(config: Gpt2Config) -> KeyValueHeads:
    heads = config.num_heads
    return KeyValueHeads(heads, config.hidden_size // heads, num_queries=heads, num_units=heads)


def embed(config: Gpt2Config, params: Params, ids_BL: jax.Array, positions_BL: jax.Array) -> jax.Array:
    return lookup(params["words"], ids_BL) + lookup(params["positions"], positions_BL)


def layer(
    config: Gpt2Config, params: Params, x_BLD: jax.Array, positions_BL: jax.Array, attend: Attend
) -> jax.Array:
    normed_BLD = _norm(config, params, "attention_norm", x_BLD)
    q_BLNH, k_BLNH, v_BLNH = (
        cut_heads(_convolve(params, name, normed_BLD), config.num_heads) for name in ("query", "key", "value")
    )
    x_BLD = x_BLD + _convolve(params, "output", attend(q_BLNH, k_BLNH, v_BLNH))
    up_BLF = _convolve(params, "up", _norm(config, params, "ffn_norm", x_BLD))
    return x_BLD + _convolve(params, "down", ACTIVATIONS[config.activation](up_BLF))


def head(config: Gpt2Config, params: Params, x_BLD: jax.Array) -> jax.Array:
    return linear(_norm(config, params, "norm", x_BLD), params["words"])


def _convolve(params: Params, name: str, x_BLD: jax.Array) -> jax.Array:
    return jnp.einsum("BLD,DF->BLF", x_BLD, params[name]) + params[f"{name}_bias"]


def _norm(config: Gpt2Config, params: Params, name: str, x_BLD: jax.Array) -> jax.Array:
    return layer_norm(x_BLD, params[f"{name}_scale"], params[f"{name}_bias"], epsilon=config.epsilon)


def _size(layers: int, hidden: int, heads: int, vocab: int, positions: int = 1024) -> dict[str, object]:
    return {
        "model_type": "gpt2",
        "n_layer": layers,
        "n_embd": hidden,
        "n_head": heads,
        "vocab_size": vocab,
        "n_positions": positions,
    }


# Layers, hidden size, heads, vocabulary. Weights: 1 M, 13 M, 30 M, 124 M, 355 M parameters.
SIZES = {
    "tiny": _size(4, 128, 4, 1024),
    "small": _size(6, 384, 12, 4096),
    "medium": _size(8, 512, 8, 8192),
    "base": _size(12, 768, 12, 50257),
    "large": _size(24, 1024, 16, 50257),
}

GPT2 = Family(
    name="gpt2",
    is_causal=True,
    prefixes=("transformer.", ""),
    sizes=SIZES,
    parse=parse,
    embed_parameters=embed_parameters,
    layer_parameters=layer_parameters,
    head_parameters=head_parameters,
    embed=embed,
    layer=layer,
    head=head,
    kv_heads=kv_heads,
)
