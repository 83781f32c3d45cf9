"""One trace file before its rows are read: its bytes unpacked, its kind, its columns."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from vocabulary.errors import InvalidInput
from vocabulary.formats.untyped import is_dict

SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".parquet": "parquet"}
MAX_UNPACKED_BYTES = 4 * 2**30
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Source:
    """`raw` is unpacked, `kind` is csv, jsonl or parquet, `header` are the columns.

    JSONL: the keys of its first row. has_header: the first line of a CSV is the header (not in every format).
    """

    name: str
    raw: bytes
    kind: str
    header: tuple[str, ...]
    has_header: bool = True

    def has(self, column: str) -> bool:
        """Whether rows may have it: in JSONL a later row can have what the first has not."""
        if column in self.header:
            return True
        return self.kind == "jsonl" and json.dumps(column).encode() in self.raw

    def where(self, line: int) -> str:
        """The place of a row in messages."""
        return f"{self.name}: row {line}" if self.kind == "parquet" else f"{self.name}:{line}"


def source_of(
    raw: bytes, *, name: str, kind: str | None = None, header: tuple[str, ...] | None = None
) -> Source:
    """The kind comes from the end of `name` without `kind`. `header`: of a CSV that has none of its own.

    Raises InvalidInput when it is no file of that kind.
    """
    kind = kind_of(name) if kind is None else kind
    content = unpacked(raw, name=name)
    if header is not None:
        return Source(name, content, kind, header, has_header=False)
    return Source(name, content, kind, _COLUMN_NAMES[kind](content, name))


def kind_of(name: str) -> str:
    """`csv`, `jsonl` or `parquet`, by the end of the file name. Raises InvalidInput for another one."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return SUFFIXES[suffix]
    hint = f"name it like one of {', '.join('*' + suffix for suffix in SUFFIXES)}"
    raise InvalidInput("unknown kind of trace", where=name, hint=hint)


def unpacked(raw: bytes, *, name: str) -> bytes:
    """`raw`, or what it holds if it is gzip. Raises InvalidInput when it is broken or beyond bounds."""
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        content = _gunzipped(raw)
    except (zlib.error, EOFError) as error:
        raise InvalidInput(f"broken gzip: {error}", where=name, hint="write the file again") from None
    if len(content) > MAX_UNPACKED_BYTES:
        hint = "split the trace, or convert it to Parquet"
        raise InvalidInput(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes", where=name, hint=hint)
    return content


def _gunzipped(raw: bytes) -> bytes:
    """At most one byte more than the limit. Files that were joined after packing have several members."""
    parts: list[bytes] = []
    num_left = MAX_UNPACKED_BYTES + 1
    while raw.startswith(_GZIP_MAGIC) and num_left > 0:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        parts.append(member.decompress(raw, num_left))
        num_left -= len(parts[-1])
        if num_left > 0 and not member.eof:
            raise EOFError("the file ends too early")
        raw = member.unused_data
    return b"".join(parts)


def _csv_names(raw: bytes, name: str) -> tuple[str, ...]:
    first_line = raw.removeprefix(BYTE_ORDER_MARK).split(b"\n", 1)[0]
    try:
        names = [column.strip() for column in next(csv.reader([first_line.decode()]), list[str]())]
    except (UnicodeDecodeError, csv.Error) as error:
        hint = "is it the right file?"
        raise InvalidInput(f"not a CSV file: {error}", where=f"{name}:1", hint=hint) from None
    if not names:
        raise InvalidInput("the file is empty", where=name, hint="write at least timestamp_s,model")
    twice = [column for index, column in enumerate(names) if column in names[:index]]
    if twice:
        message = f"column {twice[0]} is there twice"
        raise InvalidInput(message, where=f"{name}:1", hint="keep one column of each name")
    return tuple(names)


def _jsonl_names(raw: bytes, name: str) -> tuple[str, ...]:
    """Of the first row that is an object; that others are none is found when they are read."""
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        try:
            row = json.loads(raw[start:end].removeprefix(BYTE_ORDER_MARK))
        except (ValueError, RecursionError):
            row = None
        if is_dict(row):
            return tuple(row)
        start = end + 1
    if not raw.strip():
        raise InvalidInput("the file is empty", where=name, hint="write one JSON object a line")
    raise InvalidInput("no line is a JSON object", where=name, hint="write one JSON object a line")


def parquet_table(raw: bytes, *, columns: Sequence[str]) -> pa.Table:
    """Some columns of a Parquet file. Raises pa.ArrowException, OSError and ValueError.

    read_table would import pyarrow.dataset, and pandas with it where there is one: half a second. With
    threads a process that ends at once may abort (5 of 200 on a loaded machine), and they gain nothing here.
    """
    file = pa_parquet.ParquetFile(pa.BufferReader(raw), pre_buffer=False)
    return file.read(columns=list(columns), use_threads=False)


def _parquet_names(raw: bytes, name: str) -> tuple[str, ...]:
    try:
        return tuple(pa_parquet.read_schema(pa.BufferReader(raw)).names)
    except (pa.ArrowException, OSError, ValueError):
        raise InvalidInput("not a Parquet file", where=name, hint="is it the right file?") from None


_COLUMN_NAMES: Mapping[str, Callable[[bytes, str], tuple[str, ...]]] = {
    "csv": _csv_names,
    "jsonl": _jsonl_names,
    "parquet": _parquet_names,
}
