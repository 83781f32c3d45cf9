"""A trace: who asked for which model when. Columns are numpy, never request objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in arrival order: seconds from 0, and an index into `models` for each.

    arrival_s: float64 [requests], non-decreasing; model_index: int32 [requests].
    """

    arrival_s: NDArray[np.float64]
    model_index: NDArray[np.int32]
    models: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.arrival_s.shape == self.model_index.shape, (self.arrival_s.shape, self.model_index.shape)
        assert np.all(np.diff(self.arrival_s) >= 0), "arrivals must not go back in time"

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """From the first to the last arrival."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    def counts(self) -> NDArray[np.int64]:
        """Requests of each model [models]."""
        return np.bincount(self.model_index, minlength=len(self.models))

    def aligned_to(self, models: tuple[str, ...]) -> Trace:
        """The same requests indexed by `models`; a model of the trace that is not there raises KeyError."""
        position = {name: index for index, name in enumerate(models)}
        lookup = np.array([position[name] for name in self.models], dtype=np.int32)
        return Trace(self.arrival_s, lookup[self.model_index] if len(lookup) else self.model_index, models)
