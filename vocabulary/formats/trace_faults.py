"""Which rows of a trace file are wrong, and why: the slow reading, when the fast one has failed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.trace_casts import cast, fits, unreadable_rows
from vocabulary.formats.trace_source import BYTE_ORDER_MARK, Source, parquet_table
from vocabulary.formats.untyped import is_dict

Types = Mapping[str, pa.DataType]


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` counts from 1; of Parquet it is the row."""

    line: int
    message: str
    hint: str


# Cells that are Python objects at once: about 20 MB, and what is read beyond the first fault.
MAX_CELLS = 200_000


@dataclass(frozen=True, slots=True)
class SlowReading:
    """The rows without fault, the line of each (int64), and the faults of the others, by line."""

    table: pa.Table
    lines: NDArray[np.int64]
    faults: tuple[Fault, ...]


def read_slowly(source: Source, types: Types, *, first_only: bool = False) -> SlowReading:
    """Every row by itself. first_only: stop soon after a fault, which is all that is wanted then.

    Raises InvalidInput when it is not the rows that are wrong.
    """
    parts: list[SlowReading] = []
    for part in _PARTS[source.kind](source, types):
        parts.append(part)
        if first_only and part.faults:
            break
    empty = pa.schema(list(types.items())).empty_table()
    return SlowReading(
        pa.concat_tables([empty, *(part.table for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.lines for part in parts)]),
        tuple(fault for part in parts for fault in part.faults),
    )


def line_of_row(source: Source, row_index: int) -> int:
    """The line of a request, counted from 0 without header and blank lines. A Parquet row is its own line."""
    if source.kind == "parquet":
        return row_index + 1
    for index, (number, _) in enumerate(_lines(source)):
        if index == row_index:
            return number
    raise AssertionError(row_index)


