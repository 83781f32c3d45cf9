"""Profiles that nobody measured: the entries of a model on a device type, estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from placement.costs.devices import DTYPE_BYTES, DeviceType
from placement.costs.parts import cut_parts, layer_counts, layers_of
from placement.costs.roofline import (
    PartCost,
    Setting,
    output_bytes,
    part_costs,
    result_bytes,
    step_times,
)
from vocabulary.errors import Infeasible
from vocabulary.model_shape import ModelShape
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of


@dataclass(frozen=True, slots=True)
class Workload:
    """What is estimated: the length of requests in tokens, the dtype of numbers, whether they generate."""

    sequence_length: int
    dtype: str
    generates: bool = False

    def __post_init__(self) -> None:
        assert self.sequence_length >= 1, self
        assert self.dtype in DTYPE_BYTES, self


def estimated_profile(
    model: str,
    shape: ModelShape,
    device: DeviceType,
    *,
    configs: Sequence[ParallelConfig],
    batch_sizes: Sequence[int],
    workload: Workload,
    measured_parts: Mapping[int, Sequence[float]] = MappingProxyType({}),
) -> Profile:
    """Every config with no more stages than layers. measured_parts: `part_s` as measured, by tensor.

    Raises Infeasible if there is none, InvalidInput for a dtype that the device type does not compute.
    """
    entries = [
        estimated_entry(
            shape,
            device,
            config,
            batch_sizes,
            workload=workload,
            measured_part_s=measured_parts.get(config.tensor, ()),
        )
        for config in configs
        if config.pipeline <= shape.num_layers
    ]
    if not entries:
        raise Infeasible(
            f"{shape.num_layers} layers cannot be cut into {min(c.pipeline for c in configs)} stages",
            hint=f"choose a pipeline between 1 and {shape.num_layers}",
        )
    note = (
        f"roofline of {shape.num_parameters / 1e9:.3g}B parameters in {workload.dtype} on {device.name}, "
        f"{workload.sequence_length} tokens a request"
    )
    provenance = Provenance("estimated", note)
    return profile_of(
        model, device.name, entries, provenance=provenance, sequence_length=workload.sequence_length
    )


def estimated_entry(
    shape: ModelShape,
    device: DeviceType,
    config: ParallelConfig,
    batch_sizes: Sequence[int],
    *,
    workload: Workload,
    measured_part_s: Sequence[float] = (),
) -> ProfileEntry:
    """One configuration, its layers cut so that the slowest stage is quickest for one request.

    Stage latencies hold the transfer to the next stage. Batch size 1 is always there. measured_part_s: what
    the model's parts took for one request with this `tensor`; the roofline then only says how larger batches
    compare, and what passing outputs on takes.
    """
    device.check_dtype(workload.dtype)
    setting = Setting(shape, device, workload.dtype, config.tensor, workload.sequence_length)
    sizes = sorted({1, *batch_sizes})
    parts = {size: part_costs(setting, size) for size in sizes}
    if len(measured_part_s) == len(parts[1]):
        parts = {size: _as_measured(parts[size], parts[1], measured_part_s) for size in sizes}
    sent_bytes = {size: output_bytes(setting, size) for size in sizes}
    part_s = tuple(part.seconds for part in parts[1])
    stages = cut_parts(part_s, config.pipeline, transfer_s=device.link.seconds(sent_bytes[1]))
    passed_s = {size: device.link.seconds(sent_bytes[size]) for size in sizes}
    return ProfileEntry(
        config,
        weight_bytes=tuple(_weight_bytes(parts[1], stage, shape) for stage in stages),
        activation_bytes={size: _activation_bytes(parts[size], stages) for size in sizes},
        stage_latency_s={size: _latency_s(parts[size], stages, passed_s[size]) for size in sizes},
        output_bytes={
            size: (sent_bytes[size],) * (config.pipeline - 1) + (result_bytes(setting, size),)
            for size in sizes
        },
        part_s=part_s,
        stage_layers=layer_counts(stages),
        is_estimated=True,
        **_generation(setting, parts[1], stages) if workload.generates else {},
    )


def _as_measured(
    parts: Sequence[PartCost], alone: Sequence[PartCost], measured_s: Sequence[float]
) -> tuple[PartCost, ...]:
    """Parts that take what was measured alone, and for a batch as many times that as estimated."""
    return tuple(
        replace(part, seconds=one_s * (part.seconds / one.seconds if one.seconds else 1.0))
        for part, one, one_s in zip(parts, alone, measured_s, strict=True)
    )


def _latency_s(parts: Sequence[PartCost], stages: Sequence[range], passed_s: float) -> tuple[float, ...]:
    """Of each stage, with the transfer to the next."""
    computed_s = [sum(parts[index].seconds for index in stage) for stage in stages]
    return (*(seconds + passed_s for seconds in computed_s[:-1]), computed_s[-1])


def _activation_bytes(parts: Sequence[PartCost], stages: Sequence[range]) -> tuple[int, ...]:
    """The most that a part of a stage needs at once."""
    return tuple(max(parts[index].activation_bytes for index in stage) for stage in stages)


def _weight_bytes(parts: Sequence[PartCost], stage: range, shape: ModelShape) -> int:
    held = sum(parts[index].weight_bytes for index in stage)
    has_both_ends = stage.start == 0 and stage.stop == len(parts)
    # A tied table is there once where both ends are.
    return held - parts[-1].weight_bytes if shape.is_tied and has_both_ends else held


def _generation(setting: Setting, parts: Sequence[PartCost], stages: Sequence[range]) -> dict[str, Any]:
    layers = layers_of(stages)
    last = len(stages) - 1
    return {
        "step_times": tuple(
            step_times(setting, mine, has_head=number == last) for number, mine in enumerate(layers)
        ),
        "kv_bytes_per_token": tuple(
            sum(parts[index].kv_bytes_per_token for index in stage) for stage in stages
        ),
    }
