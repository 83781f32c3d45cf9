"""BERT encoders: ids -> last_hidden_state. Suffix legend: families/family.py."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from vocabulary.formats.hub_config import HubConfig, divide
from workers.families.family import Attend, Family, Parameters, Params, column, row, whole
from workers.families.operators import ACTIVATIONS, cut_heads, layer_norm, linear, lookup


@dataclass(frozen=True, slots=True)
class BertConfig:
    num_layers: int
    hidden_size: int
    num_heads: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    num_token_types: int
    epsilon: float
    activation: str


def parse(config: HubConfig) -> BertConfig:
    config.only("position_embedding_type", "absolute")
    config.only("is_decoder", False)
    hidden_size, num_heads = config.count("hidden_size"), config.count("num_attention_heads")
    divide("hidden_size", hidden_size, "num_attention_heads", num_heads, where=config.where)
    return BertConfig(
        num_layers=config.count("num_hidden_layers"),
        hidden_size=hidden_size,
        num_heads=num_heads,
        ffn_size=config.count("intermediate_size"),
        vocab_size=config.count("vocab_size"),
        max_positions=config.count("max_position_embeddings"),
        num_token_types=config.count("type_vocab_size", 2),
        epsilon=config.number("layer_norm_eps", 1e-12),
        activation=config.choice("hidden_act", ACTIVATIONS, "gelu"),
    )


def embed_parameters(config: BertConfig) -> Parameters:
    hidden, vocab = config.hidden_size, config.vocab_size
    return {
        "words": column("embeddings.word_embeddings.weight", vocab, hidden, num_units=vocab),
        "positions": whole("embeddings.position_embeddings.weight", config.max_positions, hidden),
        "types": whole("embeddings.token_type_embeddings.weight", config.num_token_types, hidden),
        "norm_scale": whole("embeddings.LayerNorm.weight", hidden),
        "norm_bias": whole("embeddings.LayerNorm.bias", hidden),
    }


def layer_parameters(config: BertConfig, layer: int) -> Parameters:
    name, hidden, ffn, heads = f"encoder.layer.{layer}", config.hidden_size, config.ffn_size, config.num_heads
    return {
        "query": column(f"{name}.attention.self.query.weight", hidden, hidden, num_units=heads),
        "query_bias": column(f"{name}.attention.self.query.bias", hidden, num_units=heads),
        "key": column(f"{name}.attention.self.key.weight", hidden, hidden, num_units=heads),
        "key_bias": column(f"{name}.attention.self.key.bias", hidden, num_units=heads),
        "value": column(f"{name}.attention.self.value.weight", hidden, hidden, num_units=heads),
        "value_bias": column(f"{name}.attention.self.value.bias", hidden, num_units=heads),
        "output": row(f"{name}.attention.output.dense.weight", hidden, hidden, num_units=heads),
        "output_bias": whole(f"{name}.attention.output.dense.bias", hidden),
        "attention_norm_scale": whole(f"{name}.attention.output.LayerNorm.weight", hidden),
        "attention_norm_bias": whole(f"{name}.attention.output.LayerNorm.bias", hidden),
        "up": column(f"{name}.intermediate.dense.weight", ffn, hidden, num_units=ffn),
        "up_bias": column(f"{name}.intermediate.dense.bias", ffn, num_units=ffn),
        "down": row(f"{name}.output.dense.weight", hidden, ffn, num_units=ffn),
        "down_bias": whole(f"{name}.output.dense.bias", hidden),
        "ffn_norm_scale": whole(f"{name}.output.LayerNorm.weight", hidden),
        "ffn_norm_bias": whole(f"{name}.output.LayerNorm.bias", hidden),
    }


def head_parameters(config: BertConfig) -> Parameters:
    return {}


def embed(config: BertConfig, params: Params, ids_BL: jax.Array, positions_BL: jax.Array) -> jax.Array:
    """Every token is of type 0: one text, not a pair."""
    places_BLD = lookup(params["positions"], positions_BL)
    x_BLD = lookup(params["words"], ids_BL) + places_BLD + params["types"][0]
    return layer_norm(x_BLD, params["norm_scale"], params["norm_bias"], epsilon=config.epsilon)


def layer(
    config: BertConfig, params: Params, x_BLD: jax.Array, positions_BL: jax.Array, attend: Attend
) -> jax.Array:
    q_BLNH, k_BLNH, v_BLNH = (
        cut_heads(linear(x_BLD, params[name], params[f"{name}_bias"]), config.num_heads)
        for name in ("query", "key", "value")
    )
    mixed_BLD = attend(q_BLNH, k_BLNH, v_BLNH)
    x_BLD = layer_norm(
        x_BLD + linear(mixed_BLD, params["output"], params["output_bias"]),
        params["attention_norm_scale"],
        params["attention_norm_bias"],
        epsilon=config.epsilon,
    )
    up_BLF = ACTIVATIONS[config.activation](linear(x_BLD, params["up"], params["up_bias"]))
    return layer_norm(
        x_BLD + linear(up_BLF, params["down"], params["down_bias"]),
        params["ffn_norm_scale"],
        params["ffn_norm_bias"],
        epsilon=config.epsilon,
    )


def head(config: BertConfig, params: Params, x_BLD: jax.Array) -> jax.Array:
    return x_BLD


def _size(layers: int, hidden: int, heads: int, vocab: int, positions: int = 512) -> dict[str, object]:
    return {
        "model_type": "bert",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
    }


# Layers, hidden size, heads, vocabulary. Weights: 1 M, 12 M, 29 M, 109 M, 334 M parameters.
SIZES = {
    "tiny": _size(4, 128, 4, 1024),
    "small": _size(6, 384, 12, 4096),
    "medium": _size(8, 512, 8, 8192),
    "base": _size(12, 768, 12, 30522),
    "large": _size(24, 1024, 16, 30522),
}

BERT = Family(
    name="bert",
    is_causal=False,
    prefixes=("", "bert."),
    sizes=SIZES,
    parse=parse,
    embed_parameters=embed_parameters,
    layer_parameters=layer_parameters,
    head_parameters=head_parameters,
    embed=embed,
    layer=layer,
    head=head,
)
