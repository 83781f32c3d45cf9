"""Several device types, and hosts that are far apart: costs, layouts, plans from end to end."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from placement.groups import carve, equal_meshes, hosts_of
from placement.memory import Memory, allows
from placement.minimise import minimise
from placement.search import search
from simulator.fast_or_events import outcomes_of
from simulator.simulate import simulate
from statmux.recording import write_served
from tests.placement.fleets import deployment, model, requests
from tests.statmux.plan_files import Desk, desk
from vocabulary.deployment import Deployment, ModelSpec, Slo
from vocabulary.fit import check_fit
from vocabulary.formats.disk import load_deployment, load_plan, load_trace
from vocabulary.formats.plan import parse_plan
from vocabulary.mesh import Cluster, Links, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import (
    Profile,
    ProfileEntry,
    Provenance,
    profile_of,
    profile_on_types,
    profiles_by_type,
)

__all__ = ["desk"]

FAST, SLOW = NodeClass("f", 1, "fast", 2, 100), NodeClass("s", 2, "slow", 2, 100)


def profile(latency_s: float, *, weight_bytes: int = 60, output_bytes: int = 0) -> Profile:
    """On one device, or in a pipeline of two."""
    entries = [
        ProfileEntry(
            ParallelConfig(1, stages),
            (weight_bytes // stages,) * stages,
            {},
            {1: (latency_s / stages,) * stages},
            output_bytes={1: (output_bytes,) * stages} if output_bytes else {},
        )
        for stages in (1, 2)
    ]
    return profile_of("any", "any", entries, provenance=Provenance("measured"))


ON_TYPES = profile_on_types({"fast": profile(0.1), "slow": profile(0.4, weight_bytes=80)})


def two_types() -> Deployment:
    models = tuple(ModelSpec(name, profile=ON_TYPES, slo=Slo(0.5)) for name in "ab")
    return Deployment("two types", Cluster((FAST, SLOW)), models)


def test_a_profile_of_several_types_comes_apart_again():
    assert ON_TYPES.device_type == "fast, slow"
    assert len(ON_TYPES.entries) == 4
    parts = profiles_by_type(ON_TYPES)
    assert parts["slow"].entries == profile(0.4, weight_bytes=80).entries
    assert profiles_by_type(profile(0.1)) == {"any": profile(0.1)}


def test_an_estimate_for_one_type_makes_all_of_it_an_estimate():
    guessed = replace(profile(0.1), provenance=Provenance("estimated", "roofline"))
    joined = profile_on_types({"fast": guessed, "slow": profile(0.4)})
    assert joined.provenance == Provenance("estimated", "roofline")


def test_costs_and_bytes_are_those_of_the_type():
    small = two_types()
    catalog = small.catalog()
    assert catalog.costs("a", ParallelConfig(1, 1, "fast")).single == (0.1,)
    assert catalog.costs("a", ParallelConfig(1, 1, "slow")).single == (0.4,)
    assert not catalog.supports("a", ParallelConfig())
    memory = Memory(small, catalog)
    assert memory.needed(ParallelConfig(1, 1, "slow")).tolist() == [[80], [80]]
    assert allows(small.models[0], ParallelConfig(1, 2, "fast"))


def test_a_configuration_takes_hosts_of_its_type_and_one_without_takes_all():
    hosts = hosts_of(two_types().cluster)
    of_slow = equal_meshes(hosts, ParallelConfig(1, 2, "slow"))
    assert [mesh.devices for mesh in of_slow] == [("s-0:0", "s-0:1"), ("s-1:0", "s-1:1")]
    every = carve(hosts, ParallelConfig(1, 2))
    assert [mesh.config.device_type for mesh in every] == ["fast", "slow", "slow"]


def test_meshes_of_a_fleet_of_one_type_have_none():
    small = deployment(model("a", 10), num_hosts=2)
    assert {mesh.config for mesh in carve(hosts_of(small.cluster), ParallelConfig(1, 2))} == {
        ParallelConfig(1, 2)
    }
    assert str(ParallelConfig(1, 2)) == "(tensor 1, pipeline 2)"
    assert str(ParallelConfig(1, 2, "slow", (0,))) == "(tensor 1, pipeline 2, slow, 2 hosts)"


def far_apart(links: Links) -> Deployment:
    """Two hosts of one device each, and one host of two; every model needs two devices."""
    pipeline = ProfileEntry(
        ParallelConfig(1, 2), (50, 50), {}, {1: (0.1, 0.1)}, output_bytes={1: (10_000_000, 0)}
    )
    found = profile_of("any", "cpu", [pipeline], provenance=Provenance())
    nodes = (NodeClass("single", 2, "cpu", 1, 60), NodeClass("pair", 1, "cpu", 2, 60))
    models = (
        ModelSpec("tight", profile=found, slo=Slo(0.25)),
        ModelSpec("loose", profile=found, slo=Slo(1.0)),
    )
    return Deployment("far apart", Cluster(nodes, links=links), models)


SLOW_LINKS = Links(inter_node_bytes_per_s=1e8, inter_node_latency_s=0.01)


def test_a_stage_whose_output_crosses_hosts_takes_longer_by_the_transfer():
    small = far_apart(SLOW_LINKS)
    across, inside = equal_meshes(hosts_of(small.cluster), ParallelConfig(1, 2))
    assert across.config.crossings == (0,)
    assert inside.config == ParallelConfig(1, 2)
    catalog = small.catalog()
    assert catalog.costs("tight", across.config).single == pytest.approx((0.1 + 0.01 + 0.1, 0.1))
    assert catalog.costs("tight", inside.config).single == (0.1, 0.1)


def test_only_what_hosts_take_longer_than_devices_of_one_is_added():
    links = Links(1e8, 0.01, intra_node_bytes_per_s=2e8, intra_node_latency_s=0.004)
    assert links.crossing_s(10_000_000) == pytest.approx(0.056)
    assert Links().is_uniform
    assert Links(1e8, 0.01, 1e8, 0.01).is_uniform
    assert Links(1e9, 0.01, 1e8, 0.02).crossing_s(10_000_000) == 0.0
    assert not links.is_uniform


def test_links_that_cost_nothing_leave_every_configuration_as_it_was():
    small = far_apart(Links())
    configs = {mesh.config for mesh in carve(hosts_of(small.cluster), ParallelConfig(1, 2))}
    assert configs == {ParallelConfig(1, 2)}


def test_the_model_in_a_hurry_gets_the_host_of_two_when_links_are_slow():
    trace = requests({"tight": 1.0, "loose": 1.0}, duration_s=20.0)
    small = far_apart(SLOW_LINKS)
    placement = search(small, trace).placement
    assert [g.devices[0].partition("-")[0] for g in placement.groups if "tight" in g.models] == ["pair"]
    wrong = exchanged(placement)
    shares = [outcomes_of(one, trace, deployment=small).good.mean() for one in (placement, wrong)]
    assert shares[0] > 0.8
    assert shares[1] < 0.6


def exchanged(placement: Placement) -> Placement:
    first, second = placement.groups
    return Placement(
        (
            replace(first, models=second.models),
            replace(second, models=first.models),
        )
    )


def test_the_event_simulator_and_the_compiled_scorer_agree_on_types_and_links():
    trace = requests({"tight": 4.0, "loose": 3.0}, duration_s=20.0)
    small = far_apart(SLOW_LINKS)
    placement = search(small, trace).placement
    fast, events = (
        outcomes_of(placement, trace, deployment=small),
        simulate(placement, trace, deployment=small),
    )
    assert fast.good.tolist() == events.good.tolist()


def test_memory_is_checked_with_the_bytes_of_the_type():
    small = two_types()
    group = Group("g0", ("s-0:0",), ParallelConfig(1, 1, "slow"), ("a", "b"))
    with pytest.raises(Exception, match="160 bytes"):
        check_fit(Placement((group,)), small)


PROFILES = {
    # seconds of one request on a device, and what of it another type takes
    "fast.json": ("fast", 0.1),
    "slow.json": ("slow", 0.4),
}
FLEET = """
metadata: {name: mixed}
cluster:
  nodes:
  - {name: f, count: 1, devices: {type: fast, count: 1, memory: 100B}, cost_per_hour: 4}
  - {name: s, count: 2, devices: {type: slow, count: 1, memory: 100B}, cost_per_hour: 1}
