"""Trace files of every kind: the same requests come back, to the last bit; outcome files too."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vocabulary.errors import InvalidInput
from vocabulary.formats import disk
from vocabulary.formats.outcomes import format_outcomes, parse_outcomes
from vocabulary.formats.trace import format_trace, parse_table, parse_trace
from vocabulary.formats.trace_table import COLUMNS, format_table
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace

KINDS = ("t.csv", "t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet")
SHARED = Path(__file__).parents[3] / "shared" / "data"
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)


@st.composite
def traces(draw, min_size: int = 1):
    arrivals = sorted(draw(st.lists(st.floats(0, 1e12), min_size=min_size, max_size=20)))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    index = [draw(st.integers(0, len(names) - 1)) for _ in arrivals]
    # Names in the order of their first arrival, as a reader without a deployment gives them.
    used = list(dict.fromkeys(index))
    position = {old: new for new, old in enumerate(used)}
    return Trace(
        np.array(arrivals, dtype=float),
        np.array([position[one] for one in index], dtype=np.int32),
        tuple(names[one] for one in used),
    )


def assert_equal(read: Trace, trace: Trace) -> None:
    assert read.models == trace.models
    assert read.arrival_s.tobytes() == trace.arrival_s.tobytes()
    assert read.model_index.tolist() == trace.model_index.tolist()


@settings(deadline=None)
@given(traces(), st.sampled_from(KINDS))
@example(Trace(np.array([0.0, 1e-27, 1 / 3, 5e-324]).cumsum(), np.zeros(4, np.int32), ("a,b",)), "t.csv")
def test_a_trace_comes_back_as_it_was(trace, name):
    assert_equal(parse_trace(format_trace(trace, name=name), name=name), trace)


def test_the_same_trace_gives_the_same_bytes():
    trace = Trace(np.array([0.5, 1.0]), np.array([0, 1], np.int32), ("a", "b"))
    assert format_trace(trace, name="t.csv") == b"timestamp_s,model\n0.5,a\n1,b\n"
    assert format_trace(trace, name="t.csv.gz") == format_trace(trace, name="t.csv.gz")


def test_times_may_start_anywhere():
    trace = parse_trace(b"timestamp_s,model\n1e6,a\n1000001,a\n", name="t.csv")
    assert trace.arrival_s.tolist() == [1e6, 1e6 + 1]


def test_models_are_indexed_as_the_deployment_has_them():
    trace = parse_trace(b"model,timestamp_s\nb,0\na,1\n", name="t.csv", models=("a", "b", "c"))
    assert trace.models == ("a", "b", "c")
    assert trace.model_index.tolist() == [1, 0]


def test_spreadsheets_and_windows_are_forgiven():
    raw = b'\xef\xbb\xbf timestamp_s , model,note\r\n"0.5","a",x\r\n\r\n1,"b,c",\r\n'
    trace = parse_trace(raw, name="t.csv")
    assert trace.arrival_s.tolist() == [0.5, 1.0]
    assert trace.models == ("a", "b,c")


def test_files_packed_in_parts_are_read_whole():
    raw = gzip.compress(b"timestamp_s,model\n0,a\n") + gzip.compress(b"1,a\n")
    assert len(parse_trace(raw, name="t.csv.gz")) == 2


def test_other_columns_are_tolerated_and_kept_by_a_conversion():
    rows = {name: [None] for name in COLUMNS} | {"timestamp_s": [0.0], "model": ["a"], "priority": [3]}
    rows["prefix_hashes"] = [[1, 2]]
    table = pa.table({name: pa.array(values, COLUMNS[name]) for name, values in rows.items()})
    for name in ("t.parquet", "t.jsonl"):
        raw = format_table(table, name=name)
        assert len(parse_trace(raw, name=name)) == 1
        read = parse_table(raw, name=name)
        assert read.to_pylist()[0]["priority"] == 3
        assert read.to_pylist()[0]["prefix_hashes"] == [1, 2]
    assert b"prefix_hashes" not in format_table(table, name="t.csv")


def test_columns_of_other_names_and_one_model():
    raw = b"t,client\n0,7\n2,8\n1,7\n"
    with pytest.raises(InvalidInput, match="goes back in time"):
        parse_trace(raw, name="t.csv", columns={"timestamp_s": "t", "model": "client"})
    trace = parse_trace(raw, name="t.csv", columns={"timestamp_s": "t", "model": "client"}, in_order=False)
    assert trace.arrival_s.tolist() == [0, 1, 2]
    assert [trace.models[one] for one in trace.model_index] == ["7", "7", "8"]
    single = parse_trace(raw, name="t.csv", columns={"timestamp_s": "t"}, only_model="m", in_order=False)
    assert single.models == ("m",)


def test_parquet_errors_name_the_row():
    table = pa.table({"timestamp_s": [0.0, None], "model": ["a", "a"]})
    with pytest.raises(InvalidInput, match=r"t\.parquet: row 2: timestamp_s is empty"):
        parse_trace(format_table(table, name="t.parquet"), name="t.parquet")


def test_parquet_of_dates_is_refused_and_of_integers_read():
    dates = pa.table({"timestamp_s": pa.array([0], pa.timestamp("us")), "model": ["a"]})
    with pytest.raises(InvalidInput, match="cannot be read"):
        parse_trace(format_table(dates, name="t.parquet"), name="t.parquet")
    whole = pa.table({"timestamp_s": [1, 2], "model": [5, 6]})
    assert parse_trace(format_table(whole, name="t.parquet"), name="t.parquet").models == ("5", "6")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(traces(), st.sampled_from(("t.csv", "t.jsonl", "t.parquet", "t.csv.gz")), st.data())
def test_a_damaged_trace_is_explained_or_harmless(trace, name, data):
    raw = bytearray(format_trace(trace, name=name))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_trace(bytes(raw), name=name)
    except InvalidInput as error:
        assert error.where and error.hint


PLACEMENT = Placement(
    (
        Group('g,"0', ("n-0:0",), ParallelConfig(), ("a",)),
        Group("g1", ("n-0:1",), ParallelConfig(), ("a", "b")),
    )
)


def outcomes() -> Outcomes:
    fates = (Fate.SERVED, Fate.SERVED, Fate.SLO_INFEASIBLE, Fate.DEADLINE_EXCEEDED, Fate.NOT_PLACED)
    return Outcomes(
        Trace(np.array([0.0, 0.1, 0.1, 1 / 3, 4.0]), np.array([0, 0, 1, 1, 2], np.int32), ("a", "b", "c")),
        np.array([0, 1, NO_GROUP, 1, NO_GROUP], np.int32),
        np.array([0.1 + 0.2, 9.0, 0.0, 0.0, 0.0]),
        np.array([FATE_CODE[fate] for fate in fates], np.int8),
        np.array([True, False, False, False, False]),
    )


def test_outcomes_leave_empty_what_does_not_apply():
    assert format_outcomes(outcomes(), placement=PLACEMENT) == (
        "request_id,model,arrival_s,group,good,finish_s,reason\n"
        '0,a,0.0,"g,""0",1,0.30000000000000004,\n'
        "1,a,0.1,g1,0,9.0,late\n"
        "2,b,0.1,,0,,slo_infeasible\n"
        "3,b,0.3333333333333333,g1,0,,deadline_exceeded\n"
        "4,c,4.0,,0,,not_placed\n"
    )


def test_outcomes_come_back_as_they_were():
    written = outcomes()
    read = parse_outcomes(format_outcomes(written, placement=PLACEMENT), name="o.csv", placement=PLACEMENT)
    assert_equal(read.trace, written.trace)
    for column in ("group_index", "finish_s", "fate", "good"):
        assert getattr(read, column).tolist() == getattr(written, column).tolist(), column


def test_a_wrong_outcome_file_names_the_line():
    text = format_outcomes(outcomes(), placement=PLACEMENT)
    with pytest.raises(InvalidInput, match=r"o\.csv:3: .*'g9'"):
        parse_outcomes(text.replace("0.1,g1", "0.1,g9"), name="o.csv", placement=PLACEMENT)
    with pytest.raises(InvalidInput, match="columns are not"):
        parse_outcomes("good,finish_s\n", name="o.csv", placement=PLACEMENT)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
def test_real_traces_are_read():
    code = disk.load_trace(
        SHARED / "traces/azure_llm_2023/code.parquet", columns={"timestamp_s": "t"}, only_model="code"
    )
    assert len(code) == 5353
    arena = disk.load_trace(
        SHARED / "traces/lmsys_arena_vtc/arena_27_models.parquet",
        columns={"timestamp_s": "t", "model": "client"},
        in_order=False,
    )
    assert len(arena) == 713


def test_writing_makes_the_folder_and_leaves_no_part_behind(tmp_path):
    target = tmp_path / "new" / "t.csv"
    trace = Trace(np.array([0.0]), np.array([0], np.int32), ("a",))
    disk.write_trace(target, trace)
    disk.write_trace(target, trace)
    assert [path.name for path in target.parent.iterdir()] == ["t.csv"]
