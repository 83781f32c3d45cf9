"""Which values of a column are of a type: arrow's casts, asked about ever smaller parts."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from vocabulary.formats.untyped import is_dict, is_list


def cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """As CSV readers do it: blanks round numbers are trimmed, nothing is null, 44.0 is a whole number.

    Raises pa.ArrowException.
    """
    if pa.types.is_string(column.type) and not pa.types.is_string(kind):
        trimmed = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
        if pa.types.is_integer(kind):
            column = column.cast(pa.float64())
    return column.cast(kind)


def unreadable_rows(column: pa.ChunkedArray, kind: pa.DataType) -> list[int]:
    """Positions of the values that `cast` refuses. Raises pa.ArrowException for a whole type."""
    cast(column.slice(0, 0), kind)
    wrong: list[int] = []
    # Parts still to be asked about, the last first, so that positions come in order.
    parts = [(0, len(column))]
    while parts:
        start, stop = parts.pop()
        if _casts(column.slice(start, stop - start), kind):
            continue
        if stop - start == 1:
            wrong.append(start)
            continue
        middle = (start + stop) // 2
        parts += [(middle, stop), (start, middle)]
    return wrong


def fits(value: object, kind: pa.DataType) -> bool:
    """Whether a value of a JSON row is of the type; null always is."""
    if value is None:
        return True
    if pa.types.is_string(kind):
        return isinstance(value, str) and _encodes(value)
    if pa.types.is_list(kind):
        return is_list(value) and all(fits(item, kind.value_type) for item in value)
    if pa.types.is_struct(kind):
        return is_dict(value) and all(fits(value.get(field.name), field.type) for field in kind)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if pa.types.is_integer(kind):
        half = 2 ** (kind.bit_width - 1)
        return -half <= value < half and value == int(value)
    try:
        return not math.isnan(float(value))
    except OverflowError:
        return False


def _casts(column: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        cast(column, kind)
    except pa.ArrowException:
        return False
    return True


def _encodes(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
