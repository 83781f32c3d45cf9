"""Which rows of a trace file are wrong, and why: the slow reading, when the fast one has failed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from vocabulary.errors import InvalidInput
from vocabulary.formats.trace_casts import cast, fits, unreadable_rows
from vocabulary.formats.trace_source import BYTE_ORDER_MARK, Source

Types = Mapping[str, pa.DataType]


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` counts from 1; of Parquet it is the row."""

    line: int
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class SlowReading:
    """The rows without fault, the line of each, and the faults of the others, by line."""

    table: pa.Table
    lines: Sequence[int]
    faults: tuple[Fault, ...]


def read_slowly(source: Source, types: Types) -> SlowReading:
    """Every row by itself. Raises InvalidInput when it is not the rows that are wrong."""
    return _SLOW_READERS[source.kind](source, types)


def line_of_row(source: Source, row_index: int) -> int:
    """The line of a request, counted from 0 without header and blank lines. A Parquet row is its own line."""
    if source.kind == "parquet":
        return row_index + 1
    for index, (number, _) in enumerate(_lines(source)):
        if index == row_index:
            return number
    raise AssertionError(row_index)


def _read_csv(source: Source, types: Types) -> SlowReading:
    lines: list[int] = []
    rows: list[list[str]] = []
    faults: list[Fault] = []
    for number, line in _lines(source):
        try:
            cells = next(csv.reader([line.decode()]), [])
        except UnicodeDecodeError:
            faults.append(Fault(number, "not UTF-8 text", "save the file as UTF-8"))
        except csv.Error as error:
            faults.append(Fault(number, str(error), "is this the right file?"))
        else:
            if len(cells) == len(source.header):
                lines.append(number)
                rows.append(cells)
            else:
                faults.append(Fault(number, *_wrong_width(len(cells), len(source.header))))
    columns = {
        name: pa.chunked_array([[row[index] for row in rows]], pa.string())
        for index, name in enumerate(source.header)
        if name in types
    }
    return _typed(source, pa.table(columns), types, lines, faults)


def _wrong_width(num_cells: int, num_columns: int) -> tuple[str, str]:
    message = f"{num_cells} columns, where the header has {num_columns}"
    return message, "every row needs the columns of the header; quote names that hold a comma"


def _read_parquet(source: Source, types: Types) -> SlowReading:
    try:
        table = pa.parquet.read_table(pa.BufferReader(source.raw), columns=list(types))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(source, str(error)) from None
    return _typed(source, table, types, range(1, len(table) + 1), [])


def _typed(
    source: Source, table: pa.Table, types: Types, lines: Sequence[int], faults: list[Fault]
) -> SlowReading:
    """The rows whose values are of the types; the others become faults."""
    for name, kind in types.items():
        try:
            wrong = unreadable_rows(table[name], kind)
        except pa.ArrowException as error:
            raise _unreadable(source, str(error)) from None
        faults += [Fault(lines[row], *_not_a(name, kind, table[name][row].as_py())) for row in wrong]
    wrong_lines = {fault.line for fault in faults}
    kept = np.array([line not in wrong_lines for line in lines], dtype=bool)
    table = table.filter(pa.array(kept))
    typed = pa.table({name: cast(table[name], kind) for name, kind in types.items()})
    return SlowReading(typed, np.asarray(lines)[kept].tolist(), _by_line(faults))


def _read_jsonl(source: Source, types: Types) -> SlowReading:
    lines: list[int] = []
    rows: list[Mapping[str, object]] = []
    faults: list[Fault] = []
    for number, line in _lines(source):
        row = _json_row(number, line)
        fault = row if isinstance(row, Fault) else _wrong_value(number, row, types)
        if fault is not None:
            faults.append(fault)
        elif not isinstance(row, Fault):
            lines.append(number)
            rows.append(row)
    columns = {
        name: pa.chunked_array([[row.get(name) for row in rows]], kind) for name, kind in types.items()
    }
    return SlowReading(pa.table(columns), lines, _by_line(faults))


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
    if not isinstance(row, dict):
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
    lines = source.raw.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip() and not (has_header and number == 1):
            yield number, line


def _by_line(faults: list[Fault]) -> tuple[Fault, ...]:
    """The first of each line, in order."""
    first: dict[int, Fault] = {}
    for fault in faults:
        first.setdefault(fault.line, fault)
    return tuple(first[line] for line in sorted(first))


def _unreadable(source: Source, cause: str) -> InvalidInput:
    message = f"cannot be read: {cause.splitlines()[0] if cause else 'unknown cause'}"
    return InvalidInput(message, where=source.name, hint="is this the right file, with the right columns?")


_SLOW_READERS: Mapping[str, Callable[[Source, Types], SlowReading]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
