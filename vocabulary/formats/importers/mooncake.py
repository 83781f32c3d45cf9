"""Mooncake's request traces: JSONL of milliseconds, lengths, and ids of 512-token blocks of the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vocabulary.formats.importers.imported import Arrivals, TraceFile
from vocabulary.formats.importers.schemas import MOONCAKE, rows_of
from vocabulary.formats.trace import sorted_trace
from vocabulary.formats.trace_rows import Labels
from vocabulary.formats.trace_tokens import full_blocks, tokens_of

MS_PER_S = 1000.0
BLOCK_TOKENS = 512
LABELS = {"input_tokens": "input_length", "output_tokens": "output_length", "prefix_hashes": "hash_ids"}


def read(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Arrivals:
    """No model is named. The id of a prompt's last block is left out when the block is not full."""
    rows = rows_of(files[0], MOONCAKE, skips_bad=skips_bad)
    arrival_s = rows.seconds("timestamp", per_s=MS_PER_S)
    for column in ("input_length", "output_length"):
        rows.counts(column)  # none may be empty
    tokens = tokens_of(rows, lambda name: LABELS.get(name, name), block_tokens=BLOCK_TOKENS)
    nameless = Labels(np.zeros(len(rows), np.int32), (), is_fixed=True)
    trace = sorted_trace(rows, arrival_s, nameless, None if tokens is None else full_blocks(tokens))
    return Arrivals(trace, rows.skipped)
