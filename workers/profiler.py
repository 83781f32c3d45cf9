"""Measures what a model costs on this machine's devices: stage latencies and memory, for a ModelProfile.

A pipeline is cut by the times of the model's parts, and the profile says where, so that workers cut alike.
Stages are timed as the engine runs them: the first with tokenising and padding, the last with reading the
output.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np

from placement.costs.parts import cut_parts, layers_of
from vocabulary.deployment import ModelSpec
from vocabulary.errors import Infeasible
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from vocabulary.tensors import TensorSpec
from workers.generation.step_profile import open_to_profile, step_profile
from workers.model import OpenModel, ShardedModel, open_model
from workers.part_times import PartTimes, measure_parts
from workers.python_model import PythonModel, load_python_model

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
    allow_python_models: bool = False,
) -> Profile:
    """A profile of every config that the model can be cut into and this machine has devices for.

    One request fills the longest sequence served. Stages are cut by the times of the model's parts, measured
    once for each `tensor` that has pipelines. Raises StatmuxError when the model does not load.
    """
    entries: list[ProfileEntry] = []
    parts: dict[int, PartTimes] = {}
    # Fewest stages first: a whole model says what its parts take together.
    for config in sorted(configs, key=lambda one: (one.tensor, one.pipeline)):
        if config.num_devices > len(jax.devices()):
            continue
        if model.is_function and config.pipeline > 1:
            continue
        progress(f"{model.name} {config}")
        if model.is_function:
            entries.append(
                _function_entry(model, config, source_folder, effort, is_allowed=allow_python_models)
            )
            continue
        try:
            if config.pipeline > 1 and config.tensor not in parts:
                parts[config.tensor] = _parts(model, config.tensor, entries, source_folder, effort)
            entries.append(_entry(model, config, parts.get(config.tensor), source_folder, effort))
        except Infeasible:
            continue  # more stages than layers
    entries = [
        replace(entry, part_s=parts[entry.config.tensor].part_s) if entry.config.tensor in parts else entry
        for entry in entries
    ]
    _check_any(entries, model, configs)
    note = f"measured by statmux profile, jax {jax.__version__}, median of {effort.num_rounds}"
    return profile_of(
        model.name,
        device_type,
        entries,
        provenance=Provenance("measured", note),
        sequence_length=max(model.sequence_lengths),
    )


def profile_generating(
    model: ModelSpec,
    *,
    device_type: str,
    configs: Sequence[ParallelConfig],
    source_folder: Path,
    effort: Effort,
    progress: Progress,
) -> Profile:
    """As `profile_model`, of a model that generates: what its steps cost, and the bytes of a token.

    The least share of the variance of steps not fitted to that the fits explain is in the provenance.
    """
    entries: list[ProfileEntry] = []
    explained: list[float] = []
    for config in sorted(configs, key=lambda one: (one.tensor, one.pipeline)):
        if config.num_devices > len(jax.devices()):
            continue
        progress(f"{model.name} {config}")
        try:
            found = step_profile(
                open_to_profile(model, config, source_folder),
                model,
                config,
                num_rounds=effort.num_rounds,
            )
        except Infeasible:
            continue  # more stages than layers
        entries.append(found.entry)
        explained += [fit.r2 for fit in found.fits]
    _check_any(entries, model, configs)
    note = f"steps fitted by statmux profile, jax {jax.__version__}, held-out R2 {min(explained):.3f} or more"
    return profile_of(model.name, device_type, entries, provenance=Provenance("measured", note))


def _check_any(entries: Sequence[ProfileEntry], model: ModelSpec, configs: Sequence[ParallelConfig]) -> None:
    if not entries:
        raise Infeasible(
            f"model {model.name} fits none of {', '.join(map(str, configs))} on {len(jax.devices())} devices",
            hint="allow smaller tensor or pipeline values under models[].parallelism",
        )


def _parts(
    model: ModelSpec, tensor: int, entries: Sequence[ProfileEntry], source_folder: Path, effort: Effort
) -> PartTimes:
    opened = _open(model, ParallelConfig(tensor, 1), source_folder, cut=None)
    request = _longest(opened.task.inputs, max(model.sequence_lengths))
    times = measure_parts(
        opened,
        request,
        other_devices=jax.devices()[tensor : 2 * tensor],
        num_warm=effort.num_warm,
        num_rounds=effort.num_rounds,
    )
    whole = [sum(entry.stage_latency_s[1]) for entry in entries if entry.config == ParallelConfig(tensor, 1)]
    return times.within(whole[0]) if whole else times


def _entry(
    model: ModelSpec, config: ParallelConfig, parts: PartTimes | None, source_folder: Path, effort: Effort
) -> ProfileEntry:
    cut = None
    if parts is not None and config.pipeline > 1:
        cut = layers_of(cut_parts(parts.part_s, config.pipeline, transfer_s=parts.transfer_s))
    opened = _open(model, config, source_folder, cut=cut)
    loaded = opened.model(opened.read())
    loaded.compile()
    request = _longest(loaded.inputs, max(model.sequence_lengths))
    latency_s = {size: _stage_latency_s(loaded, [request] * size, effort) for size in model.batch_sizes}
    latency_s.setdefault(1, next(iter(latency_s.values())))
    activation_bytes = {size: loaded.activation_bytes_per_stage(size) for size in latency_s}
    stage_layers = tuple(len(plan.layers) for plan in opened.plans)
    return ProfileEntry(
        config,
        loaded.weight_bytes_per_stage,
        activation_bytes,
        latency_s,
        output_bytes={size: _output_bytes(opened, size) for size in latency_s},
        stage_layers=stage_layers,
    )


def _function_entry(
    model: ModelSpec, config: ParallelConfig, source_folder: Path, effort: Effort, *, is_allowed: bool
) -> ProfileEntry:
    """Of a user's own function, which is one stage."""
    assert model.source is not None, model
    loaded = load_python_model(
        model.source,
        is_allowed=is_allowed,
        config=config,
        devices=jax.devices()[: config.num_devices],
        batch_buckets=model.batch_sizes,
        base_dir=source_folder,
    )
    loaded.compile()
    request = loaded.blank_request()
    latency_s = {size: _stage_latency_s(loaded, [request] * size, effort) for size in model.batch_sizes}
    latency_s.setdefault(1, next(iter(latency_s.values())))
    return ProfileEntry(
        config,
        loaded.weight_bytes_per_stage,
        {size: loaded.activation_bytes_per_stage(size) for size in latency_s},
        latency_s,
        output_bytes={size: (loaded.output_bytes(size),) for size in latency_s},
    )


