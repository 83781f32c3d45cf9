"""Llamas of published shapes with random weights as the engine's own model, and steps for them.

Weights are one block of random numbers, repeated: drawing billions would take longer than what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from vocabulary.formats.hub_config import HubConfig
from vocabulary.generation import GenerationLimits
from vocabulary.parallel import ParallelConfig
from vocabulary.sampling import GREEDY
from workers.attention.interface import AttentionBackend
from workers.families.llama import LLAMA
from workers.generation.host_step import Draw, HostRow, HostStep
from workers.generation.model import GeneratingModel, GenerationTask
from workers.generation.opening import OpenGeneratingModel
from workers.generation.shapes import step_shapes
from workers.stages import stage_meshes, stage_plans

_NONE = np.empty(0, np.int32)
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a Llama; weights of output and input words are two tensors."""

    num_layers: int
    hidden: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    ffn: int
    vocab: int

    @property
    def kv_elements(self) -> int:
        """Of one token in one layer, keys and values."""
        return 2 * self.num_kv_heads * self.head_width

    @property
    def layer_elements(self) -> int:
        """Weights of one layer."""
        attention = self.hidden * (2 * self.num_heads + 2 * self.num_kv_heads) * self.head_width
        return attention + 3 * self.hidden * self.ffn

    @property
    def read_elements(self) -> int:
        """Weights that every step reads: all but the table of input words."""
        return self.num_layers * self.layer_elements + self.hidden * self.vocab

    def attention_flop(self, context: float) -> float:
        """Of a token that sees so many, in all layers."""
        return 4 * context * self.num_heads * self.head_width * self.num_layers


SIZES = {
    "tiny": Sizes(2, 64, 4, 2, 16, 128, 512),
    "1b": Sizes(16, 2048, 32, 8, 64, 8192, 128256),
    "3b": Sizes(28, 3072, 24, 8, 128, 8192, 128256),
    "8b": Sizes(32, 4096, 32, 8, 128, 14336, 128256),
}


@dataclass(frozen=True, slots=True)
class _RepeatedBlock:
    """A checkpoint of any shapes."""

    config: HubConfig
    shapes: Mapping[str, tuple[int, ...]]
    directory: Path | None = None
    source: str = "random"

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        block = np.random.default_rng(0).standard_normal(_BLOCK, np.float32) * np.float32(0.02)
        return np.resize(block, self.shapes[name])[index]


def open_model(
    sizes: Sizes,
    backend: AttentionBackend,
    *,
    max_rows: int,
    chunk: int,
    context: int,
    page_tokens: int,
    dtype: str,
) -> GeneratingModel:
    """On the first device, with pages for `max_rows` contexts of their own."""
    config = HubConfig(
        {
            "model_type": "llama",
            "num_hidden_layers": sizes.num_layers,
            "hidden_size": sizes.hidden,
            "num_attention_heads": sizes.num_heads,
            "num_key_value_heads": sizes.num_kv_heads,
            "head_dim": sizes.head_width,
            "intermediate_size": sizes.ffn,
            "vocab_size": sizes.vocab,
            "max_position_embeddings": context,
        },
        "random",
    )
    limits = GenerationLimits(
        num_pages=max_rows * context // page_tokens,
        page_tokens=page_tokens,
        max_batched_tokens=max(chunk, max_rows),
        max_sequences=max_rows,
    )
    parsed = LLAMA.parse(config)
    opened = OpenGeneratingModel(
        _RepeatedBlock(
            config, {name: one.tensor_shape for one in LLAMA.parameters(parsed) for name in one.tensors}
        ),
        stage_plans((range(sizes.num_layers),), LLAMA, parsed, output="logits", dtype=dtype),
        stage_meshes(jax.devices()[:1], range(1), tensor=ParallelConfig(1, 1).tensor),
        GenerationTask(limits, context, sizes.vocab, ()),
        step_shapes(limits, max_model_len=context),
        backend,
    )
    return opened.model(opened.read())


def rows_step(model: GeneratingModel, *, rows: int, context: int) -> HostStep:
    """Every row's last token of a context whose pages are its own, in random order."""
    pages = np.random.default_rng(0).permutation(model.limits.num_pages)
    per_row = context // model.limits.page_tokens
    return HostStep(
        tuple(_row(model, context - 1, 1, pages[row * per_row : (row + 1) * per_row]) for row in range(rows))
    )


def prompt_step(model: GeneratingModel, *, tokens: int) -> HostStep:
    """A prompt from its beginning."""
    return HostStep((_row(model, 0, tokens, np.arange(model.limits.pages_of(tokens))),))


def _row(model: GeneratingModel, start: int, tokens: int, pages: np.ndarray) -> HostRow:
    ids = np.random.default_rng(start).integers(0, model.vocab_size, tokens).astype(np.int32)
    return HostRow(ids, start, tuple(pages.tolist()), (Draw(GREEDY, 0, 0, _NONE, _NONE),))
