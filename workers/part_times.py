"""Times of a model's parts, each alone on the devices of one stage: what stages are cut by."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from resharding.executor import move
from workers.model import OpenModel, ShardedModel
from workers.padding import PaddedBatch
from workers.stages import HIDDEN, Stage, StagePlan, read_weights, stage_mesh


@dataclass(frozen=True, slots=True)
class PartTimes:
    """Seconds of the embedding, every layer and the head for one request, and of passing an output on."""

    part_s: tuple[float, ...]
    transfer_s: float

    def within(self, whole_s: float) -> PartTimes:
        """As parts of a model that takes whole_s in one piece.

        Every part is started by itself, which costs: what parts take more than the whole is taken off evenly,
        but no more than the least part took.
        """
        excess_s = max(0.0, (sum(self.part_s) - whole_s) / len(self.part_s))
        start_s = min(excess_s, *self.part_s)
        return replace(self, part_s=tuple(one - start_s for one in self.part_s))


def measure_parts(
    opened: OpenModel,
    request: Mapping[str, np.ndarray],
    *,
    other_devices: Sequence[jax.Device],
    num_warm: int,
    num_rounds: int,
) -> PartTimes:
    """Medians of num_rounds runs through all parts of a model opened as one stage.

    Layers whose parameters have the same shapes run the same program: one of each kind is measured. The
    embedding is timed with padding, the head with reading the output. Outputs are passed on to
    `other_devices`, as many as the stage has; to none, that takes no time. Compiles every kind of part.
    """
    (mesh,) = opened.meshes.values()
    (whole,) = opened.plans
    kinds = _kinds(whole)
    plans = [
        replace(whole, layers=range(0), is_last=False),
        *(replace(whole, layers=range(layer, layer + 1), is_first=False, is_last=False) for layer in kinds),
        replace(whole, layers=range(0), is_first=False),
    ]
    stages = tuple(Stage(plan, read_weights(plan, opened.checkpoint, mesh=mesh), mesh) for plan in plans)
    parts = ShardedModel(stages, task=opened.task, buckets=opened.buckets)
    runs = [_timed_run(parts, request) for _ in range(num_warm + num_rounds)][num_warm:]
    embed_s, *kind_s, head_s = (statistics.median(column) for column in zip(*runs, strict=True))
    by_kind = dict(zip(kinds.values(), kind_s, strict=True))
    layer_s = [by_kind[_shapes(whole, layer)] for layer in whole.layers]
    hidden = parts.run_stage(0, parts.pad([request])).arrays[HIDDEN]
    transfer_s = _transfer_s(hidden, other_devices, num_warm + num_rounds) if other_devices else 0.0
    return PartTimes((embed_s, *layer_s, head_s), transfer_s)


def _kinds(plan: StagePlan) -> dict[int, tuple[tuple[int, ...], ...]]:
    """The first layer of every kind, with the shapes of its parameters."""
    kinds: dict[tuple[tuple[int, ...], ...], int] = {}
    for layer in plan.layers:
        kinds.setdefault(_shapes(plan, layer), layer)
    return {layer: shapes for shapes, layer in kinds.items()}


def _shapes(plan: StagePlan, layer: int) -> tuple[tuple[int, ...], ...]:
    return tuple(one.shape for one in plan.family.layer_parameters(plan.config, layer).values())


def _timed_run(parts: ShardedModel, request: Mapping[str, np.ndarray]) -> list[float]:
    marks_s = [time.perf_counter()]
    batch: PaddedBatch = parts.pad([request])
    for stage in range(parts.num_stages):
        batch = jax.block_until_ready(parts.run_stage(stage, batch))
        if stage == parts.num_stages - 1:
            parts.unpad(batch)
        marks_s.append(time.perf_counter())
    return [end - start for start, end in pairwise(marks_s)]


def _transfer_s(hidden: jax.Array, devices: Sequence[jax.Device], num_rounds: int) -> float:
    target = NamedSharding(stage_mesh(devices), PartitionSpec())
    times_s = []
    for _ in range(num_rounds):
        start_s = time.perf_counter()
        jax.block_until_ready(move(hidden, target))
        times_s.append(time.perf_counter() - start_s)
    return statistics.median(times_s)
