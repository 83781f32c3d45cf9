"""Aligned memory that is used again: fresh pages cost more than the copy into them."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, final

import numpy as np
from numpy.typing import DTypeLike, NDArray

# XLA takes a buffer as it is only from this alignment on; else it copies.
ALIGNMENT_BYTES = 64
PAGE_BYTES = 4096
# What may lie unused; more goes back to the system.
MAX_FREE_BYTES = 2**30


@final
class BufferPool:
    """Hands out arrays of uninitialised memory; a block comes back when nobody refers to its array any more.

    An array that was handed to JAX is JAX's for as long as an array of JAX lives on it (its `may_alias` flag
    does not prevent that), so nobody writes to it again before. For any thread.
    """

    def __init__(self, *, max_free_bytes: int = MAX_FREE_BYTES) -> None:
        self._max_free_bytes = max_free_bytes
        # A finaliser may run in the middle of any line of this thread.
        self._lock = threading.RLock()
        self._free: dict[int, list[NDArray[np.uint8]]] = defaultdict(list)
        self._free_bytes = 0
        self._num_made = 0

    @property
    def num_made(self) -> int:
        """Blocks that came from the system so far: it stands still where all memory is used again."""
        return self._num_made

    @property
    def free_bytes(self) -> int:
        """What lies ready to be used again."""
        return self._free_bytes

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A C-contiguous, aligned array with anything in it."""
        num_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        block = self._block(_whole_pages(num_bytes))
        # The finaliser hangs on an array of its own: every view that numpy makes of it refers to it.
        owner = np.frombuffer(block.data[:num_bytes], dtype=np.uint8)
        weakref.finalize(owner, self._give_back, block)
        return owner.view(dtype).reshape(shape)

    def reserve(self, shapes: Iterable[tuple[int, ...]], dtype: DTypeLike) -> None:
        """From now on arrays of all these shapes are here at once, their pages in place."""
        made = [self.empty(shape, dtype) for shape in shapes]
        for one in made:
            one.reshape(-1).view(np.uint8).fill(0)

    def _block(self, num_bytes: int) -> NDArray[np.uint8]:
        with self._lock:
            if self._free[num_bytes]:
                self._free_bytes -= num_bytes
                return self._free[num_bytes].pop()
            self._num_made += 1
        raw = np.empty(num_bytes + ALIGNMENT_BYTES, dtype=np.uint8)
        offset = -raw.ctypes.data % ALIGNMENT_BYTES
        return raw[offset : offset + num_bytes]

    def _give_back(self, block: NDArray[np.uint8]) -> None:
        with self._lock:
            if self._free_bytes + block.nbytes <= self._max_free_bytes:
                self._free_bytes += block.nbytes
                self._free[block.nbytes].append(block)


def _whole_pages(num_bytes: int) -> int:
    return max(PAGE_BYTES, -(-num_bytes // PAGE_BYTES) * PAGE_BYTES)
