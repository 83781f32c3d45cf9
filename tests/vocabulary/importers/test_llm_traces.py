"""Mooncake, BurstGPT and LMSYS-Chat-1M."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from tests.vocabulary.importers.files import BURSTGPT, LMSYS, MOONCAKE
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import Conversations, TraceFile
from vocabulary.formats.trace_table import format_table


def one(name: str, raw: bytes, file_name: str = "t.jsonl", **settings):
    return import_files(name, [TraceFile(file_name, raw)], **settings)


def test_mooncake_counts_milliseconds_and_blocks_of_512():
    trace = one("mooncake", MOONCAKE).trace
    assert trace.arrival_s.tolist() == [0.0, 1.234, 27.482]
    assert trace.models == ()
    assert trace.tokens.input_tokens.tolist() == [1030, 100, 1024]
    assert trace.tokens.output_tokens.tolist() == [500, 1, 52]
    assert trace.tokens.block_tokens == 512
    # Block 2 of the first prompt has 6 tokens, block 7 of the second 100: neither is full.
    assert trace.tokens.prefix_offsets.tolist() == [0, 2, 2, 4]
    assert trace.tokens.prefix_hashes.tolist() == [0, 1, 0, 9]


def test_mooncake_without_hashes_has_only_lengths():
    raw = b'{"timestamp": 1.5, "input_length": 3, "output_length": 1}\n'
    trace = one("mooncake", raw).trace
    assert trace.arrival_s.tolist() == [0.0015]
    assert trace.tokens.prefix_hashes is None


def test_bad_mooncake_rows_are_told_or_skipped():
    bad = MOONCAKE + (
        b'{"timestamp": 2, "input_length": -3, "output_length": 1, "hash_ids": []}\n'
        b'{"timestamp": 3, "input_length": 3, "output_length": "1", "hash_ids": []}\n'
        b'{"timestamp": 4, "input_length": 3, "hash_ids": []}\n'
        b'{"timestamp": 5, "input_length": 3, "output_length": 1, "hash_ids": [1.5]}\n'
        b"oh\n"
    )
    with pytest.raises(InvalidInput, match=r"t\.jsonl:5: output_length is '1', not a whole number"):
        one("mooncake", bad)
    with pytest.raises(InvalidInput, match=r"t\.jsonl:4: input_length is -3, which is negative"):
        one("mooncake", b"\n".join(bad.split(b"\n")[:4]))
    found = one("mooncake", bad, skips_bad=True)
    assert len(found.trace) == 3
    assert found.skipped.num_rows == 5


def test_burstgpt_names_its_models():
    trace = one("burstgpt", BURSTGPT, "t.csv").trace
    assert trace.arrival_s.tolist() == [5, 45, 118]
    assert trace.models == ("ChatGPT", "GPT-4")
    assert trace.model_index.tolist() == [0, 0, 1]
    assert trace.tokens.input_tokens.tolist() == [472, 1087, 417]
    assert trace.tokens.output_tokens.tolist() == [18, 0, 276]


def test_a_bad_burstgpt_row_is_told():
    raw = BURSTGPT.replace(b"1087,0", b"1087.5,0")
    with pytest.raises(InvalidInput, match=r"t\.csv:3: Request tokens is '1087\.5', not a whole number"):
        one("burstgpt", raw, "t.csv")


def assert_conversations(found: Conversations) -> None:
    assert found.models == ("vicuna-13b", "koala-13b")
    assert found.model_index.tolist() == [0, 0, 1]
    assert found.conversation_index.tolist() == [0, 0, 1]
    assert found.turn_index.tolist() == [0, 1, 0]
    # 8 and 8 + 4 + 3 bytes of prompt, 6 of two characters; four bytes a token, rounded up.
    assert found.tokens.input_tokens.tolist() == [2, 4, 2]
    assert found.tokens.output_tokens.tolist() == [1, 3, 1]


def test_a_conversation_is_a_request_a_reply():
    found = one("lmsys-chat-1m", LMSYS)
    assert isinstance(found, Conversations)
    assert_conversations(found)


def test_conversations_are_parquet_too():
    table = pa.Table.from_pylist([json.loads(line) for line in LMSYS.splitlines()])
    raw = format_table(table.drop_columns(["openai_moderation"]), name="t.parquet")
    assert_conversations(one("lmsys-chat-1m", raw, "train-00000.parquet"))


def test_turns_share_the_blocks_of_their_conversation():
    talk = [{"role": role, "content": "x" * 80} for role in ("user", "assistant") * 2]
    rows = [{"model": "m", "conversation": talk}] * 2
    tokens = one("lmsys-chat-1m", "\n".join(map(json.dumps, rows)).encode()).tokens
    blocks = [
        set(tokens.prefix_hashes[start:stop].tolist())
        for start, stop in zip(tokens.prefix_offsets, tokens.prefix_offsets[1:], strict=False)
    ]
    assert [len(one) for one in blocks] == [1, 3, 1, 3]  # 20 and 60 tokens, 16 a block
    assert blocks[0] < blocks[1]
    assert not blocks[1] & blocks[3]


def test_a_conversation_without_a_reply_is_refused_or_skipped():
    bad = b"".join(
        json.dumps({"model": "m", "conversation": talk}).encode() + b"\n"
        for talk in ([], None, [{"role": "user", "content": "hi"}], [{"role": "assistant", "content": "hi"}])
    )
    with pytest.raises(InvalidInput, match=r"t\.jsonl:3: conversation has no reply"):
        one("lmsys-chat-1m", LMSYS + bad)
    found = one("lmsys-chat-1m", LMSYS + bad + b'{"model": "m", "conversation": "hi"}', skips_bad=True)
    assert_conversations(found)
    assert found.skipped.num_rows == 5
