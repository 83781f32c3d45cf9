"""`statmux trace inspect`, `fit` and `resample`: what they print and write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from simulator.traffic.chat import Chat, converse
from simulator.traffic.workload import generate
from statmux.inspecting import default_window_s, described, figures_of
from statmux.reporting.figures import csv_text
from tests.statmux.in_process import statmux
from vocabulary.deployment import Workload
from vocabulary.formats import disk
from vocabulary.trace import Trace

TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
TWO = generate({"calm": Workload(8.0, 1.0), "bursty": Workload(4.0, 4.0)}, duration_s=1000.0, seed=1)
TALK = converse({"a": 3.0, "b": 1.0}, chat=Chat(), duration_s=600.0, seed=1).trace


@pytest.fixture
def folder(tmp_path):
    disk.write_trace(tmp_path / "two.parquet", TWO)
    disk.write_trace(tmp_path / "talk.parquet", TALK)
    return tmp_path


def test_a_trace_is_described_by_rates_burstiness_popularity_and_lengths():
    two = described(TWO, window_s=10.0)
    assert two["models"]["bursty"]["dispersion"] > 3 * two["models"]["calm"]["dispersion"]
    assert two["models"]["calm"]["window_cv"] == pytest.approx(1.0, abs=0.1)
    assert two["popularity"]["exponent"] == pytest.approx(1.0, abs=0.1)  # 8 : 4 is 1 : 2 ** -1
    assert two["popularity"]["share_of_top"].keys() == {"1"}
    assert two["tokens"] is None
    talk = described(TALK, window_s=10.0)
    assert talk["tokens"]["output_tokens"]["mean"] == pytest.approx(214.5, rel=0.1)
    assert 0.2 < talk["tokens"]["repeated_blocks"] < 0.9


def test_windows_are_a_minute_or_what_a_short_trace_has_often_enough():
    assert default_window_s(Trace(np.array([0.0, 7200.0]), np.zeros(2, np.int32), ("a",))) == 60.0
    assert default_window_s(Trace(np.array([0.0, 200.0]), np.zeros(2, np.int32), ("a",))) == 10.0


def test_figures_show_arrivals_cv_and_lengths():
    assert list(figures_of(TWO, window_s=10.0)) == ["arrivals", "cv"]
    figures = figures_of(TALK, window_s=10.0)
    assert list(figures) == ["arrivals", "cv", "lengths"]
    rates = [
        line.split(",") for line in csv_text(figures["arrivals"]).splitlines() if line.startswith("all,")
    ]
    # Steps, the last of them twice.
    assert sum(float(y) for _, _, y in rates[:-1]) * 10 == pytest.approx(len(TALK), rel=0.03)
    shares = [float(line.split(",")[2]) for line in csv_text(figures["lengths"]).splitlines()[1:]]
    assert max(shares) == 1.0
    assert figures_of(TWO, window_s=5000.0) == {}


def test_inspect_prints_and_draws(folder):
    done = statmux("trace", "inspect", "talk.parquet", "--window", "20s", "--plot", "t.svg", folder=folder)
    assert done.returncode == 0, done.stderr
    for words in ("in windows of 20 s", "popularity: power law", "input tokens", "prefixes: "):
        assert words in done.stdout
    for word in ("arrivals", "cv", "lengths"):
        assert (folder / f"t-{word}.svg").read_text().startswith("<?xml")
        assert f"wrote t-{word}.svg" in done.stdout


def test_inspect_refuses_what_it_cannot_draw(folder):
    done = statmux("trace", "inspect", "two.parquet", "--plot", "t.pdf", folder=folder)
    assert done.returncode == 2
    assert "hint: let the name end in .svg, .png, .csv" in done.stderr
    done = statmux("trace", "inspect", "two.parquet", "--plot", "t.svg", "--window", "2h", folder=folder)
    assert done.returncode == 2
    assert "hint: take a shorter --window" in done.stderr


def test_a_fit_is_a_part_of_a_deployment(folder):
    done = statmux("trace", "fit", "two.parquet", folder=folder)
    assert done.returncode == 0, done.stderr
    models = yaml.safe_load(done.stdout)["models"]
    assert [one["name"] for one in models] == ["calm", "bursty"]
    assert models[0]["workload"]["rate_rps"] == pytest.approx(8.0, rel=0.05)
    assert models[1]["workload"]["cv"] == pytest.approx(4.0, rel=0.1)
    sources = "".join(f"- {{name: {one['name']}, source: 'random://llama-tiny', slo: {{latency_ms: 100}}, "
                      f"workload: {json.dumps(one['workload'])}}}\n" for one in models)  # fmt: skip
    (folder / "deployment.yaml").write_text("models:\n" + sources)
    done = statmux("trace", "gen", "deployment.yaml", "--out", "again.csv", folder=folder)
    assert done.returncode == 0, done.stderr


def test_a_fit_to_a_file_keeps_lengths_and_warns_of_what_is_no_gamma_process(folder):
    done = statmux("trace", "fit", "talk.parquet", "--out", "w.yaml", "-o", "json", folder=folder)
    assert done.returncode == 0, done.stderr
    workload = yaml.safe_load((folder / "w.yaml").read_text())["models"][0]["workload"]
    assert json.loads(done.stdout)["models"]["a"]["workload"] == workload
    assert workload["output_tokens"]["mean"] == pytest.approx(214.5, rel=0.1)
    # A thousand even gaps, an hour of nothing, and again.
    times_s = np.concatenate([np.arange(1000.0), 4600 + np.arange(1000.0)])
    disk.write_trace(folder / "pause.csv", Trace(times_s, np.zeros(2000, np.int32), ("a",)))
    done = statmux("trace", "fit", "pause.csv", folder=folder)
    assert done.stderr.startswith("warning: a: gaps have a CV of ")


def test_resampling_scales_rates_and_keeps_lengths(folder):
    words = ("--rate-scale", "2", "--window", "100s", "--seed", "3", "-o", "json")
    for out in ("one.parquet", "two-again.parquet"):
        done = statmux("trace", "resample", "talk.parquet", *words, "--out", out, folder=folder)
        assert done.returncode == 0, done.stderr
    assert (folder / "one.parquet").read_bytes() == (folder / "two-again.parquet").read_bytes()
    drawn = disk.load_trace(folder / "one.parquet")
    assert json.loads(done.stdout)["num_requests"] == len(drawn)
    assert len(drawn) == pytest.approx(2 * len(TALK), rel=0.1)
    assert drawn.tokens is not None
    assert TALK.tokens is not None
    assert drawn.tokens.input_tokens.mean() == pytest.approx(TALK.tokens.input_tokens.mean(), rel=0.1)


def test_resampling_cuts_maps_and_scales_time(folder):
    (folder / "map.csv").write_text("calm,one\nbursty,one\n")
    words = (
        "--start",
        "100s",
        "--duration",
        "500s",
        "--map",
        "map.csv",
        "--time-scale",
        "2",
        "--out",
        "t.csv",
    )
    done = statmux("trace", "resample", "two.parquet", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    drawn = disk.load_trace(folder / "t.csv")
    inside = TWO.arrival_s[(TWO.arrival_s >= 100) & (TWO.arrival_s < 600)]
    assert drawn.models == ("one",)
    np.testing.assert_array_equal(drawn.arrival_s, inside / 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rate-scale", "-1"), "error: --rate-scale: "),
        (("--time-scale", "2", "--cv-scale", "2"), "error: --time-scale: "),
        (("--map", "round_robin"), "error: --map: "),
        (("--map", "nothing.csv"), "error: --map: "),
        (("--start", "2h"), "error: --start: "),
    ],
)
def test_wrong_flags_are_refused_with_a_remedy(folder, words, message):
    done = statmux("trace", "resample", "two.parquet", *words, "--out", "t.csv", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert "\nhint: " in done.stderr


def test_the_real_code_trace_is_burstier_than_its_fit(folder):
    path = TRACES / "azure_llm_2023" / "code.parquet"
    if not path.exists():
        pytest.skip(f"no {path}: the Azure LLM trace of 2023 is not here")
    words = ("--columns", "timestamp_s=t", "--model", "code", "--out", "code.parquet")
    assert statmux("trace", "import", str(path), *words, folder=folder).returncode == 0
    done = statmux("trace", "inspect", "code.parquet", "-o", "json", folder=folder)
    assert json.loads(done.stdout)["dispersion"] > 50
    assert "code: gaps have a CV of" in statmux("trace", "fit", "code.parquet", folder=folder).stderr
