"""Specs of a group that computes: tiny models with drawn weights, and one that generates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.workers.generation.tiny_models import VOCABULARY, write_checkpoint
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.numpy_tensors import tensor_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tensors import Tensor
from workers.spec import WorkerSpec

KEY = "a secret"
LIMITS = GenerationLimits(num_pages=32, page_tokens=8, max_sequences=2, max_batched_tokens=16)
SOURCES = {"bert": "random://bert-tiny?seed=3", "gpt2": "random://gpt2-tiny?seed=4", "chat": ""}


def spec_of(
    folder: Path, *models: str, group: str = "g0", config: ParallelConfig | None = None
) -> WorkerSpec:
    """Of `SOURCES`; "chat" generates. config: one device unless told."""
    config = config or ParallelConfig()
    sources = SOURCES | {"chat": str(folder / "llama")}
    if not (folder / "llama").is_dir():
        write_checkpoint("llama", folder / "llama")
    stages = config.pipeline
    times = (StepTimes(0.001, 0.0),) * stages
    entry = ProfileEntry(config, (1,) * stages, {}, {1: (0.1,) * stages}, step_times=times)
    profiles = {name: profile_of(name, "cpu", [entry], provenance=Provenance("imported")) for name in models}
    devices = tuple(f"{group}-0:{number}" for number in range(config.num_devices))
    return WorkerSpec(
        group=Group(group, devices, config, models),
        models=tuple(
            ModelSpec(
                name,
                source=sources[name],
                profile=profiles[name],
                engine="jax",
                batch_sizes=(1,),
                sequence_lengths=(8,),
            )
            for name in models
        ),
        catalog=Catalog(profiles),
        policy=Policy(admission="none"),
        engine="jax",
        platform="cpu",
        source_folder="/",
        key=KEY,
        socket_path=str(folder / f"{group}.sock"),
        beat_interval_s=0.05,
        limits={"chat": LIMITS} if "chat" in models else {},
    )


def ids(seed: int, length: int = 6) -> tuple[Tensor, ...]:
    """Inputs of a model that is asked once."""
    return (tensor_of("input_ids", np.random.default_rng(seed).integers(0, 90, (1, length))),)


def prompt(seed: int, length: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, length).astype(np.int32)
