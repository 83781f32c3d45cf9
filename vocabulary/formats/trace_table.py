"""Trace files <-> tables of columns: CSV, CSV.gz, JSONL and Parquet (conventions 3.9), read by pyarrow.

pyarrow is fast and says little about a wrong row: when it fails, or a value is wrong, `trace_faults` reads
the file again, slowly, to name the line.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from vocabulary.errors import InvalidInput

# Column -> type. The first two are required.
COLUMNS: Mapping[str, pa.DataType] = {
    "timestamp_s": pa.float64(), "model": pa.string(), "input_tokens": pa.int32(),
    "output_tokens": pa.int32(), "adapter": pa.string(), "slo_ms": pa.float64(), "ttft_ms": pa.float64(),
    "tpot_ms": pa.float64(), "priority": pa.int32(), "tenant": pa.string(), "session_id": pa.string(),
    "prefix_hashes": pa.list_(pa.int64()), "batch": pa.int32(),
}  # fmt: skip
REQUIRED = ("timestamp_s", "model")
SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".parquet": "parquet"}
MAX_UNPACKED_BYTES = 4 * 2**30
_GZIP_MAGIC = b"\x1f\x8b"


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


def column_names(raw: bytes, *, kind: str, name: str) -> tuple[str, ...]:
    """Columns of the file (JSONL: keys of its first row). Raises InvalidInput when there are none to read."""
    return _COLUMN_NAMES[kind](raw, name)


def read_columns(
    raw: bytes, types: Mapping[str, pa.DataType], *, kind: str, header: Sequence[str]
) -> pa.Table:
    """Columns by their names in the file, converted to `types`. Raises pa.ArrowException."""
    return _READERS[kind](raw, types, header)


def format_table(table: pa.Table, *, name: str) -> bytes:
    """The bytes of a file called `name`. Lists do not go into CSV and are left out there."""
    content = _WRITERS[kind_of(name)](table)
    # No time stamp inside: the same trace gives the same bytes.
    return gzip.compress(content, compresslevel=6, mtime=0) if name.lower().endswith(".gz") else content


def _csv_names(raw: bytes, name: str) -> tuple[str, ...]:
    first_line = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    try:
        names = [column.strip() for column in next(csv.reader([first_line.decode()]), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(
            f"not a CSV file: {error}", where=f"{name}:1", hint="is it the right file?"
        ) from None
    if not names:
        raise InvalidInput("the file is empty", where=name, hint="write at least timestamp_s,model")
    twice = [column for index, column in enumerate(names) if column in names[:index]]
    if twice:
        message = f"column {twice[0]} is there twice"
        raise InvalidInput(message, where=f"{name}:1", hint="keep one column of each name")
    return tuple(names)


def _jsonl_names(raw: bytes, name: str) -> tuple[str, ...]:
    first_line = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    if not raw.strip():
        raise InvalidInput("the file is empty", where=name, hint="write one JSON object a line")
    try:
        row = json.loads(first_line)
    except ValueError as error:
        hint = "write one JSON object a line"
        raise InvalidInput(f"not valid JSON: {error}", where=f"{name}:1", hint=hint) from None
    if not isinstance(row, dict):
        raise InvalidInput("not a JSON object", where=f"{name}:1", hint="write one JSON object a line")
    return tuple(row)


def _parquet_names(raw: bytes, name: str) -> tuple[str, ...]:
    try:
        return tuple(pa.parquet.read_schema(pa.BufferReader(raw)).names)
    except (pa.ArrowException, OSError, ValueError):
        raise InvalidInput("not a Parquet file", where=name, hint="is it the right file?") from None


def _read_csv(raw: bytes, types: Mapping[str, pa.DataType], header: Sequence[str]) -> pa.Table:
    return pa.csv.read_csv(
        pa.BufferReader(raw),
        # The header is read by `_csv_names`, which trims it.
        read_options=pa.csv.ReadOptions(column_names=list(header), skip_rows=1),
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(types), column_types=dict(types), null_values=[""], strings_can_be_null=False
        ),
    )


def _read_jsonl(raw: bytes, types: Mapping[str, pa.DataType], header: Sequence[str]) -> pa.Table:
    schema = pa.schema(list(types.items()))
    options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return pa.json.read_json(pa.BufferReader(raw), parse_options=options).select(list(types))


def _read_parquet(raw: bytes, types: Mapping[str, pa.DataType], header: Sequence[str]) -> pa.Table:
    table = pa.parquet.read_table(pa.BufferReader(raw), columns=list(types))
    return table.select(list(types)).cast(pa.schema(list(types.items())))


def _without_lists(table: pa.Table) -> pa.Table:
    return table.select([field.name for field in table.schema if not pa.types.is_list(field.type)])


def _csv_bytes(table: pa.Table) -> bytes:
    flat = _without_lists(table)
    header = (",".join(flat.column_names) + "\n").encode()
    # "needed" quotes all text, which only names with a comma, a quote or a line end need.
    for quoting in ("none", "needed"):
        out = pa.BufferOutputStream()
        try:
            pa.csv.write_csv(flat, out, pa.csv.WriteOptions(include_header=False, quoting_style=quoting))
        except pa.ArrowInvalid:
            continue
        return header + out.getvalue().to_pybytes()
    raise AssertionError(flat.schema)


def _jsonl_bytes(table: pa.Table) -> bytes:
    rows: list[dict[str, Any]] = table.to_pylist()
    lines = (
        json.dumps({key: value for key, value in row.items() if value is not None}, ensure_ascii=False)
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet_bytes(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pa.parquet.write_table(table, out)
    return out.getvalue().to_pybytes()


_COLUMN_NAMES: Mapping[str, Callable[[bytes, str], tuple[str, ...]]] = {
    "csv": _csv_names,
    "jsonl": _jsonl_names,
    "parquet": _parquet_names,
}
_READERS: Mapping[str, Callable[[bytes, Mapping[str, pa.DataType], Sequence[str]], pa.Table]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
_WRITERS: Mapping[str, Callable[[pa.Table], bytes]] = {
    "csv": _csv_bytes,
    "jsonl": _jsonl_bytes,
    "parquet": _parquet_bytes,
}
