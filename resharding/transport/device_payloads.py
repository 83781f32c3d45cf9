"""The bytes of a class in memory of one device: each piece has an array of its own there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import final

from resharding.classes import Piece, TransferClass
from resharding.transport.device_buffers import DeviceBuffer


@final
class DevicePayload:
    """See `messages.Bytes`. memory: of a piece, row-major; its bytes are in it where this host sends."""

    def __init__(self, one: TransferClass, memory: Callable[[Piece], DeviceBuffer]) -> None:
        self._buffers = [memory(piece) for piece in one.pieces]
        self._ends = list(accumulate(buffer.num_bytes for buffer in self._buffers))
        assert self._ends[-1] == one.num_bytes, (self._ends[-1], one.num_bytes)

    def read(self, start: int, stop: int) -> list[DeviceBuffer]:
        found = []
        index = bisect_right(self._ends, start)
        while start < stop:
            buffer, end = self._buffers[index], min(stop, self._ends[index])
            first = start - (self._ends[index] - buffer.num_bytes)
            found.append(
                DeviceBuffer(buffer.pointer + first, end - start, buffer.device_ordinal, buffer.keepalive)
            )
            start, index = end, index + 1
        return found

    def room(self, start: int, stop: int) -> list[DeviceBuffer]:
        return self.read(start, stop)

    def received(self, start: int, stop: int) -> None:
        """Nothing is to be done before all is there."""
