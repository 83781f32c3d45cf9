"""What a deployment file asks of a plan: objectives, rules, device types, links."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vocabulary.test_deployment_file import parse
from vocabulary.deployment import OBJECTIVES
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import load_deployment
from vocabulary.formats.plan import parse_plan
from vocabulary.formats.profile import format_profile, parse_profile
from vocabulary.formats.schema import schema
from vocabulary.mesh import Links
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.rules import Apart

FLEET = """
cluster: {nodes: [{name: n, count: 2, devices: {type: v100, count: 2, memory: 1GiB}}]}
models: [{name: a, profile: p, weight: 2.5}, {name: b, profile: p}, {name: c, profile: p}]
"""


def test_what_is_asked_of_a_plan_is_read():
    deployment = parse(
        FLEET
        + """
placement:
  objective: min_model_attainment
  search: {time_budget_s: 2.5}
  constraints:
    colocate: [[a, b]]
    separate: [[a, c], {models: [b, c], by: host}]
    pin: {a: [n-1], c: ['n-0:1', 'n-0:0']}
    reserved: ['n-1:1']
security: {allow_python_models: true}
"""
    )
    assert deployment.objective == "min_model_attainment"
    assert deployment.time_budget_s == 2.5
    assert [model.weight for model in deployment.models] == [2.5, 1.0, 1.0]
    assert deployment.rules.colocate == (("a", "b"),)
    assert deployment.rules.separate == (Apart(("a", "c")), Apart(("b", "c"), "host"))
    assert deployment.rules.pin == {"a": {"n-1:0", "n-1:1"}, "c": {"n-0:0", "n-0:1"}}
    assert deployment.cluster.reserved == ("n-1:1",)
    assert deployment.security.allow_python_models
    assert deployment.accepted_only == ()


def test_rules_may_be_a_list_with_one_each():
    deployment = parse(
        FLEET
        + """
placement:
  constraints:
  - {colocate: [a, b]}
  - {separate: [c], by: node}
  - {pin: {a: [n]}}
  - {reserved: [n-1]}
  - {reserved: ['n-0:0']}
"""
    )
    assert deployment.rules.colocate == (("a", "b"),)
    assert deployment.rules.separate == (Apart(("c",), "host"),)
    assert len(deployment.rules.pin["a"]) == 4
    assert deployment.cluster.reserved == ("n-0:0", "n-1:0", "n-1:1")


def test_devices_in_reserve_are_the_last_ones():
    text = FLEET.replace("cluster: {", "cluster: {reserve: {devices: 2, memory_fraction: 0.1}, ")
    assert parse(text).cluster.reserved == ("n-1:0", "n-1:1")
    named = text + "placement: {constraints: {reserved: ['n-1:1']}}"
    assert parse(named).cluster.reserved == ("n-0:1", "n-1:0", "n-1:1")
    with pytest.raises(InvalidInput, match=r"cluster.reserve.devices: reserves all 4 devices"):
        parse(text.replace("devices: 2, m", "devices: 4, m"))


def test_without_a_word_nothing_is_asked():
    deployment = parse(FLEET)
    assert deployment.objective == "slo_attainment"
    assert not (deployment.rules.colocate or deployment.rules.separate or deployment.rules.pin)
    assert deployment.cluster.links == Links()
    assert deployment.cluster.links.is_uniform
    assert not deployment.security.allow_python_models


def test_links_are_read_with_their_units():
    network = (
        "{inter_node_bandwidth: 1GB/s, latency: 2ms, intra_node_bandwidth: 8Gb/s, intra_node_latency: 1ms}"
    )
    deployment = parse(FLEET.replace("cluster: {", f"cluster: {{network: {network}, "))
    assert deployment.cluster.links == Links(1e9, 0.002, 1e9, 0.001)
    assert any("no output_bytes" in warning for warning in parse_pipelined(network).warnings)


def parse_pipelined(network: str):
    from vocabulary.formats.deployment import parse_deployment

    entry = ProfileEntry(ParallelConfig(1, 2), (1, 1), {}, {1: (0.1, 0.1)})
    found = profile_of("m", "v100", [entry], provenance=Provenance())
    text = FLEET.replace("cluster: {", f"cluster: {{network: {network}, ")
    return parse_deployment(text, name="d.yaml", read_profile=lambda _: found)


TWO_TYPES = """
cluster:
  nodes:
  - {name: f, devices: {type: fast, count: 2, memory: 1GiB}}
  - {name: s, devices: {type: slow, count: 2, memory: 1GiB}}
