"""What members of a crew do with arrays of JAX, each with devices of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import carry_arrays, placed_on
from resharding.moves import Move, Placed
from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.transport.endpoints import Endpoint
from tests.resharding.transport.rigs import Rig


@dataclass(frozen=True, slots=True)
class Layout:
    """Devices of a member, by id, as a mesh, and the axes of each dimension."""

    member: int
    first_device: int
    mesh: tuple[tuple[str, int], ...]
    dims: tuple[str | None, ...]

    def sharding(self) -> NamedSharding:
        sizes = [size for _, size in self.mesh]
        devices = jax.devices("cpu")[self.first_device : self.first_device + int(np.prod(sizes))]
        mesh = Mesh(np.array(devices).reshape(sizes), [name for name, _ in self.mesh])
        return NamedSharding(mesh, PartitionSpec(*self.dims))

    def placed(self) -> Placed:
        # Devices go by their ids in every process, so anyone can say where anyone's lie.
        return placed_on(self.sharding(), num_dims=len(self.dims), host=self.member)


@dataclass(frozen=True, slots=True)
class Journey:
    """One array: how it lies, and where it is to lie."""

    shape: tuple[int, ...]
    dtype: str
    source: Layout
    targets: tuple[Layout, ...]

    def move(self) -> Move:
        item_bytes = np.dtype(self.dtype).itemsize
        return Move(self.shape, item_bytes, self.source.placed(), tuple(one.placed() for one in self.targets))


def whole(journey: Journey, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(-100, 100, journey.shape)
    return values.astype(journey.dtype)


def travel(
    rig: Rig,
    report: Any,
    group: tuple[Endpoint, ...],
    epoch: int,
    journeys: Sequence[Journey],
) -> list[str]:
    """Member i is host i of the plan; what differs here from what was to come, in words."""
    here = group.index(rig.transport.endpoint())
    moves = [journey.move() for journey in journeys]
    sources = {
        tensor: jax.device_put(whole(journey, tensor), journey.source.sharding())
        for tensor, journey in enumerate(journeys)
        if journey.source.member == here
    }
    targets = {
        (tensor, number): jax.ShapeDtypeStruct(journey.shape, journey.dtype, sharding=layout.sharding())
        for tensor, journey in enumerate(journeys)
        for number, layout in enumerate(journey.targets)
        if layout.member == here
    }
    channel = rig.transport.open(group, epoch)
    arrived = carry_arrays(
        plan_transfer(moves, Network(1.25e9)),
        moves,
        host=here,
        sources=sources,
        targets=targets,
        channel=channel,
        members={number: number for number in range(len(group))},
    )
    channel.close()
    return [words for target, array in arrived.items() for words in faults(array, target, targets, journeys)]


def faults(
    array: jax.Array, target: tuple[int, int], targets: Mapping[Any, Any], journeys: Sequence[Journey]
) -> list[str]:
    expected = whole(journeys[target[0]], target[0])
    wrong = [] if array.sharding == targets[target].sharding else [f"{target} on {array.sharding}"]
    return wrong + [
        f"{target} on {shard.device}"
        for shard in array.addressable_shards
        if np.asarray(shard.data).tobytes() != np.ascontiguousarray(expected[shard.index]).tobytes()
    ]
