"""The columns of published traces, as their authors write them, and a file's rows read by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.imported import TraceFile
from vocabulary.formats.trace_rows import Rows
from vocabulary.formats.trace_source import Source, source_of

MINUTES_OF_A_DAY = tuple(str(minute) for minute in range(1, 1441))
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Schema:
    """columns must be there; `optional` ones are read when they are. A CSV may come without a header."""

    label: str
    kind: str
    columns: Mapping[str, pa.DataType]
    optional: Mapping[str, pa.DataType] = field(default_factory=dict[str, pa.DataType])
    has_header: bool = True


_TEXT, _COUNT, _NUMBER = pa.string(), pa.int32(), pa.float64()

AZURE_LLM_2023 = Schema(
    "azure-llm-2023", "csv",
    {"TIMESTAMP": pa.timestamp("ns"), "ContextTokens": _COUNT, "GeneratedTokens": _COUNT},
)  # fmt: skip
AZURE_LLM_2024 = Schema(
    "azure-llm-2024", "csv",
    {"TIMESTAMP": pa.timestamp("ns", "UTC"), "ContextTokens": _COUNT, "GeneratedTokens": _COUNT},
)  # fmt: skip
AZURE_FUNCTIONS_2019 = Schema(
    "azure-functions-2019", "csv",
    {"HashOwner": _TEXT, "HashApp": _TEXT, "HashFunction": _TEXT}
    | dict.fromkeys(MINUTES_OF_A_DAY, _COUNT),
)  # fmt: skip
# The same counts with a row for each minute that has any.
AZURE_FUNCTIONS_2019_LONG = Schema(
    "azure-functions-2019", "parquet", {"func": _TEXT, "minute": _COUNT, "count": _COUNT}
)
AZURE_FUNCTIONS_2021 = Schema(
    "azure-functions-2021",
    "csv",
    {"app": _TEXT, "func": _TEXT, "end_timestamp": _NUMBER, "duration": _NUMBER},
)
MOONCAKE = Schema(
    "mooncake", "jsonl", {"timestamp": _NUMBER, "input_length": _COUNT, "output_length": _COUNT},
    optional={"hash_ids": pa.list_(pa.int64())},
)  # fmt: skip
BURSTGPT = Schema(
    "burstgpt", "csv",
    {"Timestamp": _NUMBER, "Model": _TEXT, "Request tokens": _COUNT, "Response tokens": _COUNT},
)  # fmt: skip
SERVEGEN = Schema(
    "servegen", "csv",
    {"timestamp": _NUMBER, "rate": _NUMBER, "cv": _NUMBER, "pattern": _TEXT, "p1": _NUMBER, "p2": _NUMBER},
    has_header=False,
)  # fmt: skip
# All clients in one table.
SERVEGEN_TABLE = Schema(
    "servegen", "parquet",
    {"model": _TEXT, "client": _TEXT, "t": _NUMBER, "rate": _NUMBER, "cv": _NUMBER, "pattern": _TEXT,
     "p1": _NUMBER, "p2": _NUMBER},
)  # fmt: skip
LMSYS_CHAT_1M = Schema(
    "lmsys-chat-1m", "jsonl",
    {"model": _TEXT, "conversation": pa.list_(pa.struct({"role": _TEXT, "content": _TEXT}))},
)  # fmt: skip

PUBLISHED = (
    AZURE_LLM_2023, AZURE_LLM_2024, AZURE_FUNCTIONS_2019, AZURE_FUNCTIONS_2019_LONG, AZURE_FUNCTIONS_2021,
    MOONCAKE, BURSTGPT, SERVEGEN_TABLE, LMSYS_CHAT_1M,
)  # fmt: skip


def is_parquet(file: TraceFile) -> bool:
    """By its first bytes: published files have all kinds of names."""
    return file.raw.startswith(_PARQUET_MAGIC)


def rows_of(file: TraceFile, schema: Schema, *, skips_bad: bool) -> Rows:
    """The rows of a file, which must have the columns. Raises InvalidInput."""
    kind = "parquet" if is_parquet(file) else schema.kind
    header = None if schema.has_header else tuple(schema.columns)
    try:
        source = source_of(file.raw, name=file.name, kind=kind, header=header)
    except InvalidInput as error:
        raise InvalidInput(
            error.message, where=error.where, hint=f"{error.hint}{_likely(file, schema)}"
        ) from None
    missing = [column for column in schema.columns if not source.has(column)]
    if missing:
        raise _not_that_format(file, source, schema, missing[0])
    optional = {name: kind for name, kind in schema.optional.items() if source.has(name)}
    return Rows(source, {**schema.columns, **optional}, skips_bad=skips_bad)


def likely_format(header: tuple[str, ...]) -> str | None:
    """The published format whose columns these are."""
    for schema in PUBLISHED:
        if set(schema.columns) <= set(header):
            return schema.label
    return None


def _not_that_format(file: TraceFile, source: Source, schema: Schema, missing: str) -> InvalidInput:
    names = list(schema.columns)
    shown = ", ".join(names if len(names) <= 12 else [*names[:4], "...", names[-1]])
    hint = f"its columns are {shown}{_likely(file, schema)}"
    where = source.name if source.kind == "parquet" else source.where(1)
    return InvalidInput(f"this is not {schema.label}: there is no column {missing}", where=where, hint=hint)


def _likely(file: TraceFile, schema: Schema) -> str:
    """More of a hint: what the file is, whatever it was called."""
    for kind in ("parquet",) if is_parquet(file) else ("jsonl", "csv"):
        try:
            header = source_of(file.raw, name=file.name, kind=kind).header
        except InvalidInput:
            continue
        likely = likely_format(header)
        if likely not in (None, schema.label):
            return f"; these are the columns of --format {likely}"
        if "timestamp_s" in header:
            return "; this is a trace of ours, which needs no --format"
    return ""
