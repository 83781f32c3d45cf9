"""The rows of one trace file as checked numpy columns; a wrong row is refused with its line, or skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import did_you_mean
from vocabulary.formats.trace_faults import Fault, line_of_row, read_slowly
from vocabulary.formats.trace_source import Source
from vocabulary.formats.trace_table import read_columns

EMPTY_HINT = "a trace needs at least one row"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Rows that were wrong and left out; `first` says where and why the first one was."""

    num_rows: int = 0
    first: str = ""

    def plus(self, other: Skipped) -> Skipped:
        """Of two files."""
        return Skipped(self.num_rows + other.num_rows, self.first or other.first)


@dataclass(frozen=True, slots=True)
class Labels:
    """index: int32 [requests] into `names`, in the order of the file, or given beforehand (`is_fixed`)."""

    index: NDArray[np.int32]
    names: tuple[str, ...]
    is_fixed: bool = False

    def used_by(self, rows: NDArray[np.int64]) -> Labels:
        """Without the names that none of the rows has, unless the names are fixed; for all rows still."""
        if self.is_fixed:
            return self
        used, index = np.unique(self.index[rows], return_inverse=True)
        moved = self.index.copy()
        moved[rows] = index
        return Labels(moved, tuple(self.names[int(number)] for number in used))


