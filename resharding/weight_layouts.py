"""Weights as planning sees them: bytes of each stage on each device, as tensors that it can plan with.

Of a placed model only the bytes of each stage are known. They are taken as one line of bytes, stage after
stage, sharded over the devices of their stage: right wherever layers are cut in their order, and off by what
the devices of a stage replicate (norms, biases).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from resharding.moves import Device, Move, Placed
from vocabulary.mesh import Cluster
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry
from vocabulary.sharding import Sharding


@dataclass(frozen=True, slots=True)
class Holding:
    """A model's weights on a group: stage_bytes[s] on each device of stage s, the devices stage by stage."""

    group: str
    devices: tuple[Device, ...]
    stage_bytes: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.stage_bytes, self
        assert len(self.devices) % len(self.stage_bytes) == 0, self
        assert min(self.stage_bytes) >= 0, self

    @property
    def num_tensor(self) -> int:
        """Devices of a stage."""
        return len(self.devices) // len(self.stage_bytes)

    @property
    def num_bytes(self) -> int:
        return sum(self.stage_bytes) * self.num_tensor

    @property
    def hosts(self) -> frozenset[int]:
        return frozenset(host for host, _ in self.devices)


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """One model: the groups that hold it now, and those that are to have it."""

    model: str
    holders: tuple[Holding, ...]
    targets: tuple[Holding, ...]


def holding(group: Group, entry: ProfileEntry, devices: Mapping[str, Device]) -> Holding:
    """What a group of a placement holds of a model. devices: `numbered_devices` of the cluster."""
    assert entry.config.num_devices == len(group.devices), (entry.config, group)
    return Holding(group.id, tuple(devices[each] for each in group.devices), entry.weight_bytes)


def numbered_devices(cluster: Cluster) -> Mapping[str, Device]:
    """Device id -> (host, device on it), hosts numbered in the cluster's order."""
    hosts: dict[str, int] = {}
    return {
        device.id: (hosts.setdefault(device.host, len(hosts)), device.device_index)
        for device in cluster.devices
    }


def changed_weights(
    before: Placement,
    after: Placement,
    *,
    entry_of: Callable[[str, ParallelConfig], ProfileEntry],
    devices: Mapping[str, Device],
) -> tuple[ModelWeights, ...]:
    """Of every model with new groups: those that hold it before, and those that must get it.

    A group that has the same devices, configuration and model before as after needs nothing.
    entry_of: (model, configuration) -> its entry; devices: `numbered_devices` of the cluster.
    """

    def holdings(placement: Placement, model: str, *, other: Placement | None = None) -> tuple[Holding, ...]:
        others = other.groups if other else ()
        same = {(one.devices, one.config) for one in others if model in one.models}
        return tuple(
            holding(group, entry_of(model, group.config), devices)
            for group in placement.groups
            if model in group.models and (group.devices, group.config) not in same
        )

    found = [
        ModelWeights(model, holdings(before, model), holdings(after, model, other=before))
        for model in sorted(after.models)
    ]
    return tuple(one for one in found if one.targets)


def moves_of(weights: ModelWeights, *, also_on: tuple[Device, ...] = ()) -> tuple[Move, ...]:
    """One tensor for each stretch of bytes between two borders of stages, on any group.

    also_on: devices that hold all of it besides (a store is such a device). Groups that split a model
    otherwise may hold a few bytes more or less of it: it is taken to be as large as on its largest target.
    """
    assert weights.holders or also_on, weights.model
    holdings = (*weights.holders, *weights.targets)
    width = math.lcm(*(one.num_tensor for one in holdings))
    num_rows = -(-max(one.num_bytes for one in weights.targets) // width)
    ends = {one: _stage_ends(one, num_rows) for one in holdings}
    borders = sorted({0, num_rows, *(end for each in ends.values() for end in each)})
    return tuple(
        _move(weights, also_on, ends, start, (stop - start, width)) for start, stop in pairwise(borders)
    )


def _stage_ends(one: Holding, num_rows: int) -> list[int]:
    total = sum(one.stage_bytes) or 1
    return [num_rows * end // total for end in accumulate(one.stage_bytes)]


def _move(
    weights: ModelWeights,
    also_on: Sequence[Device],
    ends: Mapping[Holding, Sequence[int]],
    start: int,
    shape: tuple[int, int],
) -> Move:
    def placed(one: Holding) -> Placed:
        stage = next(number for number, end in enumerate(ends[one]) if start < end)
        size = one.num_tensor
        sharding = Sharding((("tensor", size),), ((), ("tensor",)))
        return Placed(sharding, one.devices[stage * size : (stage + 1) * size])

    whole = [Placed(Sharding((("one", 1),), ((), ())), (device,)) for device in also_on]
    source, *replicas = (*whole, *map(placed, weights.holders))
    return Move(shape, 1, source, tuple(map(placed, weights.targets)), tuple(replicas))
