"""What must cross between hosts, by who holds it and who lacks it: the few classes that planning weighs.

A tensor's index space is cut at every tile border into cells. All bytes with the same sender hosts and the
same receiver hosts are one class, over all tensors and targets; a host that holds a byte already is no
receiver of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from resharding.boxes import Box
from resharding.moves import Device, Move
from vocabulary.errors import InvalidInput

# Tensors of a model that differ are some dozens; a process that plans for months forgets the oldest.
_MAX_CUTS = 4096
# Of cells and hosts together: some hundreds of megabytes while a tensor is cut up.
_MAX_MARKS = 2**26

Hosts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of one tensor, by its index among the moves."""

    tensor: int
    box: Box


@dataclass(frozen=True, slots=True)
class TransferClass:
    """Bytes that any of `senders` can send and all of `receivers` lack (hosts, ascending, disjoint).

    Its payload is the pieces in order, each row-major. fans_out: some of it is for several devices of a host.
    """

    senders: Hosts
    receivers: Hosts
    num_bytes: int
    pieces: tuple[Piece, ...]
    fans_out: bool = False


@dataclass(frozen=True, slots=True)
class Traffic:
    """classes: what crosses between hosts; device_bytes: what each target device lacks, whoever has it."""

    classes: tuple[TransferClass, ...]
    device_bytes: Mapping[Device, int]


def traffic_of(moves: Sequence[Move]) -> Traffic:
    """Classes in order of senders and receivers. Equal tensors are cut up once."""
    pieces: dict[tuple[Hosts, Hosts], list[Piece]] = defaultdict(list)
    num_bytes: dict[tuple[Hosts, Hosts], int] = defaultdict(int)
    fans_out: set[tuple[Hosts, Hosts]] = set()
    device_bytes: dict[Device, int] = defaultdict(int)
    for index, move in enumerate(moves):
        found = _cut(move)
        fans_out |= found.fans_out
        for hosts, boxes, volume in found.boxes:
            pieces[hosts].extend([Piece(index, box) for box in boxes])
            num_bytes[hosts] += volume * move.item_bytes
        for device, volume in found.lacking:
            device_bytes[device] += volume * move.item_bytes
    classes = tuple(
        TransferClass(*hosts, num_bytes[hosts], tuple(of_class), hosts in fans_out)
        for hosts, of_class in sorted(pieces.items())
    )
    return Traffic(classes, dict(device_bytes))


def forget_cuts() -> None:
    """Of equal tensors seen before: planning starts as if it knew none."""
    _cut.cache_clear()


@dataclass(frozen=True, slots=True)
class _Cut:
    """boxes: by (senders, receivers), with how many elements they have together."""

    boxes: tuple[tuple[tuple[Hosts, Hosts], tuple[Box, ...], int], ...]
    lacking: tuple[tuple[Device, int], ...]
    fans_out: frozenset[tuple[Hosts, Hosts]]


@lru_cache(maxsize=_MAX_CUTS)
def _cut(move: Move) -> _Cut:
    source = move.held_boxes()
    wanted: dict[Device, list[Box]] = defaultdict(list)
    for target in move.targets:
        for device, box in target.boxes(move.shape).items():
            wanted[device].append(box)
    grid = _Grid(move.shape, [*source.values(), *(box for boxes in wanted.values() for box in boxes)])
    hosts = sorted({device[0] for device in (*source, *wanted)})
    _check_size(move, grid, len(hosts))
    holds = grid.num_devices([(device[0], [box]) for device, box in source.items()], hosts) > 0
    wants = grid.num_devices([(device[0], boxes) for device, boxes in wanted.items()], hosts)
    lacks = np.where(holds, 0, wants)
    boxes, fans_out = _by_hosts(grid, holds, lacks, np.array(hosts))
    return _Cut(boxes, _lacking(grid, source, wanted), fans_out)


def _check_size(move: Move, grid: _Grid, num_hosts: int) -> None:
    if math.prod(grid.counts) * num_hosts > _MAX_MARKS:
        cells = " x ".join(map(str, grid.counts))
        raise InvalidInput(
            f"the tiles of {num_hosts} hosts cut a tensor of shape {move.shape} into {cells} cells; hosts "
            f"times cells may be {_MAX_MARKS} at most",
            hint="use smaller meshes, or shard fewer dimensions",
        )


