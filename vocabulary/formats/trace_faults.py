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
    """Values by the column names of the file; `problem` when the row itself cannot be read."""

    line: int
    values: Mapping[str, object]
    problem: str = ""


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
            return Fault(row.line, row.problem, "every row needs the same columns, as text")
        for column in numbers:
            value = row.values.get(column)
            if value not in (None, "") and not _is_number(value):
                return Fault(row.line, f"{column} is {value!r}, not a number", "write seconds as a number")
    return None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return not math.isnan(float(value)) and "_" not in str(value)
    except ValueError:
        return False


def _csv_rows(raw: bytes, header: Sequence[str]) -> Iterator[Row]:
    # A byte that is not UTF-8 becomes \xNN, which the check below finds.
    reader = csv.reader(raw.decode("utf-8", errors="backslashreplace").split("\n"))
    next(reader, None)
    try:
        for cells in reader:
            if not cells:
                continue
            problem = ""
            if len(cells) != len(header):
                problem = f"{len(cells)} columns, where the header has {len(header)}"
            elif any("\\x" in cell for cell in cells):
                problem = "not UTF-8 text"
            yield Row(reader.line_num, dict(zip(header, cells, strict=False)), problem)
    except csv.Error as error:
        yield Row(reader.line_num, {}, str(error))


def _jsonl_rows(raw: bytes, header: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield Row(number, {}, f"not valid JSON: {error}")
            continue
        if not isinstance(row, dict):
            yield Row(number, {}, "not a JSON object")
            continue
        model = row.get("model")
        is_text = model is None or isinstance(model, str)
        yield Row(number, row, "" if is_text else f"model is {model!r}, not text")


_ROWS: Mapping[str, Callable[[bytes, Sequence[str]], Iterator[Row]]] = {
    "csv": _csv_rows,
    "jsonl": _jsonl_rows,
}
