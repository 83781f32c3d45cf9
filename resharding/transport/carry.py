"""Carries out a plan on one of its hosts: sends and receives in the plan's order, tiles in and tiles out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from resharding.boxes import Box, intersect, subtract
from resharding.moves import Device, Move
from resharding.planner import TransferPlan
from resharding.pool import BufferPool
from resharding.transport.interface import Channel
from resharding.transport.messages import exchange
from resharding.transport.payloads import Payload, Tiles

_POOL = BufferPool()


@dataclass(frozen=True, slots=True)
class Held:
    """A device's tile of a tensor. target: for which of its move's targets, None for its source."""

    tensor: int
    device: Device
    target: int | None = None


def carry(
    plan: TransferPlan,
    moves: Sequence[Move],
    *,
    host: int,
    tiles: Mapping[Held, NDArray],
    channel: Channel,
    members: Mapping[int, int],
    first_tag: int = 0,
) -> None:
    """Fills the target tiles of `host`; every host of the plan calls it with the same plan.

    tiles: all of this host, sources and targets, in the shape of their boxes; targets are written, and must
    share no memory with sources of other boxes. members: the place of each host in the channel's group.
    A message's tag is the plan's key and, from `first_tag` on, its place in the plan: hosts with different
    plans notice. Raises TransferFailed: targets hold anything.
    """
    sources = _by_tensor(moves, host, tiles, is_source=True)
    wanted = _by_tensor(moves, host, tiles, is_source=False)

    @cache
    def payload(number: int) -> Payload:
        one = plan.classes[number]
        return Payload(one, sources if host in one.senders else wanted, pool=_POOL)

    exchange(
        plan,
        host=host,
        channel=channel,
        members=members,
        first_tag=first_tag,
        payload=payload,
        meanwhile=lambda: _copy_inside(sources, wanted),
    )


def _by_tensor(moves: Sequence[Move], host: int, tiles: Mapping[Held, NDArray], *, is_source: bool) -> Tiles:
    """Boxes and tiles of this host, checked against the moves."""
    found: dict[int, list[tuple[Box, NDArray]]] = defaultdict(list)
    for tensor, move in enumerate(moves):
        places = [(None, one) for one in move.sources] if is_source else list(enumerate(move.targets))
        for target, placed in places:
            for device, box in placed.boxes(move.shape).items():
                if device[0] == host:
                    tile = tiles[Held(tensor, device, target)]
                    assert tile.shape == box.shape, (tensor, device, target, tile.shape, box)
                    assert tile.itemsize == move.item_bytes, (tensor, tile.dtype, move.item_bytes)
                    # Devices that want the same part may share its memory.
                    if all(tile is not known for _, known in found[tensor]):
                        found[tensor].append((box, tile))
    return found


def _copy_inside(sources: Tiles, targets: Tiles) -> None:
    """What a target wants and this host has, from the first tile that has it."""
    for tensor, wanted in targets.items():
        for box, tile in wanted:
            missing = [box] if box.volume else []
            for holder, held in sources.get(tensor, ()):
                for part in (intersect(one, holder) for one in missing):
                    if part.volume:
                        np.copyto(tile[part.slices(origin=box.start)], held[part.slices(origin=holder.start)])
                missing = [rest for one in missing for rest in subtract(one, holder)]
