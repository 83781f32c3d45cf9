"""Shared memory without names: anonymous files, mapped here, whose descriptors peers get through a socket.

Nothing lies in /dev/shm, and what a killed process leaves is the kernel's to free.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import weakref
from dataclasses import dataclass
from itertools import count
from typing import final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from resharding.transport.spans import Bytes
from vocabulary.errors import RuntimeFailure

HAS_SHARED_MEMORY = hasattr(os, "memfd_create")
# XLA takes a buffer as it is only from 64 on; a page keeps tiles of different processes apart.
_GRAIN_BYTES = 4096
SEGMENT_BYTES = 2**26
# What one process shares at most.
MAX_ARENA_BYTES = 2**33


@dataclass(frozen=True, slots=True)
class Place:
    """Some bytes of a segment."""

    segment: int
    offset: int
    num_bytes: int


@final
class _Segment:
    """An anonymous file of fixed size, and which stretches of it are free."""

    def __init__(self, number: int, num_bytes: int) -> None:
        self.number = number
        self.fd = os.memfd_create("statmux", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, num_bytes)
        # A peer that could shorten it would kill every reader with SIGBUS.
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.memory = map_segment(self.fd, num_bytes, is_writeable=True)
        self.address = self.memory.ctypes.data
        self._free = [(0, num_bytes)]

    def take(self, num_bytes: int) -> int | None:
        """The first place where it fits."""
        for index, (start, stop) in enumerate(self._free):
            if stop - start >= num_bytes:
                self._free[index : index + 1] = [(start + num_bytes, stop)] * (stop - start > num_bytes)
                return start
        return None

    def give_back(self, start: int, stop: int) -> None:
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self._free, (start, stop)]):
            if merged and merged[-1][1] == first:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        self._free = merged


@final
class Arena:
    """Hands out arrays that lie in shared memory; their place is used again when they are gone.

    For any thread.
    """

    def __init__(self, *, max_bytes: int = MAX_ARENA_BYTES) -> None:
        self._max_bytes = max_bytes
        # A finaliser may run in the middle of any line of this thread.
        self._lock = threading.RLock()
        self._numbers = count()
        self._segments: dict[int, _Segment] = {}
        self._is_closed = False

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """A C-contiguous array with anything in it, aligned to a page.

        Raises RuntimeFailure when all that may be shared is in use.
        """
        num_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        size = max(1, -(-num_bytes // _GRAIN_BYTES)) * _GRAIN_BYTES
        with self._lock:
            segment, start = self._take(size)
        owner = np.frombuffer(memoryview(segment.memory)[start : start + num_bytes], dtype=np.uint8)
        weakref.finalize(owner, self._give_back, segment, start, start + size).atexit = False
        return owner.view(dtype).reshape(shape)

    def find(self, view: Bytes) -> Place | None:
        """Where these bytes lie, if they lie in the arena."""
        address = view.ctypes.data
        with self._lock:
            for segment in self._segments.values():
                if 0 <= address - segment.address < segment.memory.nbytes:
                    return Place(segment.number, address - segment.address, view.nbytes)
        return None

    def segment(self, number: int) -> tuple[int, int]:
        """Its file descriptor, and how many bytes it has."""
        segment = self._segments[number]
        return segment.fd, segment.memory.nbytes

    def close(self) -> None:
        """Nothing is shared any more; arrays that are still in use stay as they are."""
        with self._lock:
            self._is_closed = True
            for segment in self._segments.values():
                os.close(segment.fd)
            self._segments.clear()

    def _take(self, size: int) -> tuple[_Segment, int]:
        assert not self._is_closed, "the arena is closed"
        for segment in self._segments.values():
            if (start := segment.take(size)) is not None:
                return segment, start
        segment = self._grow(max(size, SEGMENT_BYTES))
        start = segment.take(size)
        assert start == 0, start
        return segment, start

    def _grow(self, num_bytes: int) -> _Segment:
        shared = sum(segment.memory.nbytes for segment in self._segments.values())
        if shared + num_bytes > self._max_bytes:
            message = (
                f"{shared} bytes of shared memory are in use and {num_bytes} more pass {self._max_bytes}"
            )
            raise RuntimeFailure(message, hint="let go of arrays from the arena, or give it more max_bytes")
        segment = _Segment(next(self._numbers), num_bytes)
        self._segments[segment.number] = segment
        return segment

    def _give_back(self, segment: _Segment, start: int, stop: int) -> None:
        with self._lock:
            segment.give_back(start, stop)


def map_segment(fd: int, num_bytes: int, *, is_writeable: bool = False) -> Bytes:
    """The memory of a segment; it stays mapped as long as an array refers to it, whoever closes `fd`.

    Raises OSError.
    """
    access = mmap.PROT_READ | (mmap.PROT_WRITE if is_writeable else 0)
    return np.frombuffer(mmap.mmap(fd, num_bytes, mmap.MAP_SHARED, access), dtype=np.uint8)
