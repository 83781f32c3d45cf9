"""`statmux trace gen`: what flags say becomes processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.traffic.gamma_fit import fit_shape
from statmux.generating import HEEDED, Shaping, drawn, rates_of
from statmux.verbs.trace_gen_options import ProcessName
from tests.statmux.in_process import statmux
from tests.statmux.test_main import DEPLOYMENT
from vocabulary.deployment import Workload
from vocabulary.errors import InvalidInput
from vocabulary.formats import disk

WORKLOADS = {"a": Workload(6.0), "b": Workload(2.0)}


def test_models_are_named_or_counted_and_share_a_rate():
    assert rates_of("a,b", "9,3", 0.5) == {"a": 9.0, "b": 3.0}
    counted = rates_of("4", "10", 0.5)
    assert list(counted) == ["m0", "m1", "m2", "m3"]
    assert sum(counted.values()) == pytest.approx(10)
    assert counted["m0"] / counted["m3"] == pytest.approx(2)
    assert set(rates_of("4", "10", 0.0).values()) == {2.5}


@pytest.mark.parametrize(
    ("models", "rate", "flag"), [("a,a", "1", "--models"), ("", "1", "--models"), ("2", "1,2,3", "--rate"),
                                 ("2", "x", "--rate"), ("2", "-1", "--rate")]
)  # fmt: skip
def test_wrong_models_and_rates_are_refused_with_a_remedy(models, rate, flag):
    with pytest.raises(InvalidInput) as caught:
        rates_of(models, rate, 0.5)
    assert caught.value.where == flag
    assert caught.value.hint


@pytest.mark.parametrize("name", ProcessName)
def test_every_process_has_the_rates_asked_for(name):
    # The shares of the hours add up within whole periods; on-off clients and states spread the most: 20 %.
    shaping = Shaping(period_s=100.0) if name is ProcessName.DIURNAL else Shaping()
    trace = drawn(WORKLOADS, name, shaping, duration_s=5000.0, seed=1)
    assert trace.models == ("a", "b")
    np.testing.assert_allclose(trace.counts() / 5000, [6.0, 2.0], rtol=0.2)
    assert (trace.tokens is not None) == (name is ProcessName.CHAT)


def test_poisson_has_no_burstiness_to_ask_for():
    trace = drawn({"a": Workload(6.0, 4.0)}, ProcessName.POISSON, Shaping(), duration_s=5000.0, seed=1)
    shape = fit_shape(np.diff(trace.arrival_s))
    assert shape == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ProcessName)
def test_flags_that_a_process_does_not_heed_are_refused(name):
    values = {"cv": 2.0, "states": "1:1s,2:1s", "clients": 2, "hours": "1,2", "turns": 3.0}
    for field, value in values.items():
        if field in HEEDED[name]:
            continue
        with pytest.raises(InvalidInput) as caught:
            drawn(WORKLOADS, name, Shaping(**{field: value}), duration_s=10.0, seed=1)
        assert caught.value.where == f"--{field}"
        assert "--process" in caught.value.hint


@pytest.mark.parametrize("states", ["1:60s", "1:60", "x:1s,2:1s", "0:1s,0:1s", "1:0s,1:0s", "", "1:1s,,2:1s"])
def test_states_that_are_none_are_refused(states):
    with pytest.raises(InvalidInput) as caught:
        drawn(WORKLOADS, ProcessName.MMPP, Shaping(states=states or ","), duration_s=10.0, seed=1)
    assert caught.value.where == "--states"


def test_hours_and_a_wave_exclude_each_other():
    shaping = Shaping(hours="1,2", amplitude=0.5)
    with pytest.raises(InvalidInput):
        drawn(WORKLOADS, ProcessName.DIURNAL, shaping, duration_s=10.0, seed=1)
    with pytest.raises(InvalidInput):
        drawn(WORKLOADS, ProcessName.DIURNAL, Shaping(hours="0,0"), duration_s=10.0, seed=1)


def test_chats_come_with_tokens_and_prefixes_and_the_same_again(tmp_path):
    words = ("trace", "gen", "--process", "chat", "--models", "a,b", "--rate", "5", "--duration", "60s")
    for out in ("one.parquet", "two.parquet"):
        done = statmux(*words, "--seed", "4", "--out", out, "-o", "json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert json.loads(done.stdout)["process"] == "chat"
    tokens = disk.load_trace(tmp_path / "one.parquet").tokens
    assert tokens is not None
    assert tokens.prefix_hashes is not None
    assert tokens.block_tokens == 16
    done = statmux(*words, "--out", "t.csv", folder=tmp_path)
    assert "left out: prefix_hashes" in done.stderr


def test_a_deployment_or_flags_but_not_both_and_not_neither(tmp_path):
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    neither = statmux("trace", "gen", "--out", "t.csv", folder=tmp_path)
    assert neither.returncode == 2
    assert "hint: name a deployment, or write --models" in neither.stderr
    both = statmux("trace", "gen", "deployment.yaml", "--rate", "3", "--out", "t.csv", folder=tmp_path)
    assert both.returncode == 2
    assert both.stderr.startswith("error: --rate: the deployment says models and rates\nhint: ")
    words = ("--process", "onoff", "--clients", "3", "--on", "5s", "--off", "1s", "--duration", "20s")
    done = statmux("trace", "gen", "deployment.yaml", *words, "--out", "t.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_chats_of_a_deployment_give_output_tokens_to_models_that_generate_only(tmp_path):
    example = Path(__file__).parents[2] / "deploy" / "examples" / "generate" / "deployment.yaml"
    path = tmp_path / "t.parquet"
    words = ("trace", "gen", str(example), "--process", "chat", "--duration", "60s", "--out", str(path))
    assert "search: no output tokens" in statmux(*words, folder=tmp_path).stderr
    trace = disk.load_trace(path)
    for index, name in enumerate(trace.models):
        outputs = trace.tokens.output_tokens[trace.model_index == index]
        assert (outputs.min() > 0) == (name == "chat")
        assert (outputs.max() > 0) == (name == "chat")