models:
- {name: both, profile: {fast: fast.json, slow: slow.json}}
- {name: twin, profile: {fast: fast.json, slow: slow.json}}
- {name: listed, profile: [slow.json, fast.json]}
- {name: one, profile: fast.json}
- {name: other, profile: {fast: slow.json}}
"""


@pytest.fixture
def mixed(tmp_path: Path):
    for device_type, latency_s in (("fast", 0.1), ("slow", 0.3)):
        entry = {"tensor": 1, "pipeline": 1, "weight_bytes": [8], "stage_latency_s": {"1": [latency_s]}}
        two = {"tensor": 1, "pipeline": 2, "weight_bytes": [4, 4], "stage_latency_s": {"1": [latency_s] * 2}}
        found = {"kind": "ModelProfile", "model": "m", "device_type": device_type, "entries": [entry, two]}
        (tmp_path / f"{device_type}.json").write_text(json.dumps(found))
    (tmp_path / "d.yaml").write_text(TWO_TYPES)
    return load_deployment(tmp_path / "d.yaml")


def test_a_model_has_the_profiles_of_the_types_it_names(mixed):
    fast, slow = ParallelConfig(1, 1, "fast"), ParallelConfig(1, 1, "slow")
    catalog = mixed.catalog()
    for name in ("both", "listed"):
        assert catalog.costs(name, fast).single == (0.1,)
        assert catalog.costs(name, slow).single == (0.3,)
    assert catalog.supports("one", fast)
    assert not catalog.supports("one", slow)
    assert mixed.model("both").profile is mixed.model("twin").profile
    assert mixed.model("listed").profile_paths == {"slow": "slow.json", "fast": "fast.json"}
    assert mixed.model("one").profile_path == "fast.json"
    assert any("other (slow as fast)" in warning for warning in mixed.warnings)


def test_a_fleet_of_one_type_takes_the_profile_for_it(tmp_path, mixed):
    text = TWO_TYPES.replace("  - {name: f, devices: {type: fast, count: 2, memory: 1GiB}}\n", "")
    text = "\n".join(line for line in text.splitlines() if "one" not in line and "other" not in line)
    (tmp_path / "slow.yaml").write_text(text)
    read = load_deployment(tmp_path / "slow.yaml")
    assert read.catalog().costs("both", ParallelConfig()).single == (0.3,)


def test_the_devices_of_a_plan_say_its_device_types(mixed):
    text = "groups:\n- {id: g0, devices: ['s-0:0', 's-0:1'], pipeline: 2, models: [both]}\n"
    plan = parse_plan(text, name="plan.yaml", deployment=mixed)
    assert plan.placement.groups[0].config == ParallelConfig(1, 2, "slow")
    assert parse_plan(text, name="plan.yaml").placement.groups[0].config == ParallelConfig(1, 2)


def test_a_group_of_two_types_is_refused(mixed):
    text = "groups:\n- {id: g0, devices: ['f-0:0', 's-0:1'], pipeline: 2, models: [both]}\n"
    with pytest.raises(InvalidInput, match=r"g0 has devices of 2 types \(fast, slow\)"):
        parse_plan(text, name="plan.yaml", deployment=mixed)


def test_a_model_without_a_profile_for_the_type_is_told(mixed):
    text = "groups:\n- {id: g0, devices: ['s-0:0'], models: [one]}\n"
    with pytest.raises(InvalidInput, match=r"the profile of one has no \(tensor 1, pipeline 1, slow\)"):
        parse_plan(text, name="plan.yaml", deployment=mixed)


@given(st.dictionaries(st.integers(1, 8), st.tuples(st.integers(0, 10**9), st.integers(0, 9)), min_size=1))
def test_output_bytes_come_back_as_they_were(output_bytes):
    entry = ProfileEntry(
        ParallelConfig(1, 2), (1, 1), {}, {1: (0.1, 0.1)}, output_bytes=dict(sorted(output_bytes.items()))
    )
    profile = profile_of("m", "v100", [entry], provenance=Provenance())
    assert parse_profile(format_profile(profile), name="p.json") == profile


def test_bytes_of_a_batch_are_those_of_the_next_size_or_in_proportion():
    entry = ProfileEntry(ParallelConfig(), (1,), {}, {1: (0.1,)}, output_bytes={2: (20,), 4: (36,)})
    assert [entry.stage_output_bytes(size) for size in (1, 2, 3, 4, 8)] == [(20,), (20,), (36,), (36,), (72,)]


def test_the_schema_knows_what_is_asked():
    found = schema("deployment")
    text = json.dumps(found)
    placement = found["$defs"]["PlacementShape"]["properties"]
    assert set(placement["objective"]["enum"]) == set(OBJECTIVES)
    for key in ("colocate", "separate", "pin", "reserved", "by_device_type", "intra_node_latency", "weight"):
        assert f'"{key}"' in text, key
    assert "output_bytes" in json.dumps(schema("profile"))
