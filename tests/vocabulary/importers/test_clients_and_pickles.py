"""ServeGen's clients, and the pickles of AlpaServe's artifact."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pyarrow as pa
import pytest

from tests.vocabulary.importers.files import ALPASERVE_COUNTS, PUBLISHED, SERVEGEN_DATASET, SERVEGEN_TRACE
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import Arrivals, TraceFile, Windows
from vocabulary.formats.trace_table import format_table


def test_a_client_has_windows_of_its_own_gaps():
    found = import_files("servegen", PUBLISHED["servegen"])
    assert isinstance(found, Windows)
    assert found.sources == ("m-large/chunk-3",)
    assert found.start_s.tolist() == [0, 1200]
    assert found.length_s.tolist() == [600, 600]
    assert found.num_requests.tolist() == [6, 3]
    assert found.gap_shape.tolist() == [0.5, 0.6]
    assert found.is_weibull.tolist() == [False, True]


def test_a_client_has_lengths_where_both_are_known():
    inputs, outputs = import_files("servegen", PUBLISHED["servegen"]).lengths
    assert (inputs.start_s, inputs.field, outputs.field) == (0.0, "input_tokens", "output_tokens")
    assert inputs.values.tolist() == [10, 20]
    assert inputs.weights.tolist() == [0.25, 0.75]


def test_clients_in_one_table():
    same = {"model": "m", "rate": 0.01, "cv": 1.0, "pattern": "Gamma", "p1": 1.0, "p2": 1.0}
    rows = [{**same, "client": client, "t": t} for client, t in ((1, 0), (0, 600), (1, 1800))]
    raw = format_table(pa.Table.from_pylist(rows), name="t.parquet")
    found = import_files("servegen", [TraceFile("t.parquet", raw)])
    assert found.sources == ("m/1", "m/0")
    assert found.source_index.tolist() == [0, 1, 0]
    assert found.length_s.tolist() == [600] * 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"0,0.01,1.5,Zipf,0.5,1", "chunk-3-trace.csv:2: pattern is 'Zipf'"),
        (b"0,-1,1.5,Gamma,0.5,1", "chunk-3-trace.csv:2: rate is -1.0"),
        (b"0,1,1.5,Gamma,0,1", "chunk-3-trace.csv:2: p1 is 0.0"),
        (b"0,1,1.5,Gamma,x,1", "chunk-3-trace.csv:2: p1 is 'x', not a number"),
        (b"0,1,1.5", "chunk-3-trace.csv:2: 3 columns, where the header has 6"),
    ],
)
def test_a_wrong_window_is_told_or_skipped(row, message):
    lines = SERVEGEN_TRACE.split(b"\n")
    file = TraceFile("m-large/chunk-3-trace.csv", b"\n".join([lines[0], row, *lines[1:]]))
    with pytest.raises(InvalidInput) as caught:
        import_files("servegen", [file])
    assert str(caught.value).endswith(message)
    assert import_files("servegen", [file], skips_bad=True).skipped.num_rows == 1


@pytest.mark.parametrize(
    "dataset",
    [
        b"oh",
        b"[]",
        b'{"x": {}}',
        SERVEGEN_DATASET.replace(b"0.75", b"-1"),
        SERVEGEN_DATASET.replace(b"10:", b"a:"),
    ],
)
def test_a_wrong_dataset_is_told(dataset):
    files = (PUBLISHED["servegen"][0], TraceFile("m-large/chunk-3-dataset.json", dataset))
    with pytest.raises(InvalidInput, match=r"chunk-3-dataset\.json"):
        import_files("servegen", files)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickled_counts_are_minutes(protocol):
    raw = pickle.dumps(pickle.loads(ALPASERVE_COUNTS), protocol)
    found = import_files("alpaserve", [TraceFile("azure_v1.pkl", raw)])
    assert isinstance(found, Windows)
    assert found.sources == ("f1", "f2")
    assert found.counts(60.0).tolist() == [[0, 3, 1], [2, 0, 0]]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickled_times_are_arrivals(protocol):
    raw = pickle.dumps({"f1": np.array([0.5, 7.0]), "idle": np.zeros(0), "f2": np.array([0.0])}, protocol)
    found = import_files("alpaserve", [TraceFile("azure_v2.pkl", raw)])
    assert isinstance(found, Arrivals)
    assert found.trace.arrival_s.tolist() == [0.0, 0.5, 7.0]
    assert found.trace.models == ("f1", "f2")
    assert found.trace.model_index.tolist() == [1, 0, 0]


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("value", [Harmful(), {"f": Harmful()}, {"f": [1]}, [1], {1: np.zeros(1)}, 3])
def test_another_pickle_is_refused_and_not_run(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="not a pickle of AlpaServe's"):
        import_files("alpaserve", [TraceFile("t.pkl", pickle.dumps(value))])
    assert not list(tmp_path.iterdir())


def test_a_function_with_a_negative_time_is_refused_or_skipped():
    file = TraceFile("t.pkl", pickle.dumps({"f1": np.array([0.5]), "f2": np.array([-1.0])}))
    with pytest.raises(InvalidInput, match="function f2 has a time or a count below 0"):
        import_files("alpaserve", [file])
    found = import_files("alpaserve", [file], skips_bad=True)
    assert (found.trace.models, found.skipped.num_rows) == (("f1",), 1)
