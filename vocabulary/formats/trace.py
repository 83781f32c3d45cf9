"""Trace files -> Trace. Arrivals are seconds, finite, not negative and in order; they may start anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import did_you_mean
from vocabulary.formats.trace_faults import first_fault, line_of_row
from vocabulary.formats.trace_table import (
    COLUMNS,
    REQUIRED,
    column_names,
    format_table,
    kind_of,
    read_columns,
    unpacked,
)
from vocabulary.trace import Trace


def parse_trace(
    raw: bytes,
    *,
    name: str,
    columns: Mapping[str, str] | None = None,
    models: Sequence[str] | None = None,
    only_model: str | None = None,
    in_order: bool = True,
) -> Trace:
    """The kind of file comes from the end of `name`. Raises InvalidInput with line, column, cause and hint.

    columns: our column names -> the file's; models: the only ones that may occur, and the order of the
    result's (by first arrival without it); only_model: every request is for it, no column is read;
    in_order=False sorts arrivals that are not (stable).
    """
    source = _Source(raw, name, columns or {})
    table = source.read(REQUIRED if only_model is None else REQUIRED[:1])
    arrival_s = source.arrivals(table)
    if in_order:
        source.check_order(arrival_s)
    model_index, names = (
        source.models(table, models)
        if only_model is None
        else (np.zeros(len(arrival_s), dtype=np.int32), (only_model,))
    )
    order = slice(None) if in_order else np.argsort(arrival_s, kind="stable")
    return Trace(arrival_s[order], model_index[order], names)


def parse_table(raw: bytes, *, name: str, columns: Mapping[str, str] | None = None) -> pa.Table:
    """All columns of conventions 3.9 that the file has, under our names, not checked beyond their types."""
    source = _Source(raw, name, columns or {})
    return source.read([column for column in COLUMNS if column in REQUIRED or source.has(column)])


def trace_columns(raw: bytes, *, name: str) -> tuple[str, ...]:
    """Names of the file's columns (JSONL: of its first row). Raises InvalidInput when it has none to read."""
    return column_names(unpacked(raw, name=name), kind=kind_of(name), name=name)


def trace_table(trace: Trace) -> pa.Table:
    """A trace as a table of its two columns."""
    names = pa.DictionaryArray.from_arrays(pa.array(trace.model_index), pa.array(trace.models, pa.string()))
    return pa.table({"timestamp_s": trace.arrival_s, "model": names.cast(pa.string())})


def format_trace(trace: Trace, *, name: str) -> bytes:
    """The bytes of a file called `name`; reading them gives the same arrivals to the last bit."""
    return format_table(trace_table(trace), name=name)