models:
- {name: hurry, profile: {fast: fast.json, slow: slow.json}, slo: {latency_ms: 300}}
- {name: calm, profile: [fast.json, slow.json], slo: {latency_ms: 3000}}
"""


def write_profiles(desk: Desk) -> None:
    for name, (device_type, latency_s) in PROFILES.items():
        entry = {"tensor": 1, "pipeline": 1, "weight_bytes": [90], "stage_latency_s": {"1": [latency_s]}}
        written = {"kind": "ModelProfile", "model": "any", "device_type": device_type, "entries": [entry]}
        desk.write(name, json.dumps(written))


def test_plan_puts_the_model_in_a_hurry_on_the_fast_device_and_the_calm_one_on_the_slow(desk: Desk):
    write_profiles(desk)
    desk.write("mixed.yaml", FLEET)
    rows = [f"{number * 0.25:.2f},{'hurry' if number % 2 else 'calm'}" for number in range(200)]
    desk.write("mixed.csv", "\n".join(["timestamp_s,model", *rows, ""]))
    result = desk.statmux("plan", "mixed.yaml", "--trace", "mixed.csv", "--out", "plan.yaml", "-o", "json")
    assert result.code == 0, result.err
    assert result.document["slo_attainment"] == 1.0
    assert "device_type" not in (desk.folder / "plan.yaml").read_text()
    read = load_deployment("mixed.yaml")
    groups = load_plan("plan.yaml", deployment=read).placement.groups
    placed = {(model, group.config.device_type) for group in groups for model in group.models}
    # A replica of hurry on the second slow device too would do no harm.
    assert placed - {("hurry", "slow")} == {("hurry", "fast"), ("calm", "slow")}
    simulated = desk.statmux(
        "simulate", "mixed.yaml", "--plan", "plan.yaml", "--trace", "mixed.csv", "-o", "json"
    )
    assert simulated.document["slo_attainment"] == 1.0


def test_a_record_of_two_device_types_is_read_back_as_it_was(desk: Desk):
    write_profiles(desk)
    desk.write("mixed.yaml", FLEET)
    read = load_deployment("mixed.yaml")
    plan = parse_plan("groups: [{id: g0, devices: ['s-1:0'], models: [calm]}]", name="p", deployment=read)
    write_served(desk.folder / "record", read, plan)
    again = load_deployment(desk.folder / "record" / "deployment.yaml")
    assert again.catalog().profiles["calm"].entries == read.catalog().profiles["calm"].entries
    assert load_plan(desk.folder / "record" / "plan.yaml", deployment=again).placement == plan.placement


def test_plan_takes_the_hosts_that_are_enough_and_cheapest(desk: Desk):
    write_profiles(desk)
    desk.write("mixed.yaml", FLEET.replace("latency_ms: 300}", "latency_ms: 3000}"))
    rows = [f"{number * 0.5:.2f},{'hurry' if number % 2 else 'calm'}" for number in range(100)]
    desk.write("mixed.csv", "\n".join(["timestamp_s,model", *rows, ""]))
    read = load_deployment("mixed.yaml")
    result = minimise(read, load_trace("mixed.csv", models=read.model_names), objective="min_cost")
    assert result.value == 2.0
    assert {group.config.device_type for group in result.found.placement.groups} == {"slow"}