@final
class Rows:
    """Columns are read once, then asked for; each check may refuse rows, and `kept` is what is left.

    Every check raises InvalidInput with line, cause and remedy, or drops the row if `skips_bad`.
    """

    def __init__(self, source: Source, types: Mapping[str, pa.DataType], *, skips_bad: bool = False) -> None:
        self._source = source
        self._skips_bad = skips_bad
        self._lines: NDArray[np.int64] | None = None
        self._unread: tuple[Fault, ...] = ()
        self._table = self._read(types)
        self._wrong = np.zeros(len(self._table), dtype=bool)
        # The first row of each check that refused any, and why.
        self._firsts: list[tuple[int, str]] = []
        if len(self._table) + len(self._unread) == 0:
            raise InvalidInput("the trace holds no requests", where=source.name, hint=EMPTY_HINT)

    def __len__(self) -> int:
        """Rows that could be read, wrong ones among them."""
        return len(self._table)

    @property
    def table(self) -> pa.Table:
        """As read, wrong rows among them."""
        return self._table

    @property
    def skipped(self) -> Skipped:
        firsts = [(one.line, one.message) for one in self._unread[:1]]
        firsts += [(self._line(row), message) for row, message in self._firsts]
        first = f"{self._source.where(min(firsts)[0])}: {min(firsts)[1]}" if firsts else ""
        return Skipped(len(self._unread) + int(self._wrong.sum()), first)

    def seconds(self, column: str, *, per_s: float = 1.0) -> NDArray[np.float64]:
        """Finite times of 0 or more, in seconds. per_s: 1000 when the file counts milliseconds."""
        values = self.numbers(column)
        hint = "arrivals are seconds from the start of the trace, 0 or more"
        self.refuse(values < 0, lambda row: f"{column} is {values[row]}, which is negative", hint=hint)
        return values / per_s if per_s != 1.0 else values

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Finite numbers."""
        # By DLPack and not by to_numpy, which imports pandas where there is one: a quarter of a second.
        full = self.full(column, hint="every request needs its arrival in seconds")
        values = np.from_dlpack(full).astype(np.float64, copy=False)
        hint = "arrivals are seconds from the start of the trace, 0 or more"
        self.refuse(
            ~np.isfinite(values),
            lambda row: f"{column} is {values[row]}, which is not a finite number",
            hint=hint,
        )
        return values

    def counts(self, column: str, *, empty: int | None = None) -> NDArray[np.int32]:
        """Whole numbers of 0 or more; `empty` stands for an empty cell, which is refused without it."""
        if empty is None:
            cells = self.full(column, hint="write a whole number, 0 or more")
        else:
            cells = self._column(column).fill_null(empty)
        values = cells.to_numpy(zero_copy_only=False)
        hint = "write a whole number, 0 or more"
        self.refuse(values < 0, lambda row: f"{column} is {values[row]}, which is negative", hint=hint)
        return values

    def labels(self, column: str, *, allowed: Sequence[str] | None = None) -> Labels:
        """Names that are not empty; with `allowed` only those, and in that order."""
        hint = "every request needs its model"
        found = self._encoded(self.full(column, hint=hint))
        if "" in found.names:
            wrong = np.array([one == "" for one in found.names])[found.index]
            self.refuse(wrong, lambda row: f"{column} is empty", hint=hint)
        return found if allowed is None else self._among(found, tuple(allowed))

    def texts(self, column: str) -> Labels:
        """As `labels`; an empty cell is an empty text."""
        return self._encoded(self._column(column).fill_null(""))

    def full(self, column: str, *, hint: str) -> pa.Array:
        """Without empty cells: those are refused, and something stands in for them."""
        cells = self._column(column)
        if not cells.null_count:
            return cells
        empty = cells.is_null().to_numpy(zero_copy_only=False)
        self.refuse(empty, lambda row: f"{column} is empty", hint=hint)
        zero = pa.scalar("" if pa.types.is_string(cells.type) else 0).cast(cells.type)
        return cells.fill_null(zero)

    def refuse(self, wrong: NDArray[np.bool_], message: Callable[[int], str], *, hint: str) -> None:
        """Rows that are `wrong` and were right so far; `message` says what the row's value is."""
        wrong = wrong & ~self._wrong
        if not wrong.any():
            return
        row = int(np.argmax(wrong))
        if not self._skips_bad:
            raise self.error(row, message(row), hint=hint)
        self._wrong |= wrong
        self._firsts.append((row, message(row)))

    def error(self, row: int, message: str, *, hint: str) -> InvalidInput:
        """To be raised."""
        return InvalidInput(message, where=self._source.where(self._line(row)), hint=hint)

    def mask(self) -> NDArray[np.bool_]:
        """`kept` as a mask."""
        self.kept()
        return ~self._wrong

    def kept(self) -> NDArray[np.bool_] | slice:
        """Which rows are right. Raises InvalidInput when none is."""
        if not self._wrong.any() and len(self._table):
            return slice(None)
        if self._wrong.all():
            message = f"the trace holds no requests: all {self.skipped.num_rows} rows are wrong"
            raise InvalidInput(message, where=self._source.name, hint=self.skipped.first)
        return ~self._wrong

    def _read(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            return read_columns(self._source, types)
        except (pa.ArrowException, OSError, ValueError):
            slow = read_slowly(self._source, types, first_only=not self._skips_bad)
        if slow.faults and not self._skips_bad:
            fault = slow.faults[0]
            raise InvalidInput(fault.message, where=self._source.where(fault.line), hint=fault.hint)
        self._lines, self._unread = slow.lines, slow.faults
        return slow.table

    def _column(self, name: str) -> pa.Array:
        combined = self._table[name].combine_chunks()
        return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined

    def _encoded(self, cells: pa.Array) -> Labels:
        encoded = cells.dictionary_encode()
        index = np.from_dlpack(encoded.indices).astype(np.int32)
        names = tuple(_text(name) for name in encoded.dictionary)
        if None in names:
            wrong = np.array([one is None for one in names])[index]
            self.refuse(wrong, lambda row: "not UTF-8 text", hint="save the file as UTF-8")
        return Labels(index, tuple(name or "" for name in names))

    def _among(self, labels: Labels, allowed: tuple[str, ...]) -> Labels:
        position = {name: number for number, name in enumerate(allowed)}
        unknown = np.array([name not in position for name in labels.names], dtype=bool)
        for number in np.flatnonzero(unknown):
            name = labels.names[number] or ""
            hint = f"{did_you_mean(name, allowed)} (models of the deployment)"
            self.refuse(labels.index == number, lambda row, name=name: f"unknown model {name!r}", hint=hint)
        lookup = np.array([position.get(name, 0) for name in labels.names], dtype=np.int32)
        return Labels(lookup[labels.index], allowed, is_fixed=True)

    def _line(self, row: int) -> int:
        return line_of_row(self._source, row) if self._lines is None else int(self._lines[row])


def _text(scalar: pa.StringScalar) -> str | None:
    """None when it is not UTF-8, which readers of JSON and Parquet let pass."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return None
