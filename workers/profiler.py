"""Measures what a model costs on this machine's devices: stage latencies and memory, for a ModelProfile.

Stages are timed as the engine runs them: the first with tokenising and padding, the last with reading the
output.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np

from vocabulary.deployment import ModelSpec
from vocabulary.errors import Infeasible
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from workers.model import ShardedModel, load_model

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: `num_rounds` timed runs a stage after `num_warm` runs that do not count."""

    num_warm: int = 3
    num_rounds: int = 15


def profile_model(
    model: ModelSpec,
    *,
    device_type: str,
    configs: Sequence[ParallelConfig],
    source_folder: Path,
    effort: Effort,
    progress: Progress,
) -> Profile:
    """A profile of every config that the model can be cut into and this machine has devices for.

    One request fills the longest sequence served. Raises StatmuxError when the model does not load.
    """
    entries = []
    for config in configs:
        if config.num_devices > len(jax.devices()):
            continue
        progress(f"{model.name} {config}")
        try:
            loaded = _load(model, config, source_folder)
        except Infeasible:
            continue  # more stages than layers
        entries.append(_entry(loaded, model, config, effort))
    if not entries:
        raise Infeasible(
            f"model {model.name} fits none of {', '.join(map(str, configs))} on {len(jax.devices())} devices",
            hint="allow smaller tensor or pipeline values under models[].parallelism",
        )
    note = f"measured by statmux profile, jax {jax.__version__}, median of {effort.num_rounds}"
    return profile_of(
        model.name,
        device_type,
        entries,
        provenance=Provenance("measured", note),
        sequence_length=max(model.sequence_lengths),
    )


def _load(model: ModelSpec, config: ParallelConfig, source_folder: Path) -> ShardedModel:
    assert model.source is not None, model
    loaded = load_model(
        model.source,
        architecture=model.architecture,
        config=config,
        devices=jax.devices()[: config.num_devices],
        batch_buckets=model.batch_sizes,
        sequence_buckets=model.sequence_lengths,
        base_dir=source_folder,
    )
    loaded.compile()
    return loaded


def _entry(
    loaded: ShardedModel,
    model: ModelSpec,
    config: ParallelConfig,
    effort: Effort,
) -> ProfileEntry:
    inputs = _longest(loaded, max(model.sequence_lengths))
    latency_s = {size: _stage_latency_s(loaded, [inputs] * size, effort) for size in model.batch_sizes}
    latency_s.setdefault(1, next(iter(latency_s.values())))
    activation_bytes = {size: loaded.activation_bytes_per_stage(size) for size in latency_s}
    return ProfileEntry(config, loaded.weight_bytes_per_stage, activation_bytes, latency_s)


def _longest(loaded: ShardedModel, sequence_length: int) -> Mapping[str, np.ndarray]:
    """One request of the longest bucket; text is a word a token, with room for the tokens round it."""
    ids = np.arange(sequence_length, dtype=np.int64)[None] % 90 + 5
    text = np.array([" ".join(["word"] * (3 * sequence_length // 4)).encode()], dtype=object)
    return {
        spec.name: text if spec.datatype == "BYTES" else np.ones_like(ids) if "mask" in spec.name else ids
        for spec in loaded.inputs
    }


def _stage_latency_s(
    loaded: ShardedModel, requests: Sequence[Mapping[str, np.ndarray]], effort: Effort
) -> tuple[float, ...]:
    runs = [_timed_run(loaded, requests) for _ in range(effort.num_warm + effort.num_rounds)]
    counted = runs[effort.num_warm :]
    return tuple(statistics.median(run[stage] for run in counted) for stage in range(loaded.num_stages))


def _timed_run(loaded: ShardedModel, requests: Sequence[Mapping[str, np.ndarray]]) -> list[float]:
    marks_s = [time.perf_counter()]
    batch = loaded.pad(requests)
    for stage in range(loaded.num_stages):
        batch = jax.block_until_ready(loaded.run_stage(stage, batch))
        if stage == loaded.num_stages - 1:
            loaded.unpad(batch)
        marks_s.append(time.perf_counter())
    return [end - start for start, end in pairwise(marks_s)]
