"""The bytes of a class on one host: views of its tiles where they lie in a row there, packed where not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import final

import numpy as np
from numpy.typing import NDArray

from resharding.boxes import Box, intersect
from resharding.classes import Piece, TransferClass
from resharding.pool import BufferPool
from resharding.transport.spans import Bytes, bytes_of

# Of one tensor: tiles by what they cover of it.
Tiles = Mapping[int, Sequence[tuple[Box, NDArray]]]


@final
class Payload:
    """What this host holds (or is to hold) of a class: byte by byte as `Segment` counts them.

    tiles: where the pieces lie here; the first that has a piece in a row lends its memory, else it is packed.
    """

    def __init__(self, one: TransferClass, tiles: Tiles, *, pool: BufferPool) -> None:
        self._pieces = [_Memory(piece, tiles[piece.tensor], pool) for piece in one.pieces]
        self._ends = list(accumulate(memory.num_bytes for memory in self._pieces))
        assert self._ends[-1] == one.num_bytes, (self._ends[-1], one.num_bytes)

    def read(self, start: int, stop: int) -> list[Bytes]:
        """Bytes [start, stop) to send; what must be packed is, the first time."""
        return [memory.packed()[first:last] for memory, first, last in self._parts(start, stop)]

    def room(self, start: int, stop: int) -> list[Bytes]:
        """Where bytes [start, stop) are to be received."""
        return [memory.flat()[first:last] for memory, first, last in self._parts(start, stop)]

    def received(self, start: int, stop: int) -> None:
        """They are here: every piece that is whole now goes to all tiles that want it."""
        for memory, first, last in self._parts(start, stop):
            memory.received(last - first)

    def _parts(self, start: int, stop: int) -> list[tuple[_Memory, int, int]]:
        found = []
        index = bisect_right(self._ends, start)
        while start < stop:
            memory, end = self._pieces[index], min(stop, self._ends[index])
            begin = self._ends[index] - memory.num_bytes
            found.append((memory, start - begin, end - begin))
            start, index = end, index + 1
        return found


@final
class _Memory:
    """A piece: its bytes in a row, and every place on this host where it lies in a tile."""

    def __init__(self, piece: Piece, tiles: Sequence[tuple[Box, NDArray]], pool: BufferPool) -> None:
        self._places = [
            tile[piece.box.slices(origin=box.start)]
            for box, tile in tiles
            if intersect(box, piece.box) == piece.box
        ]
        assert self._places, f"no tile of this host has {piece}"
        self._shape = piece.box.shape
        self._pool = pool
        self._lent = next((place for place in self._places if place.flags.c_contiguous), None)
        self._flat: Bytes | None = None if self._lent is None else bytes_of(self._lent)
        self._is_packed = self._lent is not None
        self.num_bytes = piece.box.volume * self._places[0].itemsize
        self._missing = self.num_bytes

    def flat(self) -> Bytes:
        if self._flat is None:
            self._flat = self._pool.empty((self.num_bytes,), np.uint8)
        return self._flat

    def packed(self) -> Bytes:
        flat = self.flat()
        if not self._is_packed:
            np.copyto(flat.view(self._places[0].dtype).reshape(self._shape), self._places[0])
            self._is_packed = True
        return flat

    def received(self, num_bytes: int) -> None:
        self._missing -= num_bytes
        assert self._missing >= 0, self._missing
        if self._missing == 0:
            whole = self.flat().view(self._places[0].dtype).reshape(self._shape)
            for place in self._places:
                if place is not self._lent:
                    np.copyto(place, whole)
