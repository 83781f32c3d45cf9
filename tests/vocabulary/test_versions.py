"""Versions of a model: as the file says them, and which of them a call goes to."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.deployment import Deployment
from vocabulary.elasticity import Autoscaling, OnDemand, Replanning
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment
from vocabulary.formats.disk import load_traffic
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry
from vocabulary.trace import Trace
from vocabulary.versions import Split, own_names, split_trace

PROFILE = Profile("m", "v100", {ParallelConfig(): ProfileEntry(ParallelConfig(), (2**30,), {}, {1: (0.1,)})})
CHAT = """models:
- name: plain
  profile: p
- name: chat
  aliases: [talk]
  slo: {latency_ms: 500}
  workload: {rate_rps: 20}
  versions:
    v1: {profile: one}
    v2: {profile: two, slo: {latency_ms: 900}}
  split: {v1: 95, v2: 5}
"""


def parse(text: str) -> Deployment:
    return parse_deployment(text, name="d.yaml", read_profile=lambda _: PROFILE, environment={})


def wrong(text: str) -> str:
    with pytest.raises(InvalidInput) as told:
        parse(text)
    return str(told.value)


def test_every_version_is_a_model_of_the_fleet_with_its_part_of_the_traffic():
    deployment = parse(CHAT)
    assert deployment.model_names == ("plain", "chat@v1", "chat@v2")
    first, second = deployment.models[1:]
    assert (first.profile_path, second.profile_path) == ("one", "two")
    assert (first.slo.latency_s, second.slo.latency_s) == (0.5, 0.9)
    assert [model.workload.rate_rps for model in (first, second)] == pytest.approx([19.0, 1.0])
    assert first.aliases == ()
    assert first.min_replicas == second.min_replicas == 1
    assert deployment.splits == (Split("chat", (("v1", 95.0), ("v2", 5.0)), ("talk",)),)


def test_without_a_split_all_goes_to_the_first_version_and_a_dark_one_is_loaded_all_the_same():
    deployment = parse(CHAT.replace("  split: {v1: 95, v2: 5}\n", ""))
    assert deployment.splits[0].shares == (("v1", 1.0), ("v2", 0.0))
    assert deployment.models[2].min_replicas == 1
    assert {deployment.splits[0].version_of(str(number)) for number in range(1000)} == {"v1"}


def test_what_is_wrong_with_versions_is_told_where_the_file_says_it():
    assert wrong("models: [{name: a@v1, profile: p}]").startswith("d.yaml:1: models[0].name: name 'a@v1' has")
    assert wrong("models: [{name: a, profile: p, split: {v1: 1}}]").endswith("a has no versions to split")
    bad = CHAT.replace("v2: 5}", "v3: 5}")
    assert wrong(bad) == "d.yaml:11: models[1].split.v3: chat has no version v3"
    bad = CHAT.replace("profile: one", "source: ftp://x")
    assert wrong(bad).startswith("d.yaml:9: models[1].versions.v1.source: unknown scheme ftp://")
    bad = CHAT.replace("{profile: one}", "{}")
    assert wrong(bad).startswith("d.yaml:4: models[1]: model chat@v1 has neither profile nor source")
    assert "no version has a weight" in wrong(CHAT.replace("95, v2: 5", "0, v2: 0"))
    assert "is taken by models[0]" in wrong(CHAT.replace("[talk]", "[plain]"))


def test_calls_are_split_by_weight_and_a_key_keeps_its_version():
    split = Split("chat", (("v1", 95.0), ("v2", 5.0)))
    chosen = [split.version_of(f"request-{number}") for number in range(20_000)]
    # A binomial share of 5 % of 20,000 lies within four standard deviations, 0.6 points.
    assert chosen.count("v2") / len(chosen) == pytest.approx(0.05, abs=0.006)
    assert chosen == [split.version_of(f"request-{number}") for number in range(20_000)]


def test_when_weights_change_only_as_many_calls_move_as_must():
    before, after = Split("chat", (("v1", 95.0), ("v2", 5.0))), Split("chat", (("v1", 80.0), ("v2", 20.0)))
    keys = [str(number) for number in range(5000)]
    moved = {(before.version_of(key), after.version_of(key)) for key in keys}
    assert ("v2", "v1") not in moved


def test_a_version_without_weight_is_never_chosen_wherever_it_stands():
    for shares in ((("a", 0.0), ("b", 1.0)), (("b", 1.0), ("a", 0.0)), (("b", 1.0), ("a", 0.0), ("c", 1.0))):
        split = Split("m", shares)
        assert "a" not in {split.version_of(str(number)) for number in range(2000)}


def test_calls_of_a_version_that_is_not_there_are_shared_by_those_that_are():
    split = Split("chat", (("v1", 60.0), ("v2", 30.0), ("v3", 10.0), ("v4", 0.0)))
    keys = [str(number) for number in range(3000)]
    for key in keys:
        usual = split.version_of(key)
        assert split.version_of(key, among={"v1", "v2", "v3", "v4"}) == usual
        there = split.version_of(key, among={"v1", "v3", "v4"})
        assert there in ("v1", "v3")
        assert usual == "v2" or there == usual
        # Nobody can be asked: it is as if everybody could, and the call waits or is told.
        assert split.version_of(key, among={"v4"}) == usual


def test_calls_of_a_version_that_is_not_there_are_shared_by_the_weights_of_the_others():
    split = Split("chat", (("v1", 50.0), ("v2", 25.0), ("v3", 25.0)))
    keys = [key for key in map(str, range(8000)) if split.version_of(key) == "v1"]
    share = sum(split.version_of(key, among={"v2", "v3"}) == "v2" for key in keys) / len(keys)
    assert 0.47 < share < 0.53


def test_the_own_names_of_a_model_are_those_of_its_versions():
    splits = (Split("chat", (("v1", 1.0), ("v2", 0.0))),)
    assert own_names(splits, "chat") == ("chat@v1", "chat@v2")
    assert own_names(splits, "plain") == ("plain",)


def test_requests_of_a_trace_are_split_as_calls_are():
    split = Split("chat", (("v1", 3.0), ("v2", 1.0)))
    trace = Trace(np.arange(400.0), np.arange(400, dtype=np.int32) % 2, ("chat", "plain"))
    found = split_trace(trace, (split,))
    assert found.models == ("plain", "chat@v1", "chat@v2")
    counts = dict(zip(found.models, found.counts().tolist(), strict=True))
    assert counts["plain"] == 200
    assert counts["chat@v1"] + counts["chat@v2"] == 200
    assert 25 < counts["chat@v2"] < 75
    assert split_trace(trace, ()) is trace


def test_what_a_fleet_may_change_of_itself_is_read():
    deployment = parse(
        """models: [{name: a, profile: p, on_demand: {enabled: true, idle_unload_s: 60}}]
serving: {autoscaling: {enabled: true, min_devices: 2, upscale_delay_s: 5}}
placement: {replan: {trigger: drift, min_gain: 0.05, max_moves: 4}}
"""
    )
    assert deployment.models[0].on_demand == OnDemand(True, 60.0)
    assert deployment.autoscaling == Autoscaling(True, 2, None, 5.0)
    assert deployment.replanning == Replanning("drift", 0.05, 4)
    assert deployment.accepted_only == ()


def test_a_trace_file_may_name_a_model_or_one_of_its_versions(tmp_path):
    rows = [f"{number * 0.1:.1f},{('chat', 'talk', 'plain', 'chat@v2')[number % 4]}" for number in range(80)]
    (tmp_path / "trace.csv").write_text("\n".join(["timestamp_s,model", *rows, ""]))
    deployment = parse(CHAT)
    trace = load_traffic(tmp_path / "trace.csv", deployment)
    assert trace.models == deployment.model_names
    counts = trace.counts().tolist()
    assert (sum(counts), counts[0]) == (80, 20)
    assert counts[2] >= 20
