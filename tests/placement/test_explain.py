from dataclasses import replace

import numpy as np
import pytest

from placement.explain import binding_constraints, predict
from simulator.fast_or_events import outcomes_of
from tests.placement.fleets import LATENCY_S, ONE_DEVICE_ONLY, deployment, model, profile
from vocabulary.deployment import Deployment, Slo
from vocabulary.mesh import Cluster, Links
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import profile_on_types
from vocabulary.rules import Apart, PlacementRules
from vocabulary.trace import Trace


def on(*groups: tuple[str, ...]) -> Placement:
    """A single device for each group of models."""
    return Placement(
        tuple(Group(f"g{i}", (f"n-0:{i}",), ParallelConfig(), models) for i, models in enumerate(groups))
    )


def burst(num_requests: int, *, model_index: int = 0, gap_s: float = 0.0) -> Trace:
    return Trace(
        np.arange(num_requests) * gap_s, np.full(num_requests, model_index, dtype=np.int32), ("a", "b")
    )


def binding(fleet: Deployment, placement: Placement, trace: Trace) -> tuple[str, ...]:
    outcomes = outcomes_of(placement, trace, deployment=fleet)
    return binding_constraints(placement, outcomes, deployment=fleet)


def test_predictions_are_those_of_the_simulation() -> None:
    fleet = deployment(model("a", 60), model("b", 40), num_devices=2)
    trace = burst(10, gap_s=LATENCY_S)
    placement = on(("a", "b"), ("a",))
    predicted = predict(placement, outcomes_of(placement, trace, deployment=fleet), deployment=fleet)
    assert predicted["slo_attainment"] == 1.0
    assert predicted["models"]["a"]["p50_s"] == pytest.approx(LATENCY_S)
    assert predicted["models"]["a"]["replicas"] == 2
    assert predicted["groups"]["g0"]["memory_bytes"] == [100]
    # A request every LATENCY_S, each LATENCY_S long, always to the first of two idle groups... which is free.
    assert predicted["groups"]["g0"]["utilisation"] == pytest.approx(1.0)
    assert predicted["groups"]["g1"]["utilisation"] == 0.0


def test_nothing_binds_when_nothing_is_missed() -> None:
    assert binding(deployment(model("a", 1), model("b", 1)), on(("a",)), burst(1)) == ()


def test_memory_binds_where_another_replica_lacks_bytes() -> None:
    fleet = deployment(model("a", 60), model("b", 70), num_devices=2)
    (text,) = binding(fleet, on(("a",), ("b",)), burst(50))
    assert text.startswith("memory of stage 0 on g1: 30 B short of a replica; a misses most, 45 of 50")


def test_a_rule_binds_where_it_alone_keeps_a_replica_out() -> None:
    fleet = replace(
        deployment(model("a", 20), model("b", 20), num_devices=2),
        rules=PlacementRules(separate=(Apart(("a", "b")),)),
    )
    (text,) = binding(fleet, on(("a",), ("b",)), burst(50))
    assert text.startswith("placement.constraints: they allow no replica of a on g1; a misses most")
    assert text.endswith("one there would keep 5 more in time")


def test_a_profile_of_other_devices_binds() -> None:
    fleet = deployment(model("a", 20), model("b", 20), num_devices=1)
    (node,) = fleet.cluster.nodes
    nodes = (node, replace(node, name="m", device_type="gpu"))
    foreign = profile_on_types({"tpu": profile(20, (1, 1))})
    here = profile_on_types({"cpu": profile(20, (1, 1))})
    models = (replace(fleet.models[0], profile=foreign), replace(fleet.models[1], profile=here))
    two = replace(fleet, cluster=Cluster(nodes), models=models)
    placement = Placement((Group("g0", ("n-0:0",), ParallelConfig(device_type="cpu"), ("b",)),))
    (text,) = binding(two, placement, burst(5))
    assert text.startswith("profile of a: it is for tpu, the cluster has cpu, gpu; a misses most")


def test_stage_time_binds_where_every_group_holds_the_model() -> None:
    (text,) = binding(deployment(model("a", 1), model("b", 1)), on(("a",), ("a",)), burst(50))
    assert text.startswith("stage time on g0, 100% busy")


def test_a_limit_on_replicas_binds() -> None:
    fleet = deployment(model("a", 1, max_replicas=1), model("b", 1), num_devices=2)
    (text,) = binding(fleet, on(("a",), ("b",)), burst(50))
    assert text.startswith("replicas.max of a (1)")


def test_parallelism_binds_where_no_group_has_an_allowed_configuration() -> None:
    fleet = deployment(model("a", 1, parallelism=ONE_DEVICE_ONLY), model("b", 1), num_devices=3)
    pair = Group("g1", ("n-0:1", "n-0:2"), ParallelConfig(1, 2), ("b",))
    placement = Placement((*on(("a",)).groups, pair))
    (text,) = binding(fleet, placement, burst(50))
    assert text.startswith("parallelism of a")


