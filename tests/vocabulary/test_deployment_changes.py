"""What of a deployment may change while it is served, and in which words people hear of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo, Workload
from vocabulary.deployment_changes import Effect, changes, together
from vocabulary.errors import InvalidInput
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry
from vocabulary.serve_flags import ServeFlags, flags_of
from vocabulary.versions import Split


def profile(latency_s: float) -> Profile:
    config = ParallelConfig()
    return Profile("m", "cpu", {config: ProfileEntry(config, (100,), {}, {1: (latency_s,)})})


def fleet(*models: ModelSpec, count: int = 2, **keys: object) -> Deployment:
    cluster = Cluster((NodeClass("n", 1, "cpu", count, 1000),))
    named = models or (ModelSpec("a", profile=profile(0.1)), ModelSpec("b", profile=profile(0.2)))
    return Deployment("small", cluster, named, **keys)  # type: ignore[arg-type]


def test_the_same_deployment_changes_nothing():
    assert changes(fleet(), fleet()).is_nothing


def test_objectives_weights_and_traffic_change_without_another_plan():
    before = fleet()
    a, b = before.models
    after = replace(
        before, models=(replace(a, slo=Slo(0.5), weight=2.0), replace(b, workload=Workload(3.0, 2.0))), seed=7
    )
    found = changes(before, after)
    assert not found.needs_plan
    assert found.sentences == (
        "placement.search.seed: 0 -> 7",
        "models.a.slo.latency_s: none -> 0.5",
        "models.a.weight: 1 -> 2",
        "models.b.workload: none -> " + next(c.after for c in found.changed if "workload" in c.key),
    )


def test_models_that_come_and_go_need_a_plan():
    before = fleet()
    after = replace(before, models=(before.models[0], ModelSpec("c", profile=profile(0.3))))
    found = changes(before, after)
    assert (found.added, found.removed, found.needs_plan) == (("c",), ("b",), True)
    assert found.sentences == ("model c is new", "model b goes")


def test_devices_that_come_and_go_need_a_plan_and_must_be_there():
    found = changes(fleet(), fleet(count=3), devices=frozenset({"n-0:0", "n-0:1", "n-0:2"}))
    assert (found.devices_added, found.needs_plan) == (("n-0:2",), True)
    assert changes(fleet(), fleet(count=1)).devices_removed == ("n-0:1",)
    with pytest.raises(InvalidInput, match="the cluster has no n-0:2"):
        changes(fleet(), fleet(count=3), devices=frozenset({"n-0:0", "n-0:1"}))


def test_a_model_measured_anew_needs_a_plan():
    before = fleet()
    after = replace(before, models=(replace(before.models[0], profile=profile(0.4)), before.models[1]))
    found = changes(before, after)
    assert found.needs_plan
    assert [one.key for one in found.changed] == ["models.a.profile"]


def test_all_that_needs_a_restart_is_named_in_one_error():
    before = fleet()
    changed = replace(before.models[0], source="elsewhere", dtype="bfloat16")
    after = replace(
        before,
        models=(changed, before.models[1]),
        grpc=replace(before.grpc, port=9),
        policy=Policy("round_robin"),
    )
    with pytest.raises(InvalidInput) as told:
        changes(before, after)
    assert told.value.where == ("serving.policy.router, endpoints.grpc.port, models.a.source, models.a.dtype")
    assert "endpoints.grpc.port: 8001 -> 9" in told.value.message
    assert "restart the fleet" in told.value.hint


def test_another_source_of_a_model_should_be_another_version():
    before = fleet(ModelSpec("a@v1", source="random://x"))
    after = fleet(ModelSpec("a@v1", source="random://y"))
    with pytest.raises(InvalidInput) as told:
        changes(before, after)
    assert told.value.where == "models.a.versions.v1.source"
    assert told.value.hint == "give a another name, or a new version beside the old one (`versions:`)"


def test_a_source_is_the_file_that_it_names_wherever_the_deployment_lies():
    before = fleet(ModelSpec("a", source="weights/a"), folder="/f")
    assert changes(before, fleet(ModelSpec("a", source="../weights/a"), folder="/f/new")).is_nothing
    with pytest.raises(InvalidInput, match="/f/new/weights/a"):
        changes(before, fleet(ModelSpec("a", source="weights/a"), folder="/f/new"))


def test_weights_of_versions_change_at_once():
    models = (ModelSpec("a@v1", profile=profile(0.1)), ModelSpec("a@v2", profile=profile(0.1)))
    before = fleet(*models, splits=(Split("a", (("v1", 95.0), ("v2", 5.0))),))
    after = fleet(*models, splits=(Split("a", (("v1", 50.0), ("v2", 50.0))),))
    found = changes(before, after)
    assert not found.needs_plan
    assert found.sentences == ("models.a.split: v1 95, v2 5 -> v1 50, v2 50",)
    assert found.changed[0].effect is Effect.LIVE


def test_what_the_command_line_said_holds_for_a_file_applied_later():
    flags = ServeFlags(engine="emulated", grpc_port=0, metrics_port=0)
    running = flags.applied_to(fleet())
    assert running.grpc.port == 0
    assert {model.engine for model in running.models} == {"emulated"}
    assert changes(running, flags.applied_to(fleet())).is_nothing
    assert flags_of(flags.document()) == flags
    with pytest.raises(InvalidInput, match="gRPC and HTTP are both on port 8000"):
        ServeFlags(grpc_port=8000).applied_to(fleet())


def test_until_a_change_is_over_what_goes_is_known_too():
    before, after = fleet(count=3), fleet(ModelSpec("a", profile=profile(0.9)), count=2)
    both = together(after, before)
    assert both.model_names == ("a", "b")
    assert both.model("a").profile == profile(0.9)
    assert len(both.cluster.devices) == 3
    with pytest.raises(KeyError):
        after.model("b")
