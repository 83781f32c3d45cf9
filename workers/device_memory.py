"""How much of their devices' memory models hold: measured where a device can say it, counted elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from vocabulary.catalog import Catalog
from vocabulary.generation import GenerationLimits
from vocabulary.parallel import ParallelConfig


class DeviceMemory(msgspec.Struct, frozen=True, array_like=True):
    """Of one device of a stage. total_bytes: that we may take; 0: it does not say."""

    stage: int
    used_bytes: int
    total_bytes: int = 0


class MeasuringDevice(Protocol):
    """A device of JAX."""

    def memory_stats(self) -> Mapping[str, Any] | None: ...


def measured(device: MeasuringDevice, *, stage: int, reserved_bytes: int) -> DeviceMemory:
    """What the device's allocator says; of one that says nothing, what was reserved on it."""
    told = device.memory_stats() or {}
    if "bytes_in_use" not in told:
        return DeviceMemory(stage, reserved_bytes)
    return DeviceMemory(stage, int(told["bytes_in_use"]), int(told.get("bytes_limit", 0)))


def emulated_bytes(
    model: str, config: ParallelConfig, *, catalog: Catalog, limits: GenerationLimits | None
) -> tuple[int, ...]:
    """What a model would hold on each device of every stage: weights and pages, by its profile [pipeline]."""
    entry = catalog.entry(model, config)
    num_tokens = 0 if limits is None else limits.num_pages * limits.page_tokens
    token_bytes = entry.kv_bytes_per_token or (0,) * config.pipeline
    return tuple(
        weights + num_tokens * one for weights, one in zip(entry.weight_bytes, token_bytes, strict=True)
    )


def on_devices(stages: Iterable[Iterable[int]], *, config: ParallelConfig) -> tuple[DeviceMemory, ...]:
    """What models hold, each by stage, on every device of a group in its order."""
    held = [0] * config.pipeline
    for one in stages:
        held = [total + num_bytes for total, num_bytes in zip(held, one, strict=True)]
    return tuple(
        DeviceMemory(stage, num_bytes) for stage, num_bytes in enumerate(held) for _ in range(config.tensor)
    )