def test_a_constraint_says_what_loosening_it_would_gain() -> None:
    fleet = deployment(model("a", 60), model("b", 70), num_devices=2)
    (text,) = binding(fleet, on(("a",), ("b",)), burst(50))
    # Five of a burst fit into an SLO of five latencies, on each device that holds the model.
    assert text.endswith("it would keep 5 more in time")


def test_where_every_group_holds_the_model_another_group_is_what_helps() -> None:
    (text,) = binding(deployment(model("a", 1), model("b", 1)), on(("a",), ("a",)), burst(50))
    assert text.endswith("another group like g0 (1 more device) would keep 5 more in time")


def test_an_slo_below_the_quickest_latency_binds_whatever_else_is_short() -> None:
    slow = model("a", 60, (1, 1), (1, 2), slo=Slo(LATENCY_S / 2))
    (text,) = binding(deployment(slow, model("b", 70), num_devices=2), on(("a",), ("b",)), burst(50))
    assert text.startswith("SLO of a (100.0 ms) is below its quickest latency, 200.0 ms on (tensor 1, pipel")


def test_an_impossible_slo_of_another_model_is_told_too() -> None:
    fleet = deployment(model("a", 60), model("b", 40, (1, 1), slo=Slo(0.1)), num_devices=1)
    trace = Trace(np.zeros(21), np.array([0] * 20 + [1], dtype=np.int32), ("a", "b"))
    first, second = binding(fleet, on(("a", "b")), trace)
    assert first.startswith("stage time on g0")
    assert second.startswith("SLO of b")


def test_a_rate_that_no_single_group_takes_says_how_many_are_needed() -> None:
    fleet = deployment(model("a", 1, (1, 1)), model("b", 1), num_devices=2)
    (text,) = binding(fleet, on(("a",), ("a",)), burst(400, gap_s=LATENCY_S / 4))
    assert text.startswith(
        "rate of a exceeds any group: 20.1/s, one of (tensor 1, pipeline 1) takes 5/s, so 5"
    )


def test_room_that_was_left_is_told_as_a_want_of_search() -> None:
    fleet = deployment(model("a", 1), model("b", 1), num_devices=2)
    (text,) = binding(fleet, on(("a",), ("b",)), burst(50))
    assert text.startswith("a replica of a has room on g1; a misses most")


def test_memory_that_would_not_help_does_not_bind() -> None:
    # The other group is kept busy: a replica more would only push aside as many requests of b.
    fleet = deployment(model("a", 60), model("b", 70), num_devices=2)
    arrival_s = np.sort(np.r_[np.zeros(50), np.zeros(5)])
    trace = Trace(arrival_s, np.array([1] * 5 + [0] * 50, dtype=np.int32), ("a", "b"))
    (text,) = binding(fleet, on(("a",), ("b",)), trace)
    assert text.startswith("stage time on g0")


def test_groups_that_are_all_too_slow_for_an_slo_are_told_with_what_would_not_be() -> None:
    quick = model("a", 60, (1, 1), (2, 1), slo=Slo(0.75 * LATENCY_S))
    (text,) = binding(deployment(quick, model("b", 70), num_devices=2), on(("a",), ("b",)), burst(50))
    assert text.startswith(
        "parallelism: SLO of a (150.0 ms) is below its latency on every group, 200.0 ms on g0; "
        "(tensor 2, pipeline 1) would take 100.0 ms"
    )


def test_slow_links_between_hosts_bind_where_groups_cross_them() -> None:
    fleet = deployment(model("a", 60, (1, 2), slo=Slo(0.3)), model("b", 1), num_hosts=2, num_devices=1)
    links = Links(inter_node_bytes_per_s=1.0, inter_node_latency_s=0.5, intra_node_bytes_per_s=1e9)
    slow = replace(fleet, cluster=replace(fleet.cluster, links=links))
    ids = tuple(device.id for device in slow.cluster.devices)
    config = slow.cluster.located(ParallelConfig(1, 2), slow.cluster.devices)
    placement = Placement((Group("g0", ids, config, ("a",)),))
    first, *_ = binding(slow, placement, burst(20, gap_s=LATENCY_S))
    assert first.startswith("links between hosts, which 1 group cross")
    assert first.endswith("links as fast as inside a host would keep 20 more in time")


def test_a_configuration_for_which_there_are_no_devices_keeps_no_slo() -> None:
    # Four devices that share operators would be quick enough; a host has two, and operators stay in a host.
    wide = model("a", 60, (1, 1), (4, 1), slo=Slo(0.5 * LATENCY_S))
    (text,) = binding(
        deployment(wide, model("b", 70), num_hosts=2, num_devices=2), on(("a",), ("b",)), burst(50)
    )
    assert text.startswith("SLO of a (100.0 ms) is below its quickest latency, 200.0 ms on (tensor 1, pipe")
