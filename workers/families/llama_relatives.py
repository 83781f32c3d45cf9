"""Mistral, Qwen2 and Qwen3: Llama's layers with a flag, and their own rules for config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from vocabulary.formats.hub_config import HubConfig
from workers.families import llama
from workers.families.family import Family
from workers.families.llama import LlamaConfig

# Of Qwen3, where config.json does not say; of the others it is hidden size / heads.
QWEN3_HEAD_WIDTH = 128


def parse_mistral(config: HubConfig) -> LlamaConfig:
    decoder = llama.parse_decoder(config, default_theta=1e4, default_epsilon=1e-6)
    return _within_window(decoder, config)


def parse_qwen2(config: HubConfig) -> LlamaConfig:
    decoder = llama.parse_decoder(config, default_theta=1e4, default_epsilon=1e-6)
    return replace(_within_used_window(decoder, config), has_qkv_bias=True)


def parse_qwen3(config: HubConfig) -> LlamaConfig:
    config.only("attention_bias", False)
    decoder = llama.parse_decoder(
        config, default_theta=1e4, default_epsilon=1e-6, default_head_width=QWEN3_HEAD_WIDTH
    )
    return replace(_within_used_window(decoder, config), has_head_norm=True)


def _within_used_window(decoder: LlamaConfig, config: HubConfig) -> LlamaConfig:
    """Qwen names a window also where no layer has one."""
    uses_window = config.flag("use_sliding_window", default=False)
    return _within_window(decoder, config) if uses_window else decoder


def _within_window(decoder: LlamaConfig, config: HubConfig) -> LlamaConfig:
    """Texts no longer than a sliding window do not need it; as no layer has one, positions end there."""
    if config.values.get("sliding_window") is None:
        return decoder
    return replace(decoder, max_positions=min(decoder.max_positions, config.count("sliding_window")))


def _size(model_type: str, layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int) -> dict:
    return {
        "model_type": model_type,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": 2048,
    }


def _family(name: str, parse: Callable[[HubConfig], LlamaConfig]) -> Family:
    # Layers, hidden size, heads, key-value heads, feed-forward, vocabulary: as Llama's.
    sizes: Mapping[str, Mapping[str, object]] = {
        "tiny": _size(name, 4, 128, 8, 4, 384, 1024),
        "small": _size(name, 6, 384, 12, 4, 1024, 4096),
    }
    return replace(llama.LLAMA, name=name, sizes=sizes, parse=parse)


MISTRAL = _family("mistral", parse_mistral)
QWEN2 = _family("qwen2", parse_qwen2)
QWEN3 = _family("qwen3", parse_qwen3)
