"""Memory of a GPU, as a transfer needs it: an address and a length, whoever owns it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import final

from resharding.transport.nccl_library import Stretch
from vocabulary.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class DeviceBuffer:
    """Contiguous bytes on a device. keepalive: what owns them, a jax.Array say; held while a transfer runs.

    They must be computed already (`block_until_ready`): a transfer waits for no stream but its own.
    """

    pointer: int
    num_bytes: int
    device_ordinal: int
    keepalive: object = None


@final
class DeviceSpans:
    """Buffers of one device whose bytes follow each other. Raises InvalidInput for others."""

    def __init__(self, buffers: DeviceBuffer | Sequence[DeviceBuffer], *, device_ordinal: int) -> None:
        buffers = list(buffers) if isinstance(buffers, Sequence) else [buffers]
        for buffer in buffers:
            _check(buffer, device_ordinal)
        self._buffers = [buffer for buffer in buffers if buffer.num_bytes]
        self._ends = list(accumulate(buffer.num_bytes for buffer in self._buffers))
        self.num_bytes = self._ends[-1] if self._ends else 0

    def cut(self, start: int, stop: int) -> list[Stretch]:
        """Where bytes [start, stop) lie."""
        assert 0 <= start <= stop <= self.num_bytes, (start, stop, self.num_bytes)
        found = []
        index = bisect_right(self._ends, start)
        while start < stop:
            begin = self._ends[index] - self._buffers[index].num_bytes
            end = min(stop, self._ends[index])
            found.append(Stretch(self._buffers[index].pointer + start - begin, end - start))
            start, index = end, index + 1
        return found


def _check(buffer: object, device_ordinal: int) -> None:
    hint = "give DeviceBuffers of the device that the transport was made for, one transport a device"
    if not isinstance(buffer, DeviceBuffer):
        what = type(buffer).__name__
        raise InvalidInput(f"NCCL moves memory of device {device_ordinal}, this is a {what}", hint=hint)
    if buffer.device_ordinal != device_ordinal:
        where = buffer.device_ordinal
        raise InvalidInput(f"this memory is of device {where}, the transport of {device_ordinal}", hint=hint)
