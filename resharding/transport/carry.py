"""Carries out a plan on one of its hosts: sends and receives in the plan's order, tiles in and tiles out."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from resharding.boxes import Box, intersect, subtract
from resharding.moves import Device, Move
from resharding.planner import TransferPlan
from resharding.pool import BufferPool
from resharding.sends import Send
from resharding.transport.errors import TransferFailed
from resharding.transport.interface import Channel, Work
from resharding.transport.payloads import Payload, Tiles
from resharding.transport.plan_keys import message_tag, plan_key

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
    _Carrier(plan, moves, host, tiles, channel, members, first_tag).run()


@final
class _Carrier:
    def __init__(
        self,
        plan: TransferPlan,
        moves: Sequence[Move],
        host: int,
        tiles: Mapping[Held, NDArray],
        channel: Channel,
        members: Mapping[int, int],
        first_tag: int,
    ) -> None:
        self._plan = plan
        self._host = host
        self._channel = channel
        self._members = members
        self._first_tag = first_tag
        self._sources = _by_tensor(moves, host, tiles, is_source=True)
        self._targets = _by_tensor(moves, host, tiles, is_source=False)
        self._works: list[Work] = []
        self._payloads: dict[int, Payload] = {}
        self._arriving: dict[int, list[Work]] = defaultdict(list)

    def run(self) -> None:
        try:
            self._run()
        except TransferFailed:
            # All others have failed too, or will now: afterwards their memory is the caller's again.
            for work in self._works:
                with contextlib.suppress(TransferFailed):
                    work.wait()
            raise

    def _run(self) -> None:
        """Room for all that comes first: nobody waits for us. Then what goes, and what is here already."""
        key = plan_key(self._plan)
        mine = [
            (message_tag(key, number), one.send)
            for number, one in enumerate(self._plan.sends, start=self._first_tag)
        ]
        taken = [(self._receive(tag, send), send) for tag, send in mine if send.to_host == self._host]
        sent = [self._send(tag, send) for tag, send in mine if send.from_host == self._host]
        for tensor, targets in self._targets.items():
            _copy_inside(self._sources.get(tensor, ()), targets)
        for work, send in taken:
            work.wait()
            for segment in send.segments:
                self._payload(segment.transfer_class).received(segment.start, segment.stop)
        for work in sent:
            work.wait()

    def _receive(self, tag: int, send: Send) -> Work:
        room = [
            view
            for segment in send.segments
            for view in self._payload(segment.transfer_class).room(segment.start, segment.stop)
        ]
        work = self._channel.recv(room, frm=self._members[send.from_host], tag=tag)
        self._works.append(work)
        self._arriving[send.chunk].append(work)
        return work

    def _send(self, tag: int, send: Send) -> Work:
        views = []
        for segment in send.segments:
            payload = self._payload(segment.transfer_class)
            # What is passed on lies where it is received, and is not there yet.
            cut = payload.read if self._is_sender(segment.transfer_class) else payload.room
            views += cut(segment.start, segment.stop)
        after = self._arriving.get(send.chunk, ())
        work = self._channel.send(views, to=self._members[send.to_host], tag=tag, after=after)
        self._works.append(work)
        return work

    def _is_sender(self, number: int) -> bool:
        return self._host in self._plan.classes[number].senders

    def _payload(self, number: int) -> Payload:
        if number not in self._payloads:
            tiles = self._sources if self._is_sender(number) else self._targets
            self._payloads[number] = Payload(self._plan.classes[number], tiles, pool=_POOL)
        return self._payloads[number]


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


def _copy_inside(sources: Sequence[tuple[Box, NDArray]], targets: Sequence[tuple[Box, NDArray]]) -> None:
    """What a target wants and this host has, from the first tile that has it."""
    for box, tile in targets:
        missing = [box] if box.volume else []
        for holder, held in sources:
            for part in (intersect(one, holder) for one in missing):
                if part.volume:
                    np.copyto(tile[part.slices(origin=box.start)], held[part.slices(origin=holder.start)])
            missing = [rest for one in missing for rest in subtract(one, holder)]
