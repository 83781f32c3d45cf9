"""The windows of the bound: requests of one model that come within a fraction of its SLO, as one column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Bursts:
    """Requests that are told apart no further; by model, then by time.

    model: index [bursts]; first_s, last_s: the first and the last arrival [bursts]; count [bursts].
    """

    model: NDArray[np.int64]
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    count: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.model)

    @property
    def longest_s(self) -> float:
        """The widest window, from its first to its last arrival."""
        return float((self.last_s - self.first_s).max(initial=0.0))


def bursts_of(trace: Trace, widths_s: NDArray[np.float64]) -> Bursts:
    """Windows begin with a request that no earlier window of its model has and end `widths_s` [models] later.

    They are as long as from their first to their last arrival, not as `widths_s`: bursty traffic loses little
    by being cut so.
    """
    rows = [
        row for model in range(len(trace.models)) for row in _of_model(trace, model, float(widths_s[model]))
    ]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    models, counts = columns[:, 0].astype(np.int64), columns[:, 3].astype(np.int64)
    return Bursts(models, columns[:, 1], columns[:, 2], counts)


def _of_model(trace: Trace, model: int, width_s: float) -> Iterator[tuple[int, float, float, int]]:
    arrival_s = trace.arrival_s[trace.model_index == model]
    begin = 0
    while begin < len(arrival_s):
        end = int(np.searchsorted(arrival_s, float(arrival_s[begin]) + width_s, side="right"))
        yield model, float(arrival_s[begin]), float(arrival_s[end - 1]), end - begin
        begin = end
