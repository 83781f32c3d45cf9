"""Token counts and prefix hashes of a trace <-> the columns of its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vocabulary.formats.trace_rows import Rows
from vocabulary.trace import Tokens

COUNTS = ("input_tokens", "output_tokens")
HASHES = "prefix_hashes"
# Tokens of a hash when it is not as many as in Mooncake's traces. A column and not metadata of the file:
# JSONL has none, and few programs that rewrite Parquet keep it.
BLOCK = "prefix_block_tokens"
DEFAULT_BLOCK_TOKENS = 512


def tokens_of(
    rows: Rows, label: Callable[[str], str], *, block_tokens: int = DEFAULT_BLOCK_TOKENS
) -> Tokens | None:
    """None without both counts. An empty count is 0. `label`: a column of ours -> its name in the file."""
    columns = [label(name) for name in COUNTS]
    if not all(column in rows.table.column_names for column in columns):
        return None
    if all(rows.table[column].null_count == len(rows) for column in columns):
        return None
    inputs, outputs = (rows.counts(column, empty=0) for column in columns)
    if label(HASHES) not in rows.table.column_names:
        return Tokens(inputs, outputs)
    hashes = rows.table[label(HASHES)].combine_chunks()
    if hashes.null_count == len(hashes):
        return Tokens(inputs, outputs)
    if label(BLOCK) in rows.table.column_names:
        block_tokens = _block_tokens(rows, label(BLOCK))
    sizes = pc.list_value_length(hashes).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    values = hashes.flatten()
    if values.null_count:
        empty = values.is_null().to_numpy(zero_copy_only=False)
        wrong = np.zeros(len(rows), dtype=bool)
        wrong[np.searchsorted(offsets, np.flatnonzero(empty), side="right") - 1] = True
        rows.refuse(wrong, lambda row: f"{label(HASHES)} has an empty hash", hint="hashes are whole numbers")
        values = values.fill_null(0)
    return Tokens(inputs, outputs, offsets, values.to_numpy(zero_copy_only=False), block_tokens)


def full_blocks(tokens: Tokens) -> Tokens:
    """Without hashes beyond the full blocks of a prompt: some traces number the last, partial block too."""
    if tokens.prefix_offsets is None or tokens.prefix_hashes is None:
        return tokens
    starts, stops = tokens.prefix_offsets[:-1], tokens.prefix_offsets[1:]
    sizes = np.minimum(stops - starts, tokens.input_tokens // tokens.block_tokens)
    position = np.arange(len(tokens.prefix_hashes)) - np.repeat(starts, stops - starts)
    hashes = tokens.prefix_hashes[position < np.repeat(sizes, stops - starts)]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return replace(tokens, prefix_offsets=offsets, prefix_hashes=hashes)


def token_columns(tokens: Tokens) -> dict[str, pa.Array]:
    """As `tokens_of` reads them."""
    columns = {name: pa.array(getattr(tokens, name), pa.int32()) for name in COUNTS}
    if tokens.prefix_offsets is None or tokens.prefix_hashes is None:
        return columns
    columns[HASHES] = pa.ListArray.from_arrays(
        pa.array(tokens.prefix_offsets, pa.int32()), pa.array(tokens.prefix_hashes, pa.int64())
    )
    if tokens.block_tokens != DEFAULT_BLOCK_TOKENS:
        columns[BLOCK] = pa.array(np.full(len(tokens.input_tokens), tokens.block_tokens), pa.int32())
    return columns


def _block_tokens(rows: Rows, column: str) -> int:
    """The one number that all rows have."""
    sizes = rows.counts(column, empty=DEFAULT_BLOCK_TOKENS)
    hint = "all hashes of a trace stand for equally many tokens"
    rows.refuse(sizes == 0, lambda row: f"{column} is 0", hint=hint)
    usual = sizes[int(np.argmax(sizes > 0))]
    rows.refuse(
        sizes != usual, lambda row: f"{column} is {sizes[row]}, after {usual} in the first row", hint=hint
    )
    return int(usual)