@final
class _Source:
    """One file: its bytes, and where its columns are."""

    def __init__(self, raw: bytes, name: str, columns: Mapping[str, str]) -> None:
        self._name = name
        self._kind = kind_of(name)
        self._raw = unpacked(raw, name=name)
        self._columns = columns
        self._header = column_names(self._raw, kind=self._kind, name=name)
        for column in columns:
            if column not in COLUMNS:
                hint = did_you_mean(column, tuple(COLUMNS))
                raise InvalidInput(f"traces have no column {column}", where="--columns", hint=hint)

    def has(self, column: str) -> bool:
        return self._source(column) in self._header

    def read(self, wanted: Sequence[str]) -> pa.Table:
        """The columns under our names."""
        for column in wanted:
            if not self.has(column):
                raise self._missing(column)
        types = {self._source(column): COLUMNS[column] for column in wanted}
        try:
            table = read_columns(self._raw, types, kind=self._kind, header=self._header)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(wanted, str(error)) from None
        if len(table) == 0:
            hint = "a trace needs at least one row"
            raise InvalidInput("the trace holds no requests", where=self._name, hint=hint)
        return table.rename_columns(list(wanted))

    def arrivals(self, table: pa.Table) -> NDArray[np.float64]:
        column = table["timestamp_s"].combine_chunks()
        label = self._source("timestamp_s")
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise self._wrong(row, f"{label} is empty", hint="every request needs its arrival in seconds")
        arrival_s = column.to_numpy(zero_copy_only=False)
        wrong = ~np.isfinite(arrival_s) | (arrival_s < 0)
        if wrong.any():
            row = int(np.argmax(wrong))
            cause = "negative" if arrival_s[row] < 0 else "not a finite number"
            hint = "arrivals are seconds from the start of the trace, 0 or more"
            raise self._wrong(row, f"{label} is {arrival_s[row]}, which is {cause}", hint=hint)
        return arrival_s

    def check_order(self, arrival_s: NDArray[np.float64]) -> None:
        backwards = np.diff(arrival_s) < 0
        if backwards.any():
            row = int(np.argmax(backwards)) + 1
            label = self._source("timestamp_s")
            message = f"{label} goes back in time, from {arrival_s[row - 1]} to {arrival_s[row]}"
            raise self._wrong(row, message, hint="sort the rows, or use `statmux trace import`, which sorts")

    def models(
        self, table: pa.Table, allowed: Sequence[str] | None
    ) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Index of each request into the names."""
        column = table["model"].combine_chunks()
        encoded = column.dictionary_encode()
        try:
            names = tuple(encoded.dictionary.to_pylist())
        except UnicodeDecodeError:
            raise self._unreadable(REQUIRED, "a model is not UTF-8 text") from None
        if column.null_count or "" in names:
            row = next(number for number, name in enumerate(column.to_pylist()) if not name)
            hint = "every request needs its model"
            raise self._wrong(row, f"{self._source('model')} is empty", hint=hint)
        index = encoded.indices.to_numpy().astype(np.int32)
        if allowed is None:
            return index, names
        position = {name: number for number, name in enumerate(allowed)}
        for number, name in enumerate(names):
            if name not in position:
                message = f"unknown model {name!r}"
                hint = f"{did_you_mean(name, tuple(allowed))} (models of the deployment)"
                raise self._wrong(int(np.argmax(index == number)), message, hint=hint)
        lookup = np.array([position[name] for name in names], dtype=np.int32)
        return lookup[index], tuple(allowed)

    def _source(self, column: str) -> str:
        return self._columns.get(column, column)

    def _missing(self, column: str) -> InvalidInput:
        source = self._source(column)
        called = f" (for {column})" if source != column else ""
        hint = f"{did_you_mean(source, self._header)}; `statmux trace import --columns {column}=NAME` renames"
        if column == "model":
            hint += ", and `--model NAME` is for traces of one model"
        where = self._name if self._kind == "parquet" else f"{self._name}:1"
        return InvalidInput(f"there is no column {source}{called}", where=where, hint=hint)

    def _unreadable(self, wanted: Sequence[str], cause: str) -> InvalidInput:
        numbers = [self._source(column) for column in wanted if pa.types.is_floating(COLUMNS[column])]
        fault = first_fault(self._raw, kind=self._kind, header=self._header, numbers=numbers)
        if fault is not None:
            return InvalidInput(fault.message, where=f"{self._name}:{fault.line}", hint=fault.hint)
        if self._kind == "csv" and self._raw.count(b"\n") <= 1:
            hint = "a trace needs at least one row"
            return InvalidInput("the trace holds no requests", where=self._name, hint=hint)
        message = f"cannot be read: {cause.splitlines()[0]}"
        return InvalidInput(
            message, where=self._name, hint=f"columns are {', '.join(REQUIRED)}, seconds and text"
        )

    def _wrong(self, row: int, message: str, *, hint: str) -> InvalidInput:
        line = line_of_row(self._raw, row, kind=self._kind, header=self._header)
        where = f"{self._name}: row {line}" if self._kind == "parquet" else f"{self._name}:{line}"
        return InvalidInput(message, where=where, hint=hint)
