"""Mixtral decoders: Llama's attention, and per token the best few of several expert feed-forwards.

Every expert computes every token and the router's weights (zero for experts not chosen) mix them: more
arithmetic than routing tokens, but no token ever waits, moves or is dropped. Legend: families/family.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import numpy as jnp

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from workers.families import llama
from workers.families.family import (
    Attend,
    Family,
    KeyValueHeads,
    Parameter,
    Parameters,
    Params,
    Split,
    whole,
)
from workers.families.llama import LlamaConfig
from workers.families.operators import ACTIVATIONS, linear, rms_norm


@dataclass(frozen=True, slots=True)
class MixtralConfig:
    """`decoder` is all but the experts; its feed-forward width is that of one expert."""

    decoder: LlamaConfig
    num_experts: int
    num_chosen: int

    @property
    def num_layers(self) -> int:
        return self.decoder.num_layers

    @property
    def hidden_size(self) -> int:
        return self.decoder.hidden_size

    @property
    def vocab_size(self) -> int:
        return self.decoder.vocab_size

    @property
    def max_positions(self) -> int:
        return self.decoder.max_positions


def parse(config: HubConfig) -> MixtralConfig:
    config.only("sliding_window")
    num_experts, num_chosen = config.count("num_local_experts"), config.count("num_experts_per_tok")
    if num_chosen > num_experts:
        raise InvalidInput(
            f"num_experts_per_tok {num_chosen} is above num_local_experts {num_experts}", where=config.where
        )
    decoder = llama.parse_decoder(config, default_theta=1e6, default_epsilon=1e-5)
    return MixtralConfig(decoder, num_experts, num_chosen)


def embed_parameters(config: MixtralConfig) -> Parameters:
    return llama.embed_parameters(config.decoder)


def layer_parameters(config: MixtralConfig, layer: int) -> Parameters:
    hidden, ffn, experts = config.hidden_size, config.decoder.ffn_size, config.num_experts
    name = f"layers.{layer}.block_sparse_moe"

    def stacked(tensor: str, *shape: int, ffn_dim: int) -> Parameter:
        tensors = tuple(f"{name}.experts.{expert}.{tensor}.weight" for expert in range(experts))
        return Parameter(tensors, (experts, *shape), (Split(0, experts), Split(ffn_dim, ffn)))

    return dict(llama.attention_parameters(config.decoder, layer)) | {
        "router": whole(f"{name}.gate.weight", experts, hidden),
        "gate": stacked("w1", ffn, hidden, ffn_dim=1),
        "down": stacked("w2", hidden, ffn, ffn_dim=2),
        "up": stacked("w3", ffn, hidden, ffn_dim=1),
    }


def head_parameters(config: MixtralConfig) -> Parameters:
    return llama.head_parameters(config.decoder)


def kv_heads(config: MixtralConfig) -> KeyValueHeads:
    return llama.kv_heads(config.decoder)


def embed(config: MixtralConfig, params: Params, ids_BL: jax.Array, positions_BL: jax.Array) -> jax.Array:
    return llama.embed(config.decoder, params, ids_BL, positions_BL)


def layer(
    config: MixtralConfig, params: Params, x_BLD: jax.Array, positions_BL: jax.Array, attend: Attend
) -> jax.Array:
    x_BLD = llama.mix(config.decoder, params, x_BLD, positions_BL, attend)
    normed_BLD = rms_norm(x_BLD, params["ffn_norm"], epsilon=config.decoder.epsilon)
    weights_BLE = _route(config, linear(normed_BLD, params["router"]))
    gate_BLEF = ACTIVATIONS[config.decoder.activation](
        jnp.einsum("BLD,EFD->BLEF", normed_BLD, params["gate"])
    )
    inner_BLEF = gate_BLEF * jnp.einsum("BLD,EFD->BLEF", normed_BLD, params["up"])
    return x_BLD + jnp.einsum("BLEF,EDF->BLD", inner_BLEF * weights_BLE[..., None], params["down"])


def head(config: MixtralConfig, params: Params, x_BLD: jax.Array) -> jax.Array:
    return llama.head(config.decoder, params, x_BLD)


def _route(config: MixtralConfig, scores_BLE: jax.Array) -> jax.Array:
    """Softmax over all experts, then the best `num_chosen` scaled to sum to one, the others zero."""
    shares_BLE = jax.nn.softmax(scores_BLE.astype(jnp.float32))
    best_BLC, chosen_BLC = jax.lax.top_k(shares_BLE, config.num_chosen)
    shares_BLC = best_BLC / best_BLC.sum(-1, keepdims=True)
    one_hot_BLCE = jax.nn.one_hot(chosen_BLC, config.num_experts, dtype=shares_BLC.dtype)
    return jnp.einsum("BLC,BLCE->BLE", shares_BLC, one_hot_BLCE).astype(scores_BLE.dtype)


def _size(layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int) -> dict[str, object]:
    return {
        "model_type": "mixtral",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": 2048,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    }


# Layers, hidden size, heads, key-value heads, width of one of 4 experts, vocabulary. 1 M, 20 M, 53 M, 230 M.
SIZES = {
    "tiny": _size(4, 128, 8, 4, 128, 1024),
    "small": _size(6, 384, 12, 4, 512, 4096),
    "medium": _size(8, 512, 8, 4, 768, 8192),
    "base": _size(12, 768, 12, 4, 1536, 32000),
}

MIXTRAL = Family(
    name="mixtral",
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
