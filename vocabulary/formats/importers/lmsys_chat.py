"""LMSYS-Chat-1M: a million conversations with 25 models, as text and without arrival times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vocabulary.formats.importers.imported import Conversations, TraceFile
from vocabulary.formats.importers.schemas import LMSYS_CHAT_1M, rows_of
from vocabulary.formats.trace_rows import Rows
from vocabulary.trace import Tokens

# English is about four characters a token. Counted as UTF-8 bytes, so that scripts of three bytes a
# character, which need more tokens for it, are not underestimated threefold.
BYTES_PER_TOKEN = 4
# Tokens a page in most engines: turns share what their conversation has said before.
BLOCK_TOKENS = 16
MAX_BLOCKS = 2**20


def read(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Conversations:
    """Each reply is a request; its prompt is all that was said before it. Token counts are estimates."""
    rows = rows_of(files[0], LMSYS_CHAT_1M, skips_bad=skips_bad)
    models = rows.labels("model")
    _refuse_without_reply(rows)
    kept = np.flatnonzero(rows.mask())
    models = models.used_by(kept)
    talks = rows.table["conversation"].combine_chunks().take(pa.array(kept))
    sizes = pc.list_value_length(talks).to_numpy(zero_copy_only=False).astype(np.int64)
    said_bytes, is_reply = _messages(talks)
    talk = np.repeat(np.arange(len(kept)), sizes)
    starts = np.cumsum(sizes) - sizes
    before = np.cumsum(said_bytes) - said_bytes
    is_reply[starts] = False  # nothing was asked
    prompt_bytes = (before - before[starts][talk])[is_reply]
    talk = talk[is_reply]
    turns = np.arange(len(talk)) - np.searchsorted(talk, talk)
    tokens = _tokens(talk, prompt_bytes, said_bytes[is_reply])
    return Conversations(models.names, models.index[kept][talk], talk, turns, tokens, rows.skipped)


def _refuse_without_reply(rows: Rows) -> None:
    column = rows.table["conversation"].combine_chunks()
    sizes = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    _, is_reply = _messages(column)
    talk = np.repeat(np.arange(len(rows)), sizes)
    is_first = np.concatenate([[True], talk[1:] != talk[:-1]])[: len(talk)]
    has_reply = np.zeros(len(rows), dtype=bool)
    has_reply[talk[is_reply & ~is_first]] = True
    hint = "a conversation is a list of {role, content}, user and assistant in turns"
    rows.refuse(~has_reply, lambda row: "conversation has no reply of the assistant to anything", hint=hint)


def _messages(talks: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Bytes of each message, and whether the assistant said it."""
    messages = talks.flatten()
    said_bytes = pc.binary_length(messages.field("content")).fill_null(0)
    is_reply = pc.equal(messages.field("role"), "assistant").fill_null(False)
    return (
        said_bytes.to_numpy(zero_copy_only=False).astype(np.int64),
        is_reply.to_numpy(zero_copy_only=False).copy(),
    )


def _tokens(
    talk: NDArray[np.int64], prompt_bytes: NDArray[np.int64], reply_bytes: NDArray[np.int64]
) -> Tokens:
    """Blocks are numbered within their conversation: what two conversations share is not known."""
    inputs = np.maximum(-(-prompt_bytes // BYTES_PER_TOKEN), 1).astype(np.int32)
    outputs = np.maximum(-(-reply_bytes // BYTES_PER_TOKEN), 1).astype(np.int32)
    num_blocks = np.minimum(inputs // BLOCK_TOKENS, MAX_BLOCKS).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(num_blocks)])
    block = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], num_blocks)
    return Tokens(inputs, outputs, offsets, np.repeat(talk, num_blocks) * MAX_BLOCKS + block, BLOCK_TOKENS)
