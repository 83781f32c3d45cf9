"""Trace files -> Trace. Arrivals are seconds, finite, not negative and in order; they may start anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import did_you_mean
from vocabulary.formats.importers.schemas import likely_format
from vocabulary.formats.trace_rows import Labels, Rows, Skipped
from vocabulary.formats.trace_source import Source, source_of
from vocabulary.formats.trace_table import COLUMNS, LIST_COLUMNS, REQUIRED, format_table
from vocabulary.formats.trace_tenants import TENANT, tenant_column, tenants_of, used_tenants
from vocabulary.formats.trace_tokens import BLOCK, COUNTS, HASHES, token_columns, tokens_of
from vocabulary.trace import Tenants, Tokens, Trace


@dataclass(frozen=True, slots=True)
class TraceReading:
    """A trace, and what was left out of it."""

    trace: Trace
    skipped: Skipped


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
    in_order=False sorts arrivals that are not (stable). `tokens` are filled when the file has both counts,
    `tenants` when it says whose some request is.
    """
    return read_trace(
        raw, name=name, columns=columns, models=models, only_model=only_model, in_order=in_order
    ).trace


def read_trace(
    raw: bytes,
    *,
    name: str,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    models: Sequence[str] | None = None,
    only_model: str | None = None,
    in_order: bool = True,
    per_s: float = 1.0,
    skips_bad: bool = False,
) -> TraceReading:
    """As `parse_trace`; `skips_bad` leaves out rows that it would refuse, `per_s` is what a second counts."""
    file = _File(source_of(raw, name=name, kind=kind), columns or {})
    wanted = file.wanted(REQUIRED if only_model is None else REQUIRED[:1])
    rows = Rows(file.source, file.types(wanted), skips_bad=skips_bad)
    arrival_s = rows.seconds(file.label("timestamp_s"), per_s=per_s)
    if in_order:
        _check_order(rows, arrival_s, file.label("timestamp_s"))
    labels = (
        rows.labels(file.label("model"), allowed=models)
        if only_model is None
        else Labels(np.zeros(len(arrival_s), dtype=np.int32), (only_model,), is_fixed=True)
    )
    tokens, tenants = tokens_of(rows, file.label), tenants_of(rows, file.label)
    return TraceReading(sorted_trace(rows, arrival_s, labels, tokens, tenants), rows.skipped)


def sorted_trace(
    rows: Rows,
    arrival_s: NDArray[np.float64],
    labels: Labels,
    tokens: Tokens | None = None,
    tenants: Tenants | None = None,
) -> Trace:
    """Of the rows that are right, by arrival, and within an instant as in the file.

    Names that only wrong rows have are not among the models, unless `labels` were restricted to them.
    """
    kept = rows.kept()
    if isinstance(kept, slice) and np.all(arrival_s[1:] >= arrival_s[:-1]):
        return Trace(arrival_s, labels.index, labels.names, tokens, tenants)
    chosen = np.arange(len(rows))[kept]
    chosen = chosen[np.argsort(arrival_s[chosen], kind="stable")]
    if not isinstance(kept, slice):
        labels = labels.used_by(chosen)
    tokens = None if tokens is None else tokens.take(chosen)
    tenants = None if tenants is None else used_tenants(tenants.take(chosen))
    return Trace(arrival_s[chosen], labels.index[chosen], labels.names, tokens, tenants)


def parse_table(raw: bytes, *, name: str, columns: Mapping[str, str] | None = None) -> pa.Table:
    """All columns of conventions 3.9 that the file has, under our names, not checked beyond their types."""
    file = _File(source_of(raw, name=name), columns or {})
    wanted = file.wanted(REQUIRED, optional=tuple(COLUMNS))
    return Rows(file.source, file.types(wanted)).table.rename_columns(list(wanted))


def trace_table(trace: Trace) -> pa.Table:
    """A trace as a table of its columns."""
    names = pa.DictionaryArray.from_arrays(pa.array(trace.model_index), pa.array(trace.models, pa.string()))
    tokens = {} if trace.tokens is None else token_columns(trace.tokens)
    tenants = {} if trace.tenants is None else {TENANT: tenant_column(trace.tenants)}
    return pa.table({"timestamp_s": trace.arrival_s, "model": names.cast(pa.string()), **tokens, **tenants})


def format_trace(trace: Trace, *, name: str) -> bytes:
    """The bytes of a file called `name`; reading them gives the same requests to the last bit.

    CSV holds no lists: there, prefix hashes are left out.
    """
    return format_table(trace_table(trace), name=name)


@final
class _File:
    """Where our columns are in a file."""

    def __init__(self, source: Source, columns: Mapping[str, str]) -> None:
        self.source = source
        self._columns = columns
        for column in columns:
            if column not in COLUMNS:
                hint = did_you_mean(column, tuple(COLUMNS))
                raise InvalidInput(f"traces have no column {column}", where="--columns", hint=hint)

    def label(self, column: str) -> str:
        """The file's name for it."""
        return self._columns.get(column, column)

    def wanted(
        self, required: Sequence[str], *, optional: Sequence[str] = (*COUNTS, HASHES, BLOCK, TENANT)
    ) -> tuple[str, ...]:
        """Columns to read: those that must be there, those that are, and those that the user named."""
        for column in (*required, *self._columns):
            if not self.source.has(self.label(column)):
                raise self._missing(column)
        found = [column for column in optional if self.source.has(self.label(column))]
        if self.source.kind == "csv":
            found = [column for column in found if column not in LIST_COLUMNS]
        return tuple(dict.fromkeys((*required, *found)))

    def types(self, wanted: Sequence[str]) -> dict[str, pa.DataType]:
        return {self.label(column): COLUMNS[column] for column in wanted}

    def _missing(self, column: str) -> InvalidInput:
        label = self.label(column)
        called = f" (for {column})" if label != column else ""
        near = did_you_mean(label, self.source.header)
        hint = f"{near}; `statmux trace import --columns {column}=NAME` renames"
        published = likely_format(self.source.header)
        if published is not None:
            hint = f"these are the columns of `statmux trace import --format {published}`"
        elif column == "model":
            hint += ", and `--model NAME` is for traces of one model"
        where = self.source.name if self.source.kind == "parquet" else f"{self.source.name}:1"
        return InvalidInput(f"there is no column {label}{called}", where=where, hint=hint)


def _check_order(rows: Rows, arrival_s: NDArray[np.float64], label: str) -> None:
    backwards = np.concatenate([[False], np.diff(arrival_s) < 0])
    rows.refuse(
        backwards,
        lambda row: f"{label} goes back in time, from {arrival_s[row - 1]} to {arrival_s[row]}",
        hint="sort the rows, or use `statmux trace import`, which sorts",
    )
