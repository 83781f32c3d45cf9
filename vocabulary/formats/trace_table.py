"""Trace files <-> tables of columns: CSV, CSV.gz, JSONL and Parquet (conventions 3.9), by pyarrow.

pyarrow is fast and says little about a wrong row: when it fails, or a value is wrong, `trace_faults` reads
the file again, slowly, to name the line.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet

from vocabulary.formats.trace_source import Source, kind_of, parquet_table

# Column -> type. The first two are required.
COLUMNS: Mapping[str, pa.DataType] = {
    "timestamp_s": pa.float64(), "model": pa.string(), "input_tokens": pa.int32(),
    "output_tokens": pa.int32(), "adapter": pa.string(), "slo_ms": pa.float64(), "ttft_ms": pa.float64(),
    "tpot_ms": pa.float64(), "priority": pa.int32(), "tenant": pa.string(), "session_id": pa.string(),
    "prefix_hashes": pa.list_(pa.int64()), "prefix_block_tokens": pa.int32(), "batch": pa.int32(),
}  # fmt: skip
REQUIRED = ("timestamp_s", "model")
# Columns that say nothing without the lists beside them, which CSV does not hold.
LIST_COLUMNS = ("prefix_hashes", "prefix_block_tokens")
# A JSON row must fit into one block of the reader; a conversation of a megabyte is not unheard of.
JSON_BLOCK_BYTES = 16 * 2**20
# arrow (26.0) ends the process where the first row of a block is null, which no trace needs anyway.
_NULL_ROW = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|\n)[ \t\r\n]*+n")


def read_columns(source: Source, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Columns by their names in the file, converted to `types`. Raises pa.ArrowException."""
    return _READERS[source.kind](source, types)


def format_table(table: pa.Table, *, name: str) -> bytes:
    """The bytes of a file called `name`. Lists do not go into CSV and are left out there."""
    content = _WRITERS[kind_of(name)](table)
    # No time stamp inside: the same trace gives the same bytes.
    return gzip.compress(content, compresslevel=6, mtime=0) if name.lower().endswith(".gz") else content


def _read_csv(source: Source, types: Mapping[str, pa.DataType]) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(source.raw),
        # The header is read by `trace_source`, which trims it.
        read_options=pa_csv.ReadOptions(column_names=list(source.header), skip_rows=int(source.has_header)),
        convert_options=pa_csv.ConvertOptions(
            include_columns=list(types), column_types=dict(types), null_values=[""], strings_can_be_null=False
        ),
    )


def _read_jsonl(source: Source, types: Mapping[str, pa.DataType]) -> pa.Table:
    if _NULL_ROW.search(source.raw):
        raise pa.ArrowInvalid("a row is null")
    schema = pa.schema(list(types.items()))
    return pa_json.read_json(
        pa.BufferReader(source.raw),
        read_options=pa_json.ReadOptions(block_size=JSON_BLOCK_BYTES),
        parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    ).select(list(types))


def _read_parquet(source: Source, types: Mapping[str, pa.DataType]) -> pa.Table:
    table = parquet_table(source.raw, columns=list(types))
    return table.select(list(types)).cast(pa.schema(list(types.items())))


def _without_lists(table: pa.Table) -> pa.Table:
    return table.select([name for name in table.column_names if name not in LIST_COLUMNS])


def _csv_bytes(table: pa.Table) -> bytes:
    flat = _without_lists(table)
    header = (",".join(flat.column_names) + "\n").encode()
    # "needed" quotes all text, which only names with a comma, a quote or a line end need.
    for quoting in ("none", "needed"):
        out = pa.BufferOutputStream()
        try:
            pa_csv.write_csv(flat, out, pa_csv.WriteOptions(include_header=False, quoting_style=quoting))
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
    pa_parquet.write_table(table, out)
    return out.getvalue().to_pybytes()


_READERS: Mapping[str, Callable[[Source, Mapping[str, pa.DataType]], pa.Table]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
_WRITERS: Mapping[str, Callable[[pa.Table], bytes]] = {
    "csv": _csv_bytes,
    "jsonl": _jsonl_bytes,
    "parquet": _parquet_bytes,
}
