"""BurstGPT: ChatGPT and GPT-4 requests, in whole seconds. A failed request has no response tokens."""

from __future__ import annotations

from collections.abc import Sequence

from vocabulary.formats.importers.imported import Arrivals, TraceFile
from vocabulary.formats.importers.schemas import BURSTGPT, rows_of
from vocabulary.formats.trace import sorted_trace
from vocabulary.trace import Tokens


def read(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Arrivals:
    """Exact arrivals of the models that the file names."""
    rows = rows_of(files[0], BURSTGPT, skips_bad=skips_bad)
    arrival_s = rows.seconds("Timestamp")
    labels = rows.labels("Model")
    tokens = Tokens(rows.counts("Request tokens"), rows.counts("Response tokens"))
    return Arrivals(sorted_trace(rows, arrival_s, labels, tokens), rows.skipped)
