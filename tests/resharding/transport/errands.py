"""What members of a crew do. `report` sends word home in the middle."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resharding.moves import Move
from resharding.planner import TransferPlan
from resharding.reference import scatter
from resharding.transport.carry import Held, carry
from resharding.transport.endpoints import Endpoint
from tests.resharding.transport.rigs import Rig

Group = tuple[Endpoint, ...]
Report = Callable[[Any], None]


def some_bytes(num_bytes: int) -> np.ndarray:
    return np.random.default_rng(num_bytes).integers(0, 256, num_bytes, dtype=np.uint8)


def multicast(rig: Rig, report: Report, group: Group, epoch: int, num_bytes: int, chunk_bytes: int) -> int:
    """Down the group in its order; the checksum of what is here in the end."""
    channel = rig.transport.open(group, epoch)
    is_first = group[0] == rig.transport.endpoint()
    buffer = rig.place(some_bytes(num_bytes) if is_first else np.zeros(num_bytes, np.uint8))
    work = channel.multicast(buffer, chain=range(len(group)), chunk_bytes=chunk_bytes, tag=1)
    if not is_first:
        work.wait_for(min(num_bytes, chunk_bytes))
        report("first chunk")
    work.wait()
    channel.close()
    return zlib.crc32(rig.fetch(buffer))


def send_two(rig: Rig, report: Report, group: Group, epoch: int, num_bytes: int) -> None:
    """Two transfers to member 1."""
    channel = rig.transport.open(group, epoch)
    buffer = rig.place(some_bytes(num_bytes))
    works = [channel.send(buffer, to=1, tag=tag) for tag in (1, 2)]
    report("both under way")
    for work in works:
        work.wait()


def take_one(rig: Rig, report: Report, group: Group, epoch: int, num_bytes: int) -> str:
    """The first of two; the second is under way, and waits for memory."""
    channel = rig.transport.open(group, epoch)
    channel.recv(rig.place(np.zeros(num_bytes, np.uint8)), frm=0, tag=1).wait()
    return "first transfer"


def take_second(rig: Rig, report: Report, group: Group, epoch: int, num_bytes: int) -> None:
    """Memory for it at last."""
    channel = rig.transport.open(group, epoch)
    channel.recv(rig.place(np.zeros(num_bytes, np.uint8)), frm=0, tag=2).wait()


def open_files(rig: Rig, report: Report) -> int:
    return len(os.listdir("/proc/self/fd"))


def shared_names() -> set[str]:
    """Names in shared memory that could be ours."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir() if path.name.startswith(("statmux", "psm_"))}


def reshard(
    rig: Rig,
    report: Report,
    group: Group,
    epoch: int,
    moves: Sequence[Move],
    plan: TransferPlan,
) -> list[str]:
    """Member i is host i; the target tiles that differ from the oracle's."""
    host = group.index(rig.transport.endpoint())
    channel = rig.transport.open(group, epoch)
    wholes = [_whole(move, number) for number, move in enumerate(moves)]
    tiles, wanted = {}, {}
    for number, move in enumerate(moves):
        tiles |= _tiles(wholes[number], number, None, move.source.boxes(move.shape), host)
        for index, placed in enumerate(move.targets):
            wanted |= _tiles(wholes[number], number, index, placed.boxes(move.shape), host)
    tiles |= {held: np.zeros_like(tile) for held, tile in wanted.items()}
    members = {number: number for number in range(len(group))}
    carry(plan, moves, host=host, tiles=tiles, channel=channel, members=members)
    channel.close()
    return [str(held) for held, tile in wanted.items() if tiles[held].tobytes() != tile.tobytes()]


def _whole(move: Move, seed: int) -> np.ndarray:
    num_items = int(np.prod(move.shape))
    raw = np.random.default_rng(seed).integers(0, 256, num_items * move.item_bytes, dtype=np.uint8)
    return raw.view(np.dtype(f"V{move.item_bytes}")).reshape(move.shape)


def _tiles(
    whole: np.ndarray, tensor: int, target: int | None, boxes: Any, host: int
) -> dict[Held, np.ndarray]:
    mine = {device: box for device, box in boxes.items() if device[0] == host}
    return {
        Held(tensor, device, target): np.ascontiguousarray(tile)
        for device, tile in scatter(whole, mine).items()
    }
