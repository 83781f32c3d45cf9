"""The compact copies of published traces, where they are: read whole, with the figures of their notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vocabulary.formats import disk
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import TraceFile

TRACES = Path(__file__).parents[4] / "shared" / "data" / "traces"
pytestmark = pytest.mark.skipif(not TRACES.is_dir(), reason=f"{TRACES} is not there")


def file(name: str) -> TraceFile:
    return TraceFile(name, (TRACES / name).read_bytes())


@pytest.mark.parametrize(("part", "num_requests"), [("code", 5353), ("conv", 9739)])
def test_azure_llm_2023_has_tokens(part, num_requests):
    path = TRACES / "azure_llm_2023" / f"{part}.parquet"
    trace = disk.load_trace(path, columns={"timestamp_s": "t"}, only_model=part)
    assert len(trace) == num_requests
    assert trace.tokens.input_tokens.min() > 0
    assert trace.tokens.prefix_hashes is None


def test_mooncake_has_prefixes():
    path = TRACES / "mooncake_fast25" / "conversation_trace.parquet"
    columns = {"timestamp_s": "t", "prefix_hashes": "hash_ids"}
    trace = disk.load_trace(path, columns=columns, only_model="m")
    assert len(trace) == 5606
    assert trace.tokens.prefix_hashes[:14].tolist() == list(range(14))
    blocks = np.diff(trace.tokens.prefix_offsets)
    assert np.all(blocks == -(-trace.tokens.input_tokens // 512))


def test_arena_clients_are_models():
    path = TRACES / "lmsys_arena_vtc" / "arena_27_models.parquet"
    trace = disk.load_trace(path, columns={"timestamp_s": "t", "model": "client"}, in_order=False)
    assert len(trace.models) == 22  # of 27, in this part of the data
    assert len(trace.tokens.output_tokens) == len(trace) == 713


def test_functions_of_2019_are_counted():
    found = import_files(
        "azure-functions-2019", [file("maf1_invitro_1000fn_day/invocations_per_minute_long.parquet")]
    )
    assert len(found.num_requests) == 123_657
    assert found.num_requests.sum() == 6_056_213


def test_functions_of_2021_are_exact():
    found = import_files("azure-functions-2021", [file("maf2_head200/Azure2021_200.csv")])
    assert len(found.trace) == 199
    assert found.trace.arrival_s[0] == pytest.approx(0.0014909, abs=1e-7)


def test_clients_of_servegen_have_whole_numbers_of_requests():
    found = import_files("servegen", [file("servegen/client_rate_cv_windows.parquet")])
    assert len(found.sources) == 347
    assert found.length_s[0] == 600.0
    assert len(found.start_s) == 125_279
