"""The memory of a transfer: bytes of one or several arrays, in a row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def bytes_of(array: NDArray) -> Bytes:
    """The memory of a C-contiguous array, not a copy of it."""
    assert array.flags.c_contiguous, (array.shape, array.strides)
    return array.reshape(-1).view(np.uint8)


@final
class Spans:
    """Keeps the arrays alive."""

    __slots__ = ("_ends", "_views", "num_bytes")

    def __init__(self, arrays: NDArray | Sequence[NDArray]) -> None:
        arrays = [arrays] if isinstance(arrays, np.ndarray) else arrays
        self._views = [view for array in arrays if (view := bytes_of(array)).nbytes]
        self._ends = list(accumulate(view.nbytes for view in self._views))
        self.num_bytes = self._ends[-1] if self._ends else 0

    @property
    def is_writeable(self) -> bool:
        return all(view.flags.writeable for view in self._views)

    def cut(self, start: int, stop: int) -> list[Bytes]:
        """Bytes [start, stop), as views."""
        assert 0 <= start <= stop <= self.num_bytes, (start, stop, self.num_bytes)
        found = []
        index = bisect_right(self._ends, start)
        while start < stop:
            begin = self._ends[index] - self._views[index].nbytes
            end = min(stop, self._ends[index])
            found.append(self._views[index][start - begin : end - begin])
            start, index = end, index + 1
        return found