def _csv_parts(source: Source, types: Types) -> Iterator[SlowReading]:
    for part in _in_parts(_lines(source), max(1, MAX_CELLS // len(source.header))):
        lines: list[int] = []
        rows: list[list[str]] = []
        faults: list[Fault] = []
        for number, line in part:
            cells = _cells(number, line, len(source.header))
            if isinstance(cells, Fault):
                faults.append(cells)
            else:
                lines.append(number)
                rows.append(cells)
        columns = {
            name: pa.chunked_array([[row[index] for row in rows]], pa.string())
            for index, name in enumerate(source.header)
            if name in types
        }
        yield _typed(source, pa.table(columns), types, np.array(lines, np.int64), faults)


def _cells(number: int, line: bytes, num_columns: int) -> list[str] | Fault:
    try:
        cells = next(csv.reader([line.decode()]), list[str]())
    except UnicodeDecodeError:
        return Fault(number, "not UTF-8 text", "save the file as UTF-8")
    except csv.Error as error:
        return Fault(number, str(error), "is this the right file?")
    if len(cells) == num_columns:
        return cells
    message = f"{len(cells)} columns, where the header has {num_columns}"
    return Fault(number, message, "every row needs the columns of the header; quote names that hold a comma")


def _parquet_parts(source: Source, types: Types) -> Iterator[SlowReading]:
    try:
        table = parquet_table(source.raw, columns=list(types))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(source, str(error)) from None
    yield _typed(source, table, types, np.arange(1, len(table) + 1), [])


def _typed(
    source: Source, table: pa.Table, types: Types, lines: NDArray[np.int64], faults: list[Fault]
) -> SlowReading:
    """The rows whose values are of the types; the others become faults."""
    right = np.ones(len(table), dtype=bool)
    for name, kind in types.items():
        try:
            wrong = unreadable_rows(table[name], kind)
        except pa.ArrowException as error:
            raise _unreadable(source, str(error)) from None
        faults += [Fault(int(lines[row]), *_not_a(name, kind, _value(table[name][row]))) for row in wrong]
        right[wrong] = False
    table = table.filter(pa.array(right))
    typed = pa.table({name: cast(table[name], kind) for name, kind in types.items()})
    return SlowReading(typed, lines[right], _by_line(faults))


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # text that is not UTF-8, a time beyond all calendars
        return bytes(scalar.as_buffer()) if pa.types.is_string(scalar.type) else str(scalar.type)


def _jsonl_parts(source: Source, types: Types) -> Iterator[SlowReading]:
    for part in _in_parts(_lines(source), max(1, MAX_CELLS // len(source.header))):
        lines: list[int] = []
        rows: list[Mapping[str, object]] = []
        faults: list[Fault] = []
        for number, line in part:
            row = _json_row(number, line)
            fault = row if isinstance(row, Fault) else _wrong_value(number, row, types)
            if fault is not None:
                faults.append(fault)
            elif not isinstance(row, Fault):
                lines.append(number)
                rows.append(row)
        columns = {
            name: pa.chunked_array([[_plain(row.get(name), kind) for row in rows]], kind)
            for name, kind in types.items()
        }
        yield SlowReading(pa.table(columns), np.array(lines, np.int64), _by_line(faults))


def _plain(value: object, kind: pa.DataType) -> object:
    """Whole numbers of a column of floats may be longer than arrow takes."""
    return float(value) if pa.types.is_floating(kind) and isinstance(value, int) else value


def _json_row(number: int, line: bytes) -> Mapping[str, object] | Fault:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        problem = f"not valid JSON: {error.msg} (column {error.colno})"
        return Fault(number, problem, "write one JSON object a line")
    except UnicodeDecodeError:
        return Fault(number, "not UTF-8 text", "save the file as UTF-8")
    except (ValueError, RecursionError):
        return Fault(number, "not valid JSON: too deep or too long", "write one JSON object a line")
    if not is_dict(row):
        return Fault(number, "not a JSON object", "write one JSON object a line")
    return row


def _wrong_value(number: int, row: Mapping[str, object], types: Types) -> Fault | None:
    for name, kind in types.items():
        if not fits(row.get(name), kind):
            return Fault(number, *_not_a(name, kind, row[name]))
    return None


def _not_a(name: str, kind: pa.DataType, value: object) -> tuple[str, str]:
    """The message and the remedy."""
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if pa.types.is_string(kind):
        return f"{name} is {shown}, not text", "put the name in quotes"
    if pa.types.is_integer(kind):
        return f"{name} is {shown}, not a whole number", "write a whole number, 0 or more"
    if pa.types.is_timestamp(kind):
        zone = "+00:00" if kind.tz else ""
        return f"{name} is {shown}, not a date and time", f"write it like 2023-11-16 18:15:46.68{zone}"
    if pa.types.is_floating(kind):
        return f"{name} is {shown}, not a number", "write a plain number, such as 0.5"
    return f"{name} is {shown}, not what it should hold", f"it should be {kind}"


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    """The lines of rows, without header and blank ones, with their numbers from 1."""
    has_header = source.kind == "csv" and source.has_header
    raw, start, number = source.raw, 0, 0
    if raw.startswith(BYTE_ORDER_MARK):
        start = len(BYTE_ORDER_MARK)
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        number += 1
        line = raw[start:end]
        start = end + 1
        if line.strip() and not (has_header and number == 1):
            yield number, line


def _in_parts(lines: Iterator[tuple[int, bytes]], size: int) -> Iterator[list[tuple[int, bytes]]]:
    while part := list(islice(lines, size)):
        yield part


def _by_line(faults: list[Fault]) -> tuple[Fault, ...]:
    """The first of each line, in order."""
    first: dict[int, Fault] = {}
    for fault in faults:
        first.setdefault(fault.line, fault)
    return tuple(first[line] for line in sorted(first))


def _unreadable(source: Source, cause: str) -> InvalidInput:
    message = f"cannot be read: {cause.splitlines()[0] if cause else 'unknown cause'}"
    return InvalidInput(message, where=source.name, hint="is this the right file, with the right columns?")


_PARTS: Mapping[str, Callable[[Source, Types], Iterator[SlowReading]]] = {
    "csv": _csv_parts,
    "jsonl": _jsonl_parts,
    "parquet": _parquet_parts,
}
