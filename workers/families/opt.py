"""OPT decoders: ids -> logits. Suffix legend: families/family.py."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from vocabulary.formats.hub_config import HubConfig, divide
from workers.families.family import Attend, Family, KeyValueHeads, Parameters, Params, column, row, whole
from workers.families.operators import ACTIVATIONS, cut_heads, layer_norm, linear, lookup

# The first rows of the table of positions are never used.
POSITION_OFFSET = 2
# torch.nn.LayerNorm's default; OPT's config has no key for it.
EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class OptConfig:
    num_layers: int
    hidden_size: int
    num_heads: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    activation: str
    tied: bool


def parse(config: HubConfig) -> OptConfig:
    hidden_size, num_heads = config.count("hidden_size"), config.count("num_attention_heads")
    config.only("do_layer_norm_before", True)
    config.only("_remove_final_layer_norm", False)
    config.only("enable_bias", True)
    config.only("layer_norm_elementwise_affine", True)
    config.only("word_embed_proj_dim", hidden_size)
    divide("hidden_size", hidden_size, "num_attention_heads", num_heads, where=config.where)
    return OptConfig(
        num_layers=config.count("num_hidden_layers"),
        hidden_size=hidden_size,
        num_heads=num_heads,
        ffn_size=config.count("ffn_dim"),
        vocab_size=config.count("vocab_size"),
        max_positions=config.count("max_position_embeddings"),
        activation=config.choice("activation_function", ACTIVATIONS, "relu"),
        tied=config.flag("tie_word_embeddings", default=True),
    )


def embed_parameters(config: OptConfig) -> Parameters:
    vocab, hidden = config.vocab_size, config.hidden_size
    return {
        "words": column("decoder.embed_tokens.weight", vocab, hidden, num_units=vocab),
        "positions": whole("decoder.embed_positions.weight", config.max_positions + POSITION_OFFSET, hidden),
    }


def layer_parameters(config: OptConfig, layer: int) -> Parameters:
    name, hidden, ffn, heads = (
        f"decoder.layers.{layer}",
        config.hidden_size,
        config.ffn_size,
        config.num_heads,
    )
    return {
        "query": column(f"{name}.self_attn.q_proj.weight", hidden, hidden, num_units=heads),
        "query_bias": column(f"{name}.self_attn.q_proj.bias", hidden, num_units=heads),
        "key": column(f"{name}.self_attn.k_proj.weight", hidden, hidden, num_units=heads),
        "key_bias": column(f"{name}.self_attn.k_proj.bias", hidden, num_units=heads),
        "value": column(f"{name}.self_attn.v_proj.weight", hidden, hidden, num_units=heads),
        "value_bias": column(f"{name}.self_attn.v_proj.bias", hidden, num_units=heads),
        "output": row(f"{name}.self_attn.out_proj.weight", hidden, hidden, num_units=heads),
        "output_bias": whole(f"{name}.self_attn.out_proj.bias", hidden),
        "attention_norm_scale": whole(f"{name}.self_attn_layer_norm.weight", hidden),
        "attention_norm_bias": whole(f"{name}.self_attn_layer_norm.bias", hidden),
        "up": column(f"{name}.fc1.weight", ffn, hidden, num_units=ffn),
        "up_bias": column(f"{name}.fc1.bias", ffn, num_units=ffn),
        "down": row(f"{name}.fc2.weight", hidden, ffn, num_units=ffn),
        "down_bias": whole(f"{name}.fc2.bias", hidden),
        "ffn_norm_scale": whole(f"{name}.final_layer_norm.weight", hidden),
        "ffn_norm_bias": whole(f"{name}.final_layer_norm.bias", hidden),
    }


def head_parameters(config: OptConfig) -> Parameters:
    words = "decoder.embed_tokens.weight" if config.tied else "lm_head.weight"
    return {
        "norm_scale": whole("decoder.final_layer_norm.weight", config.hidden_size),
        "norm_bias": whole("decoder.final_layer_norm.bias", config.hidden_size),
        "words": column(words, config.vocab_size, config.hidden_size, num_units=config.vocab_size),
    }


def kv_heads(config: OptConfig) -> KeyValueHeads:
    heads = config.num_heads
    return KeyValueHeads(heads, config.hidden_size // heads, num_queries=heads, num_units=heads)


def embed(config: OptConfig, params: Params, ids_BL: jax.Array, positions_BL: jax.Array) -> jax.Array:
    return lookup(params["words"], ids_BL) + lookup(params["positions"], positions_BL + POSITION_OFFSET)


def layer(
    config: OptConfig, params: Params, x_BLD: jax.Array, positions_BL: jax.Array, attend: Attend
) -> jax.Array:
    normed_BLD = _norm(params, "attention_norm", x_BLD)
    q_BLNH, k_BLNH, v_BLNH = (
        cut_heads(_linear(params, name, normed_BLD), config.num_heads) for name in ("query", "key", "value")
    )
    x_BLD = x_BLD + _linear(params, "output", attend(q_BLNH, k_BLNH, v_BLNH))
    up_BLF = _linear(params, "up", _norm(params, "ffn_norm", x_BLD))
    return x_BLD + _linear(params, "down", ACTIVATIONS[config.activation](up_BLF))


def head(config: OptConfig, params: Params, x_BLD: jax.Array) -> jax.Array:
    return linear(_norm(params, "norm", x_BLD), params["words"])


def _linear(params: Params, name: str, x_BLD: jax.Array) -> jax.Array:
    return linear(x_BLD, params[name], params[f"{name}_bias"])


def _norm(params: Params, name: str, x_BLD: jax.Array) -> jax.Array:
    return layer_norm(x_BLD, params[f"{name}_scale"], params[f"{name}_bias"], epsilon=EPSILON)


def _size(layers: int, hidden: int, heads: int, vocab: int, positions: int = 2048) -> dict[str, object]:
    return {
        "model_type": "opt",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "ffn_dim": 4 * hidden,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
    }


# Layers, hidden size, heads, vocabulary. Weights: 1 M, 13 M, 30 M, 125 M, 1.3 G parameters.
SIZES = {
    "tiny": _size(4, 128, 4, 1024, 512),
    "small": _size(6, 384, 12, 4096),
    "medium": _size(8, 512, 8, 8192),
    "base": _size(12, 768, 12, 50272),
    "large": _size(24, 2048, 32, 50272),
}

OPT = Family(
    name="opt",
    is_causal=True,
    prefixes=("model.", ""),
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
