"""The peer of benchmarks/generation.py: transformers' generate on batches padded to their longest prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
import transformers

# Of the byte-level Llama.
_SHAPE = {
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,
}


def save_llama(folder: Path, *, vocab_size: int) -> None:
    """A Llama with random weights, as config.json and safetensors."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=vocab_size, **_SHAPE)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


@final
class StaticBatches:
    """Greedy, float32, with its cache of keys and values."""

    def __init__(self, folder: Path, *, num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        self._model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> list[list[int]]:
        """So many tokens after each prompt [prompts][num_tokens]."""
        longest = max(map(len, prompts))
        # Padded on the left, as generate wants it.
        ids = torch.tensor([[0] * (longest - len(one)) + list(one) for one in prompts])
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
        with torch.inference_mode():
            out = self._model.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                min_new_tokens=num_tokens,
                max_new_tokens=num_tokens,
                pad_token_id=0,
                eos_token_id=None,
            )
        return out[:, longest:].tolist()
