"""The requests of a trace one by one, as Python numbers, at the memory of one block."""

from __future__ import annotations

from typing import final

from vocabulary.trace import Trace
from vocabulary.units import NEVER_S

_BLOCK_ROWS = 65_536


@final
class Arrivals:
    """A cursor: `row` arrives at `next_s`, for model `model_index`; NEVER_S after the last.

    Columns become lists block by block: a list costs four times an array, and an array's element ten times a
    list's.
    """

    __slots__ = ("_arrival_s", "_first_row", "_model_index", "_trace", "model_index", "next_s", "row")

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._first_row = 0
        self._arrival_s: list[float] = []
        self._model_index: list[int] = []
        self.row = -1
        self.advance()

    def advance(self) -> None:
        """On to the next request."""
        self.row += 1
        offset = self.row - self._first_row
        if offset == len(self._arrival_s):
            self._load_block()
            offset = 0
        self.next_s, self.model_index = self._arrival_s[offset], self._model_index[offset]

    def _load_block(self) -> None:
        self._first_row = self.row
        rows = slice(self.row, self.row + _BLOCK_ROWS)
        self._arrival_s = self._trace.arrival_s[rows].tolist() or [NEVER_S]
        self._model_index = self._trace.model_index[rows].tolist() or [-1]