def _output_bytes(opened: OpenModel, batch_size: int) -> tuple[int, ...]:
    """Float32 activations of the padded batch from stage to stage; at the end, its result."""
    bucket = opened.buckets.largest_for(batch_size)
    num_tokens = bucket.batch_size * bucket.sequence_length
    hidden_bytes = 4 * num_tokens * opened.plans[0].config.hidden_size
    num_rows = num_tokens if opened.task.pooling is None else bucket.batch_size
    result_bytes = 4 * num_rows * opened.task.output.shape[-1]
    return (hidden_bytes,) * (len(opened.plans) - 1) + (result_bytes,)


def _open(
    model: ModelSpec, config: ParallelConfig, source_folder: Path, *, cut: tuple[range, ...] | None
) -> OpenModel:
    assert model.source is not None, model
    return open_model(
        model.source,
        architecture=model.architecture,
        config=config,
        devices=jax.devices()[: config.num_devices],
        batch_buckets=model.batch_sizes,
        sequence_buckets=model.sequence_lengths,
        base_dir=source_folder,
        cut=cut,
        dtype=model.number_format,
    )


def _longest(inputs: Sequence[TensorSpec], sequence_length: int) -> Mapping[str, np.ndarray]:
    """One request of the longest bucket; text is a word a token, with room for the tokens round it."""
    ids = np.arange(sequence_length, dtype=np.int64)[None] % 90 + 5
    text = np.array([" ".join(["word"] * (3 * sequence_length // 4)).encode()], dtype=object)
    return {
        spec.name: text if spec.datatype == "BYTES" else np.ones_like(ids) if "mask" in spec.name else ids
        for spec in inputs
    }


def _stage_latency_s(
    loaded: ShardedModel | PythonModel, requests: Sequence[Mapping[str, np.ndarray]], effort: Effort
) -> tuple[float, ...]:
    runs = [_timed_run(loaded, requests) for _ in range(effort.num_warm + effort.num_rounds)]
    counted = runs[effort.num_warm :]
    return tuple(statistics.median(run[stage] for run in counted) for stage in range(loaded.num_stages))


def _timed_run(
    loaded: ShardedModel | PythonModel, requests: Sequence[Mapping[str, np.ndarray]]
) -> list[float]:
    marks_s = [time.perf_counter()]
    batch = loaded.pad(requests)
    for stage in range(loaded.num_stages):
        batch = jax.block_until_ready(loaded.run_stage(stage, batch))
        if stage == loaded.num_stages - 1:
            loaded.unpad(batch)
        marks_s.append(time.perf_counter())
    return [end - start for start, end in pairwise(marks_s)]
