"""A multicast of weights as moves of tensors, and one process's part in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import jax
import numpy as np
from jax.sharding import PartitionSpec

from resharding.executor import Target, carry_arrays
from resharding.moves import Move, Placed
from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.transport.host import HostTransport
from resharding.transport.interface import Channel
from vocabulary.placement import Group
from vocabulary.sharding import Sharding
from workers.families.family import TENSOR_AXIS, Parameter
from workers.multicast import Multicast, Replica
from workers.stages import StagePlan, Weights

# Only which message goes first depends on it: all processes must assume the same.
_NETWORK = Network(1.25e9)


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a replica keeps a parameter: a stage, of a process by its place in the channel."""

    replica: Replica
    stage: int
    place: int
    first_device: int
    item_bytes: int

    def placed(self, parameter: Parameter) -> Placed:
        tensor = self.replica.group.config.tensor
        devices = range(self.first_device, self.first_device + tensor)
        dims = _dims(parameter.spec(tensor), len(parameter.shape))
        return Placed(
            Sharding(((TENSOR_AXIS, tensor),), dims), tuple((self.place, device) for device in devices)
        )


# A parameter of a model.
_Key = tuple[str, Parameter]
# Of the stages of a process, by model.
ModelWeights = Mapping[str, Mapping[int, Weights]]
ModelStructs = Mapping[str, Mapping[int, Mapping[Parameter, jax.ShapeDtypeStruct]]]


@final
class WeightMoves:
    """The moves of a multicast; every process that takes part finds the same.

    stages_of: the stages of a model on a group.
    """

    def __init__(self, multicast: Multicast, stages_of: Callable[[str, Group], Sequence[StagePlan]]) -> None:
        self._num_members = len(multicast.members)
        self._sources: dict[_Key, list[_Home]] = {}
        self._targets: dict[_Key, list[_Home]] = {}
        for model in multicast.models:
            places = itertools.count()
            for replica in multicast.sources:
                for parameter, home in _homes(replica, stages_of(model, replica.group), places):
                    known = self._sources.setdefault((model, parameter), [])
                    # A table that is tied lies in two stages: one of them will do.
                    if all(one.replica is not replica for one in known):
                        known.append(home)
            for replica in multicast.targets:
                for parameter, home in _homes(replica, stages_of(model, replica.group), places):
                    self._targets.setdefault((model, parameter), []).append(home)

    def moves(self) -> tuple[Move, ...]:
        return tuple(
            Move(
                parameter.shape,
                homes[0].item_bytes,
                homes[0].placed(parameter),
                tuple(home.placed(parameter) for home in self._targets[model, parameter]),
                tuple(home.placed(parameter) for home in homes[1:]),
            )
            for (model, parameter), homes in self._sources.items()
        )

    def carry(
        self, channel: Channel, *, place: int, weights: ModelWeights, structs: ModelStructs
    ) -> ModelWeights:
        """All tensors together. weights: of a source; structs: of a target.

        Returns the weights that came. Raises TransferFailed.
        """
        moves = self.moves()
        wanted = self._at(place, self._targets)
        arrived = carry_arrays(
            plan_transfer(moves, _NETWORK),
            moves,
            host=place,
            sources={
                tensor: weights[model][home.stage][parameter]
                for (tensor, _), (model, parameter, home) in self._at(place, self._sources).items()
            },
            targets={
                target: structs[model][home.stage][parameter]
                for target, (model, parameter, home) in wanted.items()
            },
            channel=channel,
            members={number: number for number in range(self._num_members)},
        )
        found: dict[str, dict[int, dict[Parameter, jax.Array]]] = {}
        for target, array in jax.block_until_ready(dict(arrived)).items():
            model, parameter, home = wanted[target]
            found.setdefault(model, {}).setdefault(home.stage, {})[parameter] = array
        return found

    def _at(
        self, place: int, homes: Mapping[_Key, Sequence[_Home]]
    ) -> Mapping[Target, tuple[str, Parameter, _Home]]:
        """What lies, or is to lie, at a place, by its number among the moves and among its homes."""
        return {
            (tensor, number): (model, parameter, home)
            for tensor, (model, parameter) in enumerate(self._sources)
            for number, home in enumerate(homes[model, parameter])
            if home.place == place
        }


def open_channel(multicast: Multicast, transport: HostTransport) -> Channel:
    return transport.open(multicast.members, multicast.epoch)


def place_in(multicast: Multicast, transport: HostTransport) -> int:
    return multicast.members.index(transport.endpoint())


def _homes(
    replica: Replica, stages: Sequence[StagePlan], places: Iterator[int]
) -> Iterator[tuple[Parameter, _Home]]:
    tensor = replica.group.config.tensor
    for process, place in zip(replica.stages_of_processes, places, strict=False):
        for stage in process:
            item_bytes = np.dtype(stages[stage].dtype).itemsize
            home = _Home(replica, stage, place, (stage - process.start) * tensor, item_bytes)
            tables = stages[stage].tables().values()
            for parameter in dict.fromkeys(one for table in tables for one in table.values()):
                yield parameter, home


def _dims(spec: PartitionSpec, num_dims: int) -> tuple[tuple[str, ...], ...]:
    named = tuple(() if dim is None else (TENSOR_AXIS,) for dim in spec)
    return named + ((),) * (num_dims - len(named))
