"""What published traces hold: exact arrivals, counts per window, or conversations without times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.formats.trace_rows import Skipped
from vocabulary.trace import Tokens, Trace


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A file as it was found; `name` is for messages."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Every request has its time. The models of `trace` are empty when the format names none."""

    trace: Trace
    skipped: Skipped = Skipped()

    def __len__(self) -> int:
        return len(self.trace)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How likely which token counts are for one source, from `start_s` until its next entry.

    values: int32 [bins] ascending; weights: float64 [bins].
    """

    source_index: int
    start_s: float
    field: str
    values: NDArray[np.int32]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Only how many requests came in each window; when within it is to be drawn.

    sources: functions or clients; all arrays are [windows], without empty ones. gap_shape: of the gaps'
    Gamma distribution, or of their Weibull distribution where `is_weibull`; None when nothing is known.
    """

    sources: tuple[str, ...]
    source_index: NDArray[np.int32]
    start_s: NDArray[np.float64]
    length_s: NDArray[np.float64]
    num_requests: NDArray[np.int64]
    gap_shape: NDArray[np.float64] | None = None
    is_weibull: NDArray[np.bool_] | None = None
    lengths: tuple[Lengths, ...] = ()
    skipped: Skipped = Skipped()

    def __len__(self) -> int:
        return len(self.num_requests)

    def take(self, rows: NDArray[np.bool_]) -> Windows:
        """The windows of a mask, of the same sources."""
        return Windows(
            self.sources,
            self.source_index[rows],
            self.start_s[rows],
            self.length_s[rows],
            self.num_requests[rows],
            None if self.gap_shape is None else self.gap_shape[rows],
            None if self.is_weibull is None else self.is_weibull[rows],
            self.lengths,
            self.skipped,
        )

    def counts(self, window_s: float) -> NDArray[np.int64]:
        """Requests [sources, windows] of windows of equal length from 0, empty ones among them."""
        column = np.round(self.start_s / window_s).astype(np.int64)
        dense = np.zeros((len(self.sources), int(column.max(initial=-1)) + 1), dtype=np.int64)
        np.add.at(dense, (self.source_index, column), self.num_requests)
        return dense


@dataclass(frozen=True, slots=True)
class Conversations:
    """Requests without times: a turn follows the one before it of the same conversation.

    All arrays are [requests], turns of a conversation in order and together. Token counts are estimates.
    """

    models: tuple[str, ...]
    model_index: NDArray[np.int32]
    conversation_index: NDArray[np.int64]
    turn_index: NDArray[np.int64]
    tokens: Tokens
    skipped: Skipped = Skipped()

    def __len__(self) -> int:
        return len(self.model_index)


Imported = Arrivals | Windows | Conversations
