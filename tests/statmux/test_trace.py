"""`statmux trace`: generate, inspect, convert, import."""

from __future__ import annotations

import json

import pytest

from tests.statmux.in_process import statmux
from tests.statmux.test_main import DEPLOYMENT
from vocabulary.formats import disk


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    (tmp_path / "foreign.csv").write_text("t,client\n4000,7\n1000,8\n2000,9\n3000,7\n")
    return tmp_path


def test_one_seed_gives_one_trace(folder):
    for out in ("a.csv.gz", "b.csv.gz"):
        words = ("--seed", "3", "--duration", "20s", "--out", out)
        done = statmux("trace", "gen", "deployment.yaml", *words, "-o", "json", folder=folder)
        assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert 500 < document["num_requests"] < 2000
    assert document["models"]["a"]["num_requests"] == document["num_requests"]
    assert (folder / "a.csv.gz").read_bytes() == (folder / "b.csv.gz").read_bytes()


def test_overrides_change_what_is_generated(folder):
    words = ("trace", "gen", "deployment.yaml", "--out", "t.csv", "-o", "json")
    few = statmux(*words, "--set", "models.a.workload.rate_rps=1", folder=folder)
    assert json.loads(few.stdout)["num_requests"] < 200
    none = statmux(*words, "--set", "models.a.workload.rate_rps=0", folder=folder)
    assert none.returncode == 2
    assert none.stderr.startswith("error: the trace would hold no requests\nhint: ")


def test_foreign_columns_are_imported_sorted_and_in_seconds(folder):
    words = ("--columns", "timestamp_s=t,model=client", "--unit", "ms", "--from-zero", "--out", "t.jsonl")
    done = statmux("trace", "import", "foreign.csv", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    trace = disk.load_trace(folder / "t.jsonl")
    assert trace.arrival_s.tolist() == [0, 1, 2, 3]
    assert [trace.models[index] for index in trace.model_index] == ["8", "9", "7", "7"]


def test_models_are_mapped_onto_ours(folder):
    columns = ("--columns", "timestamp_s=t,model=client")
    deal = ("--map", "round_robin", "--models", "a,b", "--out", "t.csv")
    assert statmux("trace", "import", "foreign.csv", *columns, *deal, folder=folder).returncode == 0
    trace = disk.load_trace(folder / "t.csv", models=("a", "b"))
    # Clients 7, 8, 9 in the order of the file become a, b, a.
    assert trace.model_index.tolist() == [1, 0, 0, 0]


def test_a_trace_without_models_is_dealt_out_by_request(folder):
    deal = ("--map", "round_robin", "--models", "a,b", "--out", "t.csv")
    done = statmux("trace", "import", "foreign.csv", "--columns", "timestamp_s=t", *deal, folder=folder)
    assert done.returncode == 0, done.stderr
    assert disk.load_trace(folder / "t.csv", models=("a", "b")).model_index.tolist() == [0, 1, 0, 1]
    done = statmux(
        "trace", "import", "foreign.csv", "--columns", "timestamp_s=t", "--out", "u.csv", folder=folder
    )
    assert done.returncode == 2
    assert "--model NAME" in done.stderr


def test_a_conversion_keeps_columns_and_says_what_it_leaves_out(folder):
    rows = [{"timestamp_s": n / 3, "model": "a", "input_tokens": n, "prefix_hashes": [n]} for n in range(3)]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert statmux("trace", "convert", "t.jsonl", "--out", "t.parquet", folder=folder).returncode == 0
    done = statmux("trace", "convert", "t.parquet", "--out", "t.csv", folder=folder)
    assert done.stderr == "warning: CSV holds no lists; left out: prefix_hashes\n"
    assert (folder / "t.csv").read_text() == (
        "timestamp_s,model,input_tokens\n0,a,0\n0.3333333333333333,a,1\n0.6666666666666666,a,2\n"
    )


def test_wrong_columns_are_explained(folder):
    done = statmux("trace", "inspect", "foreign.csv", folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "error: foreign.csv:1: there is no column timestamp_s\n"
        "hint: known here: t, client; `statmux trace import --columns timestamp_s=NAME` renames\n"
    )
    done = statmux("trace", "inspect", "foreign.csv", "--columns", "time=t", folder=folder)
    assert done.stderr.startswith("error: --columns: traces have no column time\n")
