"""Azure LLM inference traces 2023 (Splitwise) and 2024 (DynamoLLM): a time and two counts, no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from vocabulary.formats.importers.imported import Arrivals, TraceFile
from vocabulary.formats.importers.schemas import AZURE_LLM_2023, AZURE_LLM_2024, Schema, rows_of
from vocabulary.formats.trace import sorted_trace
from vocabulary.formats.trace_rows import Labels
from vocabulary.trace import Tokens

NS_PER_S = 1e9


def read_2023(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Arrivals:
    """Times without a zone, of seven decimals; 0 s is the first request."""
    return _read(files[0], AZURE_LLM_2023, skips_bad=skips_bad)


def read_2024(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Arrivals:
    """Times with a zone; 0 s is the first request."""
    return _read(files[0], AZURE_LLM_2024, skips_bad=skips_bad)


def _read(file: TraceFile, schema: Schema, *, skips_bad: bool) -> Arrivals:
    rows = rows_of(file, schema, skips_bad=skips_bad)
    instants = rows.full("TIMESTAMP", hint="every request needs its time").cast(pa.int64()).to_numpy()
    tokens = Tokens(rows.counts("ContextTokens"), rows.counts("GeneratedTokens"))
    first = instants[rows.kept()].min()
    # Whole nanoseconds are subtracted before they become seconds: exact to the last decimal of the file.
    arrival_s = (instants - first) / NS_PER_S
    nameless = Labels(np.zeros(len(rows), np.int32), (), is_fixed=True)
    return Arrivals(sorted_trace(rows, arrival_s, nameless, tokens), rows.skipped)
