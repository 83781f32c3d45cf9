"""Token counts and prefix hashes of trace files: they come back exactly, and wrong ones are explained."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocabulary.errors import InvalidInput
from vocabulary.formats.trace import format_trace, parse_trace, read_trace
from vocabulary.formats.trace_table import format_table
from vocabulary.trace import Tokens, Trace

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def token_traces(draw):
    size = draw(st.integers(1, 12))
    counts = st.lists(st.integers(0, 2**31 - 1), min_size=size, max_size=size)
    prefixes = draw(st.lists(st.lists(INT64, max_size=4), min_size=size, max_size=size))
    offsets = np.cumsum([0] + [len(prefix) for prefix in prefixes], dtype=np.int64)
    hashes = np.array([one for prefix in prefixes for one in prefix], dtype=np.int64)
    has_prefixes = draw(st.booleans())
    tokens = Tokens(
        np.array(draw(counts), np.int32),
        np.array(draw(counts), np.int32),
        offsets if has_prefixes else None,
        hashes if has_prefixes else None,
        draw(st.sampled_from((16, 512))) if has_prefixes else 512,
    )
    return Trace(np.arange(size, dtype=float), np.zeros(size, np.int32), ("a",), tokens)


def assert_same_tokens(read: Tokens | None, written: Tokens, *, lists: bool = True) -> None:
    assert read is not None
    for name in ("input_tokens", "output_tokens"):
        column = getattr(read, name)
        assert column.dtype == np.int32
        assert column.tolist() == getattr(written, name).tolist()
    if written.prefix_offsets is None or not lists:
        assert read.prefix_offsets is None
        return
    assert read.prefix_offsets.tolist() == written.prefix_offsets.tolist()
    assert read.prefix_hashes.tolist() == written.prefix_hashes.tolist()
    assert read.prefix_hashes.dtype == read.prefix_offsets.dtype == np.int64
    assert read.block_tokens == written.block_tokens


@settings(deadline=None, max_examples=60)
@given(token_traces(), st.sampled_from(("t.jsonl", "t.parquet", "t.csv", "t.jsonl.gz")))
def test_tokens_come_back_as_they_were(trace, name):
    read = parse_trace(format_trace(trace, name=name), name=name)
    assert_same_tokens(read.tokens, trace.tokens, lists="csv" not in name)


def test_a_trace_without_both_counts_is_one_shot():
    assert parse_trace(b"timestamp_s,model\n0,a\n", name="t.csv").tokens is None
    assert parse_trace(b"timestamp_s,model,input_tokens\n0,a,5\n", name="t.csv").tokens is None
    empty = b"timestamp_s,model,input_tokens,output_tokens\n0,a,,\n"
    assert parse_trace(empty, name="t.csv").tokens is None


def test_an_empty_count_is_no_tokens():
    raw = b"timestamp_s,model,input_tokens,output_tokens\n0,a,,\n1,b,7,3\n"
    tokens = parse_trace(raw, name="t.csv").tokens
    assert tokens.input_tokens.tolist() == [0, 7]
    assert tokens.output_tokens.tolist() == [0, 3]


def test_counts_that_only_later_rows_have_are_found():
    raw = b'{"timestamp_s":0,"model":"a"}\n{"timestamp_s":1,"model":"b","input_tokens":7,"output_tokens":3}\n'
    assert parse_trace(raw, name="t.jsonl").tokens.input_tokens.tolist() == [0, 7]


@pytest.mark.parametrize("row", ["0,a,44.0,1e2", '0,"a", 44 ,100.'])
def test_whole_numbers_may_be_written_as_decimals(row):
    raw = f"timestamp_s,model,input_tokens,output_tokens\n{row}\n".encode()
    tokens = parse_trace(raw, name="t.csv").tokens
    assert (tokens.input_tokens.tolist(), tokens.output_tokens.tolist()) == ([44], [100])


WRONG = {
    "-3": "input_tokens is -3, which is negative",
    "1.5": "input_tokens is {}, not a whole number",
    "3000000000": "input_tokens is {}, not a whole number",
}


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_wrong_count_is_told_with_its_line(kind, value):
    name = f"t.{kind}"
    rows = {"timestamp_s": [0.0, 1.0], "model": ["a", "a"], "output_tokens": [1, 1]}
    table = pa.table({**rows, "input_tokens": pa.array([4.0, float(value)], pa.float64())})
    raw = format_table(table, name=name)
    if kind == "jsonl":
        raw = raw.replace(str(float(value)).encode(), value.encode())
    with pytest.raises(InvalidInput) as caught:
        parse_trace(raw, name=name)
    where = {"csv": "t.csv:3", "jsonl": "t.jsonl:2", "parquet": "t.parquet: row 2"}[kind]
    assert caught.value.where == where
    assert caught.value.message.startswith(WRONG[value].split("{}")[0])
    assert caught.value.message.endswith(WRONG[value].split("{}")[-1])


def test_hashes_are_of_blocks_of_one_size():
    rows = [{"timestamp_s": n, "model": "a", "input_tokens": 9, "output_tokens": 1, "prefix_hashes": [n]}
            for n in range(2)]  # fmt: skip
    for row, size in zip(rows, (16, 32), strict=True):
        row["prefix_block_tokens"] = size
    table = pa.Table.from_pylist(rows)
    with pytest.raises(InvalidInput, match="row 2: prefix_block_tokens is 32, after 16 in the first row"):
        parse_trace(format_table(table, name="t.parquet"), name="t.parquet")


def test_an_empty_hash_is_refused():
    raw = b'{"timestamp_s":0,"model":"a","input_tokens":7,"output_tokens":3,"prefix_hashes":[1,null]}\n'
    with pytest.raises(InvalidInput, match=r"t\.jsonl:1: prefix_hashes has an empty hash"):
        parse_trace(raw, name="t.jsonl")


def test_tokens_are_sorted_with_their_requests():
    raw = b"timestamp_s,model,input_tokens,output_tokens\n2,a,20,2\n1,b,10,1\n"
    trace = parse_trace(raw, name="t.csv", in_order=False)
    assert trace.tokens.input_tokens.tolist() == [10, 20]
    assert [trace.models[index] for index in trace.model_index] == ["b", "a"]


BAD_ROWS = b"""timestamp_s,model,input_tokens,output_tokens
0,a,1,1
soon,a,1,1
1,a,1,1,1

