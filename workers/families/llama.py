"""Llama decoders and those that differ by a flag: ids -> logits. Suffix legend: families/family.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax

from vocabulary.formats.hub_config import HubConfig, divide
from workers.families.family import Attend, Family, KeyValueHeads, Parameters, Params, column, row, whole
from workers.families.operators import ACTIVATIONS, cut_heads, linear, lookup, rms_norm
from workers.families.rope import parse_frequencies, rotate


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """`frequencies` are those of the rotary embedding, radians per position.

    has_qkv_bias: queries, keys and values have a bias (Qwen2); has_head_norm: each head of queries and keys
    is normed before it is turned (Qwen3).
    """

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    epsilon: float
    activation: str
    tied: bool
    frequencies: tuple[float, ...]
    has_qkv_bias: bool = False
    has_head_norm: bool = False

    @property
    def num_attention_units(self) -> int:
        """Parts that query and key-value heads can both be cut into."""
        return math.gcd(self.num_heads, self.num_kv_heads)


def parse(config: HubConfig) -> LlamaConfig:
    config.only("attention_bias", False)
    config.only("mlp_bias", False)
    return parse_decoder(config, default_theta=1e4, default_epsilon=1e-6)


def parse_decoder(
    config: HubConfig, *, default_theta: float, default_epsilon: float, default_head_width: int | None = None
) -> LlamaConfig:
    """What Llama and its relatives have in common."""
    hidden_size, num_heads = config.count("hidden_size"), config.count("num_attention_heads")
    num_kv_heads = config.count("num_key_value_heads", num_heads)
    divide("num_attention_heads", num_heads, "num_key_value_heads", num_kv_heads, where=config.where)
    head_width = config.count("head_dim", default_head_width or max(1, hidden_size // num_heads))
    divide("head_dim", head_width, "the two halves that RoPE turns,", 2, where=config.where)
    return LlamaConfig(
        num_layers=config.count("num_hidden_layers"),
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_width=head_width,
        ffn_size=config.count("intermediate_size"),
        vocab_size=config.count("vocab_size"),
        max_positions=config.count("max_position_embeddings"),
        epsilon=config.number("rms_norm_eps", default_epsilon),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        tied=config.flag("tie_word_embeddings", default=False),
        frequencies=parse_frequencies(config, head_width=head_width, default_theta=default_theta),
    )


def embed_parameters(config: LlamaConfig) -> Parameters:
    vocab = config.vocab_size
    return {"words": column("embed_tokens.weight", vocab, config.hidden_size, num_units=vocab)}


def kv_heads(config: LlamaConfig) -> KeyValueHeads:
    return KeyValueHeads(
        config.num_kv_heads,
        config.head_width,
        num_queries=config.num_heads,
        num_units=config.num_attention_units,
    )


def attention_parameters(config: LlamaConfig, layer: int) -> Parameters:
    name, hidden, units = f"layers.{layer}", config.hidden_size, config.num_attention_units
    q_size, kv_size = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
    biases = {
        "query_bias": column(f"{name}.self_attn.q_proj.bias", q_size, num_units=units),
        "key_bias": column(f"{name}.self_attn.k_proj.bias", kv_size, num_units=units),
        "value_bias": column(f"{name}.self_attn.v_proj.bias", kv_size, num_units=units),
    }
    norms = {
        "query_norm": whole(f"{name}.self_attn.q_norm.weight", config.head_width),
        "key_norm": whole(f"{name}.self_attn.k_norm.weight", config.head_width),
    }
    return (
        (biases if config.has_qkv_bias else {})
        | (norms if config.has_head_norm else {})
        | {
            "query": column(f"{name}.self_attn.q_proj.weight", q_size, hidden, num_units=units),
            "key": column(f"{name}.self_attn.k_proj.weight", kv_size, hidden, num_units=units),
            "value": column(f"{name}.self_attn.v_proj.weight", kv_size, hidden, num_units=units),
            "output": row(f"{name}.self_attn.o_proj.weight", hidden, q_size, num_units=units),
            "attention_norm": whole(f"{name}.input_layernorm.weight", hidden),
            "ffn_norm": whole(f"{name}.post_attention_layernorm.weight", hidden),
        }
    )


def layer_parameters(config: LlamaConfig, layer: int) -> Parameters:
    name, hidden, ffn = f"layers.{layer}.mlp", config.hidden_size, config.ffn_size
    return dict(attention_parameters(config, layer)) | {
        "gate": column(f"{name}.gate_proj.weight", ffn, hidden, num_units=ffn),
        "up": column(f"{name}.up_proj.weight", ffn, hidden, num_units=ffn),
        "down": row(f"{name}.down_proj.weight", hidden, ffn, num_units=ffn),
    }


def head_parameters(config: LlamaConfig) -> Parameters:
    words = "embed_tokens.weight" if config.tied else "lm_head.weight"
    return {
        "norm": whole("norm.weight", config.hidden_size),
        "words": column(words, config.vocab_size, config.hidden_size, num_units=config.vocab_size),
    }


def embed(config: LlamaConfig, params: Params, ids_BL: jax.Array, positions_BL: jax.Array) -> jax.Array:
    return lookup(params["words"], ids_BL)


def mix(
    config: LlamaConfig, params: Params, x_BLD: jax.Array, positions_BL: jax.Array, attend: Attend
) -> jax.Array:
    """The attention half of a layer, with its residual."""
    normed_BLD = rms_norm(x_BLD, params["attention_norm"], epsilon=config.epsilon)

    def heads(name: str, count: int) -> jax.Array:
        return cut_heads(linear(normed_BLD, params[name], params.get(f"{name}_bias")), count)

    def turned(name: str, count: int) -> jax.Array:
        x_BLNH, norm = heads(name, count), params.get(f"{name}_norm")
        x_BLNH = x_BLNH if norm is None else rms_norm(x_BLNH, norm, epsilon=config.epsilon)
        return rotate(x_BLNH, positions_BL, config.frequencies)

    q_BLNH, k_BLKH = turned("query", config.num_heads), turned("key", config.num_kv_heads)
    return x_BLD + linear(attend(q_BLNH, k_BLKH, heads("value", config.num_kv_heads)), params["output"])


def layer(
    config: LlamaConfig, params: Params, x_BLD: jax.Array, positions_BL: jax.Array, attend: Attend
) -> jax.Array:
    x_BLD = mix(config, params, x_BLD, positions_BL, attend)
    normed_BLD = rms_norm(x_BLD, params["ffn_norm"], epsilon=config.epsilon)
    gate_BLF = ACTIVATIONS[config.activation](linear(normed_BLD, params["gate"]))
    return x_BLD + linear(gate_BLF * linear(normed_BLD, params["up"]), params["down"])


def head(config: LlamaConfig, params: Params, x_BLD: jax.Array) -> jax.Array:
    return linear(rms_norm(x_BLD, params["norm"], epsilon=config.epsilon), params["words"])


def _size(layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int) -> dict[str, object]:
    return {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": 2048,
    }


# Layers, hidden size, heads, key-value heads, feed-forward, vocabulary.
SIZES = {
    "tiny": _size(4, 128, 8, 4, 384, 1024),
    "small": _size(6, 384, 12, 4, 1024, 4096),
    "medium": _size(8, 512, 8, 4, 1408, 8192),
    "base": _size(12, 768, 12, 4, 2048, 32000),
    "large": _size(22, 2048, 32, 4, 5632, 32000),
}

LLAMA = Family(
    name="llama",
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
