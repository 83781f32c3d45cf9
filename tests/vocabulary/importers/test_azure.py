"""Azure's traces: LLM inference 2023 and 2024, functions 2019 and 2021."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.vocabulary.importers.files import (
    AZURE_2023,
    AZURE_2024,
    FUNCTIONS_2019,
    FUNCTIONS_2021,
    functions_2019,
)
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import Arrivals, TraceFile, Windows
from vocabulary.formats.trace_table import format_table


def one(name: str, raw: bytes, **settings):
    return import_files(name, [TraceFile("t.csv", raw)], **settings)


def test_llm_requests_are_seconds_from_the_first_to_the_last_decimal():
    trace = one("azure-llm-2023", AZURE_2023).trace
    assert trace.arrival_s.tolist() == [0.0, 4.314579, 4.5418771]
    assert trace.models == ()
    assert trace.tokens.input_tokens.tolist() == [374, 396, 879]
    assert trace.tokens.output_tokens.tolist() == [44, 109, 55]


def test_llm_requests_of_2024_have_a_zone():
    trace = one("azure-llm-2024", AZURE_2024).trace
    assert trace.arrival_s.tolist() == [0.0, 0.007405]
    elsewhere = AZURE_2024.replace(b"00:00:00.017335+00:00", b"02:00:00.017335+02:00")
    assert one("azure-llm-2024", elsewhere).trace.arrival_s.tolist() == [0.0, 0.007405]


def test_llm_requests_out_of_order_are_sorted():
    lines = AZURE_2023.splitlines(keepends=True)
    trace = one("azure-llm-2023", b"".join([lines[0], lines[3], lines[1], lines[2]])).trace
    assert trace.arrival_s.tolist() == [0.0, 4.314579, 4.5418771]
    assert trace.tokens.input_tokens.tolist() == [374, 396, 879]


def test_a_year_too_early_is_told():
    with pytest.raises(InvalidInput, match=r"t\.csv:2: TIMESTAMP is .*, not a date and time"):
        one("azure-llm-2024", AZURE_2023)


def test_bad_llm_rows_are_told_or_skipped():
    bad = AZURE_2023.replace(b"396,109", b"-1,109") + b"2023-02-31 00:00:00,1,1\n2023-11-16 19:00:00,1\n"
    with pytest.raises(InvalidInput, match=r"t\.csv:5: TIMESTAMP is '2023-02-31 00:00:00'"):
        one("azure-llm-2023", bad)
    found = one("azure-llm-2023", bad, skips_bad=True)
    assert found.trace.arrival_s.tolist() == [0.0, 4.5418771]
    assert found.skipped.num_rows == 3
    assert found.skipped.first == "t.csv:3: ContextTokens is -1, which is negative"


def test_functions_of_2019_are_counts_of_minutes_without_idle_functions():
    found = one("azure-functions-2019", FUNCTIONS_2019)
    assert isinstance(found, Windows)
    assert found.sources == ("f1", "f2")
    assert found.source_index.tolist() == [0, 0, 1]
    assert found.start_s.tolist() == [0, 1439 * 60, 120]
    assert found.num_requests.tolist() == [2, 1, 5]
    assert found.counts(60.0)[:, :3].tolist() == [[2, 0, 0], [0, 0, 5]]


def test_days_of_2019_follow_each_other():
    second = functions_2019({"o/b/f2": {1: 1}, "o/c/f3": {2: 7}})
    found = import_files(
        "azure-functions-2019", [TraceFile("d01.csv", FUNCTIONS_2019), TraceFile("d02.csv", second)]
    )
    assert found.sources == ("f1", "f2", "f3")
    assert found.start_s.tolist()[-2:] == [86400, 86460]
    assert found.source_index.tolist()[-2:] == [1, 2]


def test_functions_of_2019_in_a_table_of_minutes():
    table = pa.table({"func": [4, 9, 4], "minute": [0, 1, 2], "count": [3, 0, 1]})
    found = import_files(
        "azure-functions-2019", [TraceFile("t.parquet", format_table(table, name="t.parquet"))]
    )
    assert found.sources == ("4",)
    assert found.start_s.tolist() == [0, 120]
    assert found.num_requests.tolist() == [3, 1]


def test_a_negative_count_of_2019_is_told_with_its_minute():
    raw = functions_2019({"o/a/f1": {1: 2}, "o/a/f2": {7: -4}})
    with pytest.raises(InvalidInput, match=r"t\.csv:3: 7 is -4, which is negative"):
        one("azure-functions-2019", raw)
    found = one("azure-functions-2019", raw, skips_bad=True)
    assert (found.sources, found.skipped.num_rows) == (("f1",), 1)


def test_invocations_of_2021_arrive_at_their_end_less_their_duration():
    found = one("azure-functions-2021", FUNCTIONS_2021)
    assert isinstance(found, Arrivals)
    assert found.trace.arrival_s.tolist() == [0.5, 1.5, 2.0, 10.0]
    # f1 is the name of two functions, each unique within its application.
    assert found.trace.models == ("app1/f1", "app2/f1", "f2")
    assert found.trace.model_index.tolist() == [2, 0, 1, 0]


def test_an_invocation_before_the_trace_begins_is_refused_or_skipped():
    raw = FUNCTIONS_2021 + b"app1,f2,1.0,3.0\napp1,f2,5,-1\n"
    with pytest.raises(InvalidInput, match=r"t\.csv:7: duration is -1\.0, which is negative"):
        one("azure-functions-2021", raw)
    found = one("azure-functions-2021", raw, skips_bad=True)
    assert len(found.trace) == 4
    assert found.skipped.num_rows == 2
    assert found.skipped.first == "t.csv:6: invoked at -2.000000 s, before the trace begins"
