"""Unit communication tasks: what one source tile and one target tile have in common, as the paper cuts it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resharding.boxes import Box, intersect
from resharding.moves import Device, Move


@dataclass(frozen=True, slots=True)
class Task:
    """Bytes that one of `senders` (hosts with the source tile) brings to all of `receivers`.

    receivers: host -> how many of its devices hold the target tile.
    """

    num_bytes: int
    senders: tuple[int, ...]
    receivers: Mapping[int, int]

    @property
    def num_devices(self) -> int:
        return sum(self.receivers.values())


def tasks_of(moves: Sequence[Move]) -> tuple[Task, ...]:
    """Tensor by tensor, target tile by target tile, source tile by source tile: program order."""
    return tuple(
        task for move in moves for target in move.targets for task in _tasks(move, target.boxes(move.shape))
    )


def _tasks(move: Move, target: Mapping[Device, Box]) -> list[Task]:
    sources = _tiles(move.source.boxes(move.shape))
    found: list[Task] = []
    for wanted, devices in _tiles(target).items():
        receivers: dict[int, int] = defaultdict(int)
        for host, _ in devices:
            receivers[host] += 1
        for held, holders in sources.items():
            volume = intersect(wanted, held).volume
            if volume:
                hosts = tuple(dict.fromkeys(host for host, _ in holders))
                found.append(Task(volume * move.item_bytes, hosts, dict(receivers)))
    return found


def _tiles(boxes: Mapping[Device, Box]) -> Mapping[Box, list[Device]]:
    tiles: dict[Box, list[Device]] = defaultdict(list)
    for device, box in boxes.items():
        if box.volume:
            tiles[box].append(device)
    return tiles
