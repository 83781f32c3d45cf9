"""Opens the tiny decoders for steps, with few compiled shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax

from tests.workers.generation.tiny_models import write_checkpoint
from vocabulary.generation import GenerationLimits
from vocabulary.parallel import ParallelConfig
from workers.generation.model import GeneratingModel
from workers.generation.opening import OpenGeneratingModel, open_generating_model
from workers.generation.shapes import StepBucket

# Room for all six sequences of the goldens, and for some pages that wait to be used again.
LIMITS = GenerationLimits(
    num_pages=140, page_tokens=4, max_batched_tokens=24, max_sequences=6, num_host_pages=100
)
# One shape does for everything: what runs alone runs beside padding.
ONE_SHAPE = (StepBucket(8, 3),)


def open_tiny(
    name: str,
    folder: Path,
    *,
    config: tuple[int, int] = (1, 1),
    limits: GenerationLimits = LIMITS,
    max_model_len: int | None = None,
    dtype: str = "float32",
) -> OpenGeneratingModel:
    if not (folder / "config.json").is_file():
        write_checkpoint(name, folder)
    parallel = ParallelConfig(*config)
    return open_generating_model(
        str(folder),
        config=parallel,
        devices=jax.devices("cpu")[: parallel.num_devices],
        limits=limits,
        base_dir=folder,
        max_model_len=max_model_len,
        dtype=dtype,
    )


def tiny_model(
    name: str,
    folder: Path,
    *,
    config: tuple[int, int] = (1, 1),
    buckets: Sequence[StepBucket] = ONE_SHAPE,
    dtype: str = "float32",
) -> GeneratingModel:
    """Shapes are compiled when they are first used."""
    opened = open_tiny(name, folder, config=config, dtype=dtype)
    opened = replace(opened, shapes=replace(opened.shapes, buckets=tuple(buckets)))
    return opened.model(opened.read())
