"""Whose the requests of a trace are, in every kind of file."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.formats.trace import format_trace, parse_trace, read_trace
from vocabulary.trace import Tenants, Trace
from vocabulary.traffic import dealt_round_robin, part_of

TENANTS = Tenants(np.array([0, 1, 0], dtype=np.int32), ("shop", "blog, old"))
TRACE = Trace(np.array([0.0, 1.0, 2.0]), np.zeros(3, dtype=np.int32), ("a",), tenants=TENANTS)


def names(trace: Trace) -> list[str]:
    assert trace.tenants is not None
    return [trace.tenants.names[index] for index in trace.tenants.index]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.parquet"])
def test_tenants_come_back_as_they_were(name: str) -> None:
    assert names(parse_trace(format_trace(TRACE, name=name), name=name)) == ["shop", "blog, old", "shop"]


def test_a_trace_without_tenants_has_none() -> None:
    for text in (b"timestamp_s,model\n0,a\n", b"timestamp_s,model,tenant\n0,a,\n1,a,\n"):
        assert parse_trace(text, name="t.csv").tenants is None


def test_requests_may_be_nobodys() -> None:
    text = b'{"timestamp_s": 0, "model": "a"}\n{"timestamp_s": 1, "model": "a", "tenant": "x"}\n'
    assert names(parse_trace(text, name="t.jsonl")) == ["", "x"]


def test_tenants_go_with_their_requests() -> None:
    text = b"timestamp_s,model,tenant\n2,a,x\n-1,a,w\n1,b,y\n0,a,x\n"
    read = read_trace(text, name="t.csv", in_order=False, skips_bad=True).trace
    assert names(read) == ["x", "y", "x"]
    assert read.tenants is not None and set(read.tenants.names) == {"x", "y"}
    assert names(dealt_round_robin(read, ("m", "n"), by_request=True)) == ["x", "y", "x"]
    assert names(part_of(read, start_s=1.0, duration_s=5.0)) == ["y", "x"]
    assert names(read.aligned_to(("b", "a"))) == ["x", "y", "x"]


def test_the_column_may_be_a_number_under_another_name() -> None:
    text = b"t,model,client\n0,a,17\n1,a,3\n"
    columns = {"timestamp_s": "t", "tenant": "client"}
    assert names(parse_trace(text, name="t.csv", columns=columns)) == ["17", "3"]