def _by_hosts(
    grid: _Grid, holds: NDArray[np.bool_], lacks: NDArray[np.int64], hosts: NDArray[np.int64]
) -> tuple[tuple[tuple[tuple[Hosts, Hosts], tuple[Box, ...], int], ...], frozenset[tuple[Hosts, Hosts]]]:
    """Boxes by (senders, receivers), and which of these have a byte for several devices of a host."""
    rows = np.flatnonzero((lacks > 0).any(axis=1) & (grid.volumes > 0))
    assert holds[rows].any(axis=1).all(), "no source holds a part of the tensor that a target wants"
    keys = np.concatenate([holds[rows], lacks[rows] > 0], axis=1)
    distinct, same = _equal_rows(keys)
    found: list[tuple[tuple[Hosts, Hosts], tuple[Box, ...], int]] = []
    fans_out: set[tuple[Hosts, Hosts]] = set()
    for key, cells in zip(distinct, (rows[one] for one in same), strict=True):
        both = (tuple(hosts[key[: len(hosts)]].tolist()), tuple(hosts[key[len(hosts) :]].tolist()))
        volume = int(grid.volumes[cells].sum())
        found.append((both, tuple(grid.box(int(cell)) for cell in cells), volume))
        if (lacks[cells] > 1).any():
            fans_out.add(both)
    return tuple(found), frozenset(fans_out)


def _equal_rows(keys: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[NDArray[np.int64]]]:
    """Every row that there is, and where it is."""
    packed = np.packbits(keys, axis=1)
    # numpy compares rows number by number, and one string of bytes at once: 0.3 s for 262,144 cells, not 15.
    as_bytes = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, of_row, counts = np.unique(as_bytes, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(of_row.reshape(-1), kind="stable")
    ends = np.cumsum(counts)
    return keys[first], [order[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _lacking(
    grid: _Grid, source: Mapping[Device, Box], wanted: Mapping[Device, Sequence[Box]]
) -> tuple[tuple[Device, int], ...]:
    lacking: list[tuple[Device, int]] = []
    for device, boxes in wanted.items():
        cells = grid.cells(boxes)
        if device in source:
            cells &= ~grid.cells([source[device]])
        lacking.append((device, int(grid.volumes[cells.reshape(-1)].sum())))
    return tuple(lacking)


class _Grid:
    """The cells between the borders of all boxes, numbered row-major."""

    def __init__(self, shape: tuple[int, ...], boxes: Iterable[Box]) -> None:
        boxes = list(boxes)
        self._borders = [
            np.unique([0, size, *(box.start[dim] for box in boxes), *(box.stop[dim] for box in boxes)])
            for dim, size in enumerate(shape)
        ]
        self.counts = tuple(len(borders) - 1 for borders in self._borders)

    @cached_property
    def volumes(self) -> NDArray[np.int64]:
        """Elements of each cell."""
        volumes = np.ones((1,), dtype=np.int64)
        for borders in self._borders:
            volumes = np.multiply.outer(volumes, np.diff(borders))
        return volumes.reshape(-1)

    def cells(self, boxes: Iterable[Box]) -> NDArray[np.bool_]:
        """Which cells lie in any of the boxes."""
        inside = np.zeros(self.counts, dtype=bool)
        for box in boxes:
            inside[self._range(box)] = True
        return inside

    def num_devices(
        self, devices: Iterable[tuple[int, Sequence[Box]]], hosts: Sequence[int]
    ) -> NDArray[np.int64]:
        """[cells, hosts]: how many devices of the host have the cell in one of the boxes given with them."""
        column = {host: number for number, host in enumerate(hosts)}
        count = np.zeros((len(hosts), *self.counts), dtype=np.int64)
        for host, boxes in devices:
            if len(boxes) == 1:
                count[(column[host], *self._range(boxes[0]))] += 1
            else:
                count[column[host]] += self.cells(boxes)
        return count.reshape(len(hosts), -1).T

    def box(self, cell: int) -> Box:
        position = np.unravel_index(cell, self.counts) if self.counts else ()
        return Box(
            tuple(int(b[i]) for b, i in zip(self._borders, position, strict=True)),
            tuple(int(b[i + 1]) for b, i in zip(self._borders, position, strict=True)),
        )

    def _range(self, box: Box) -> tuple[slice, ...]:
        return tuple(
            slice(int(np.searchsorted(borders, start)), int(np.searchsorted(borders, max(start, stop))))
            for borders, start, stop in zip(self._borders, box.start, box.stop, strict=True)
        )
