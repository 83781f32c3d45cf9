"""Tiny decoders with drawn weights, written as checkpoints; what transformers answers is committed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from safetensors.numpy import save_file

from vocabulary.formats.hub_config import HubConfig
from workers.families import FAMILIES

GOLDENS = Path(__file__).parents[2] / "goldens" / "generation"
VOCABULARY = 96
NUM_TOKENS = 40
NUM_BEST = 5
PROMPT_LENGTHS = (1, 3, 9, 13, 17, 22)
# Of the first prompts that are as long, so that sequences can share pages.
NUM_SHARED = 8
# Big enough that every operator shows in the answer, and that the best token is best by far.
SPREAD = 0.3
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_LLAMA = _COMMON | {"intermediate_size": 48, "num_key_value_heads": 2}
CONFIGS: Mapping[str, Mapping[str, object]] = {
    "llama": _LLAMA | {"model_type": "llama"},
    "llama-tied": _LLAMA | {"model_type": "llama", "tie_word_embeddings": True},
    "mistral": _LLAMA | {"model_type": "mistral", "head_dim": 16, "sliding_window": None},
    "qwen2": _LLAMA | {"model_type": "qwen2"},
    "qwen3": _LLAMA | {"model_type": "qwen3", "head_dim": 8},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
    },
    "opt": _COMMON | {"model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 32},
    "mixtral": _LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
}


@dataclass(frozen=True, slots=True)
class Expected:
    """Of each prompt: its tokens; the greedy answer; of every token the best ones' log-probabilities."""

    prompts: tuple[np.ndarray, ...]
    answers: np.ndarray
    best_tokens: np.ndarray
    best_logprobs: np.ndarray


def write_checkpoint(name: str, directory: Path) -> None:
    """config.json and safetensors."""
    config = dict(CONFIGS[name]) | {"eos_token_id": None, "bos_token_id": None, "pad_token_id": None}
    family = FAMILIES[str(config["model_type"])]
    parsed = family.parse(HubConfig(config, name))
    tensors = {
        _full_name(tensor, family.prefixes[0]): _draw(name, tensor, parameter.tensor_shape)
        for parameter in family.parameters(parsed)
        for tensor in parameter.tensors
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def prompts_of(name: str) -> tuple[np.ndarray, ...]:
    """Those that are longer than NUM_SHARED begin with the same tokens."""
    generator = np.random.default_rng(crc32(name.encode()))
    shared = generator.integers(0, VOCABULARY, NUM_SHARED)
    prompts = [generator.integers(0, VOCABULARY, length) for length in PROMPT_LENGTHS]
    for prompt in prompts:
        if len(prompt) > NUM_SHARED:
            prompt[:NUM_SHARED] = shared
    return tuple(prompt.astype(np.int32) for prompt in prompts)


def read_expected(name: str) -> Expected:
    arrays = np.load(GOLDENS / f"{name}.npz")
    return Expected(prompts_of(name), arrays["answers"], arrays["best_tokens"], arrays["best_logprobs"])


def _full_name(tensor: str, prefix: str) -> str:
    return tensor if tensor.startswith("lm_head") else prefix + tensor


def _draw(name: str, tensor: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng([crc32(name.encode()), crc32(tensor.encode())])
    values = (SPREAD * generator.standard_normal(shape)).astype(np.float32)
    is_scale = len(shape) == 1 and tensor.endswith("weight")
    return values + np.float32(1.0) if is_scale else values
