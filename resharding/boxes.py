"""Boxes: axis-aligned blocks of an array's index space, half open."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """All indices with start <= index < stop in every dimension; empty where a stop is not above a start."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.start) == len(self.stop), (self.start, self.stop)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(max(0, stop - start) for start, stop in zip(self.start, self.stop, strict=True))

    @property
    def volume(self) -> int:
        """Elements inside; 1 for the box of a scalar."""
        return math.prod(self.shape)

    def slices(self, *, origin: tuple[int, ...] | None = None) -> tuple[slice, ...]:
        """As an index of the whole array, or of the block whose first element is at `origin`."""
        origin = origin or (0,) * len(self.start)
        return tuple(
            slice(start - zero, stop - zero)
            for start, stop, zero in zip(self.start, self.stop, origin, strict=True)
        )


def box_of(slices: Iterable[slice], shape: tuple[int, ...]) -> Box:
    """The box that an index of unit-step slices selects from an array of `shape`."""
    bounds = [one.indices(size) for one, size in zip(slices, shape, strict=True)]
    assert all(step == 1 for _, _, step in bounds), bounds
    return Box(tuple(start for start, _, _ in bounds), tuple(stop for _, stop, _ in bounds))


def intersect(one: Box, other: Box) -> Box:
    """The common part; may be empty (volume 0)."""
    return Box(
        tuple(map(max, one.start, other.start)),
        tuple(map(min, one.stop, other.stop)),
    )


def subtract(box: Box, hole: Box) -> tuple[Box, ...]:
    """`box` without `hole`, as disjoint boxes: at most two for every dimension."""
    hole = intersect(box, hole)
    if hole.volume == 0:
        return (box,) if box.volume else ()
    rest = box
    pieces: list[Box] = []
    for dim in range(len(box.start)):
        pieces.append(Box(rest.start, _with(rest.stop, dim, hole.start[dim])))
        pieces.append(Box(_with(rest.start, dim, hole.stop[dim]), rest.stop))
        rest = Box(
            _with(rest.start, dim, hole.start[dim]),
            _with(rest.stop, dim, hole.stop[dim]),
        )
    return tuple(piece for piece in pieces if piece.volume)


def _with(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])