2,only-here,-1,1
3,b,1,x
4,,1,1
5,b,2,2
nan,b,1,1
\xff,b,1,1
"""


def test_bad_rows_are_skipped_and_counted():
    reading = read_trace(BAD_ROWS, name="t.csv", in_order=False, skips_bad=True)
    assert reading.trace.arrival_s.tolist() == [0, 5]
    assert reading.trace.models == ("a", "b")
    assert reading.trace.tokens.input_tokens.tolist() == [1, 2]
    assert reading.skipped.num_rows == 7
    assert reading.skipped.first == "t.csv:3: timestamp_s is 'soon', not a number"


def test_a_row_of_an_unknown_model_is_bad():
    raw = b"timestamp_s,model\n0,a\n1,c\n2,b\n"
    reading = read_trace(raw, name="t.csv", models=("b", "a"), skips_bad=True)
    assert reading.trace.models == ("b", "a")
    assert reading.trace.model_index.tolist() == [1, 0]
    assert reading.skipped.first == "t.csv:3: unknown model 'c'"


def test_a_trace_of_bad_rows_only_holds_no_requests():
    for raw in (b"timestamp_s,model\nx,a\n", b"timestamp_s,model\n-1,a\n"):
        with pytest.raises(InvalidInput, match="holds no requests: all 1 rows are wrong"):
            read_trace(raw, name="t.csv", skips_bad=True)
