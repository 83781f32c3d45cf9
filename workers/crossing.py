"""Activations from the last stage of one process of a group to the next process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, final

import jax
import numpy as np

from resharding.executor import carry_arrays, placed_on
from resharding.moves import Move, Placed
from resharding.network import Network
from resharding.planner import TransferPlan, plan_transfer
from resharding.pool import BufferPool
from resharding.transport.carry import Held, carry
from resharding.transport.interface import Channel
from vocabulary.sharding import Sharding
from workers.notes import ArrayNote, PartNote
from workers.padding import Bucket, PaddedBatch

_POOL = BufferPool()
# Which message comes first hardly depends on it: it goes from one process to one other.
_NETWORK = Network(1.25e9)


@final
class Crossing:
    """One way, in order. Places are of processes in the channel's group; plans are made once per shape.

    target_devices: ids of the devices there that all get all of it; one for results.
    """

    def __init__(self, channel: Channel, *, source: int, target: int, target_devices: Sequence[int]) -> None:
        self._channel = channel
        self._source = source
        self._target = target
        self._target_devices = tuple(target_devices)

    def announced(self, parts: Sequence[PaddedBatch]) -> tuple[PartNote, ...]:
        """What the other side must know to take these."""
        return tuple(
            PartNote(
                part.bucket.batch_size,
                part.bucket.sequence_length,
                tuple(_array_note(name, array) for name, array in part.arrays.items()),
            )
            for part in parts
        )

    def send(self, parts: Sequence[PaddedBatch], notes: Sequence[PartNote]) -> None:
        """Blocks until they have arrived. Raises TransferFailed."""
        for part, note in zip(parts, notes, strict=True):
            plan, moves = self._planned(note.arrays)
            carry_arrays(
                plan,
                moves,
                host=self._source,
                sources=dict(enumerate(part.arrays.values())),
                targets={},
                channel=self._channel,
                members=self._members,
            )

    def take(self, note: PartNote, structs: Mapping[str, jax.ShapeDtypeStruct]) -> Mapping[str, jax.Array]:
        """On devices, as `structs` says. Raises TransferFailed."""
        plan, moves = self._planned(note.arrays)
        found = carry_arrays(
            plan,
            moves,
            host=self._target,
            sources={},
            targets={(number, 0): structs[one.name] for number, one in enumerate(note.arrays)},
            channel=self._channel,
            members=self._members,
        )
        return {one.name: found[number, 0] for number, one in enumerate(note.arrays)}

    def take_results(self, note: PartNote) -> Mapping[str, np.ndarray]:
        """In the memory of the host. Raises TransferFailed."""
        plan, moves = self._planned(note.arrays)
        (device,) = self._target_devices
        tiles = {
            Held(number, (self._target, device), 0): _POOL.empty(one.shape, one.dtype)
            for number, one in enumerate(note.arrays)
        }
        carry(
            plan,
            moves,
            host=self._target,
            tiles=tiles,
            channel=self._channel,
            members=self._members,
        )
        return {one.name: tile for one, tile in zip(note.arrays, tiles.values(), strict=True)}

    @property
    def _members(self) -> Mapping[int, int]:
        return {place: place for place in (self._source, self._target)}

    def _planned(self, arrays: tuple[ArrayNote, ...]) -> tuple[TransferPlan, tuple[Move, ...]]:
        return _plan(arrays, self._source, self._target, self._target_devices)


@lru_cache(maxsize=1024)
def _plan(
    arrays: tuple[ArrayNote, ...], source: int, target: int, target_devices: tuple[int, ...]
) -> tuple[TransferPlan, tuple[Move, ...]]:
    moves = tuple(
        Move(
            one.shape,
            np.dtype(one.dtype).itemsize,
            Placed(Sharding(one.axes, one.dims), tuple((source, device) for device in one.devices)),
            (_on_all(target, target_devices, num_dims=len(one.shape)),),
        )
        for one in arrays
    )
    return plan_transfer(moves, _NETWORK), moves


def _on_all(place: int, devices: tuple[int, ...], *, num_dims: int) -> Placed:
    sharding = Sharding((("replica", len(devices)),), ((),) * num_dims)
    return Placed(sharding, tuple((place, device) for device in devices))


def _array_note(name: str, array: Any) -> ArrayNote:
    placed = placed_on(array.sharding, num_dims=array.ndim, host=0)
    devices = tuple(device for _, device in placed.devices)
    return ArrayNote(name, array.dtype.name, array.shape, placed.sharding.axes, placed.sharding.dims, devices)


def blank_batch(note: PartNote, arrays: Mapping[str, Any]) -> PaddedBatch:
    """What came, without the rows of its requests: only the leader knows these."""
    return PaddedBatch(Bucket(note.batch_size, note.sequence_length), (), arrays)
