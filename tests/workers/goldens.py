"""Reads the committed goldens and loads models for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from vocabulary.parallel import ParallelConfig
from workers.model import ShardedModel, load_model

GOLDENS = Path(__file__).parents[1] / "goldens"
FAMILY_NAMES = ("bert", "gpt2", "llama", "mixtral", "opt")
# (tensor, pipeline)
CONFIGS = ((1, 1), (2, 1), (1, 2), (2, 2))
# Of the largest output, from the issue: float32 sums in another order differ by about 1e-6 of it.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Golden:
    requests: tuple[dict[str, np.ndarray], ...]
    outputs: tuple[np.ndarray, ...]


def read_golden(family: str) -> Golden:
    arrays = np.load(GOLDENS / family / "expected.npz")
    count = 1 + max(int(key.partition(".")[0]) for key in arrays)
    requests = [
        {name: arrays[f"{i}.{name}"] for name in ("input_ids", "attention_mask") if f"{i}.{name}" in arrays}
        for i in range(count)
    ]
    return Golden(tuple(requests), tuple(arrays[f"{i}.output"] for i in range(count)))


def load(
    source: str | Path,
    *,
    config: tuple[int, int] = (1, 1),
    batch_buckets: Sequence[int] = (1,),
    sequence_buckets: Sequence[int] = (16,),
    first_device: int = 0,
    **options,
) -> ShardedModel:
    parallel = ParallelConfig(*config)
    return load_model(
        str(source),
        config=parallel,
        devices=jax.devices("cpu")[first_device : first_device + parallel.num_devices],
        batch_buckets=tuple(batch_buckets),
        sequence_buckets=tuple(sequence_buckets),
        base_dir=GOLDENS,
        **options,
    )


def serve(model: ShardedModel, requests: Sequence[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """One batch through all stages; the single output of every request."""
    (name,) = (spec.name for spec in model.outputs)
    return [output[name] for output in model.unpad(model.run(model.pad(requests)))]


def assert_close(output: np.ndarray, expected: np.ndarray) -> None:
    assert output.shape == expected.shape
    assert output.dtype == np.float32
    error = np.abs(output - expected).max() / np.abs(expected).max()
    assert error <= TOLERANCE, error
