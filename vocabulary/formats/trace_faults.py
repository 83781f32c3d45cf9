"""Which row of a trace file is wrong, and why: the slow reading, for messages only."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` counts from 1."""

    line: int
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Row:
    """Values by the column names of the file; `problem` and `hint` when the row itself cannot be read."""

    line: int
    values: Mapping[str, object]
    problem: str = ""
    hint: str = ""


def line_of_row(raw: bytes, row_index: int, *, kind: str, header: Sequence[str]) -> int:
    """The line of a request, counted from 0 without header and blank lines. A Parquet row is its own line."""
    if kind == "parquet":
        return row_index + 1
    for index, row in enumerate(_ROWS[kind](raw, header)):
        if index == row_index:
            return row.line
    raise AssertionError(row_index)


def first_fault(raw: bytes, *, kind: str, header: Sequence[str], numbers: Sequence[str]) -> Fault | None:
    """The first row that cannot be read, or whose columns `numbers` are not numbers. None for Parquet."""
    if kind == "parquet":
        return None
    for row in _ROWS[kind](raw, header):
        if row.problem:
            return Fault(row.line, row.problem, row.hint)
        for column in numbers:
            value = row.values.get(column)
            if value not in (None, "") and not _IS_NUMBER[kind](value):
                return Fault(row.line, f"{column} is {value!r}, not a number", "write seconds as a number")
    return None


def _is_decimal(value: object) -> bool:
    """CSV: text that is a number, without Python's extras."""
    try:
        return not math.isnan(float(str(value))) and "_" not in str(value)
    except ValueError:
        return False


def _is_number(value: object) -> bool:
    """JSON: a number itself."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _csv_rows(raw: bytes, header: Sequence[str]) -> Iterator[Row]:
    # A byte that is not UTF-8 becomes \xNN, which the check below finds.
    reader = csv.reader(raw.decode("utf-8", errors="backslashreplace").split("\n"))
    next(reader, None)
    try:
        for cells in reader:
            if not cells:
                continue
            problem = hint = ""
            if len(cells) != len(header):
                problem = f"{len(cells)} columns, where the header has {len(header)}"
                hint = "every row needs the columns of the header; quote names that hold a comma"
            elif any("\\x" in cell for cell in cells):
                problem, hint = "not UTF-8 text", "save the file as UTF-8"
            yield Row(reader.line_num, dict(zip(header, cells, strict=False)), problem, hint)
    except csv.Error as error:
        yield Row(reader.line_num, {}, str(error), "is this the right file?")


def _jsonl_rows(raw: bytes, header: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problem = f"not valid JSON: {error.msg} (column {error.colno})"
            yield Row(number, {}, problem, "write one JSON object a line")
            continue
        except UnicodeDecodeError:
            yield Row(number, {}, "not UTF-8 text", "save the file as UTF-8")
            continue
        if not isinstance(row, dict):
            yield Row(number, {}, "not a JSON object", "write one JSON object a line")
        elif not isinstance(row.get("model", ""), str):
            yield Row(number, row, f"model is {row['model']!r}, not text", "put the name in quotes")
        else:
            yield Row(number, row)


_ROWS: Mapping[str, Callable[[bytes, Sequence[str]], Iterator[Row]]] = {
    "csv": _csv_rows,
    "jsonl": _jsonl_rows,
}
_IS_NUMBER: Mapping[str, Callable[[object], bool]] = {"csv": _is_decimal, "jsonl": _is_number}
