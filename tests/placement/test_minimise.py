"""The fewest devices, the lowest cost, the fastest traffic: against trying every size, and known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.points import base_point
from placement.minimise import Minimised, minimise
from placement.search import search
from placement.smaller import smaller_clusters
from tests.placement.fleets import LATENCY_S, deployment, model, requests
from vocabulary.deployment import Deployment, Slo
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.rules import PlacementRules

TRAFFIC = requests({"a": 2.0, "b": 1.0, "c": 0.5}, duration_s=30.0)
NAMES = ("a", "b", "c")


def fleet(**settings: object) -> Deployment:
    """A model fills a device; what splits it is not in the profile."""
    models = (model(name, 40, (1, 1), **settings) for name in NAMES)
    return deployment(*models, num_hosts=2, num_devices=4, memory_bytes=40)


def attained(small: Deployment, result: Minimised) -> float:
    study = Study(small, result.trace, result.trace, trim_s=result.trim_s)
    return evaluate(study, Probe(base_point(small.cluster), placement=result.found.placement)).slo_attainment


def test_the_fewest_devices_are_those_that_trying_every_number_finds():
    small = fleet()
    clusters = smaller_clusters(small, "min_devices")
    enough = []
    for size in clusters.sizes:
        part = clusters.at(size)
        outcome = search(part, TRAFFIC)
        study = Study(part, TRAFFIC, TRAFFIC)
        result = evaluate(study, Probe(base_point(part.cluster), placement=outcome.placement))
        enough += [size.price] if result.slo_attainment >= 0.99 else []
    result = minimise(small, TRAFFIC, objective="min_devices")
    assert result.value == min(enough)
    assert result.is_complete
    assert attained(small, result) >= 0.99
    assert len(result.deployment.cluster.free_devices) >= result.value


def test_a_lower_share_takes_fewer_devices():
    few = minimise(fleet(), TRAFFIC, objective="min_devices", attainment=0.5)
    many = minimise(fleet(), TRAFFIC, objective="min_devices", attainment=0.995)
    assert few.value == 1.0
    assert few.value < many.value
    assert "50.00% of all requests" in few.plan().search["required"]


def test_models_that_ask_for_a_share_get_it_and_others_are_not_given_up():
    cold = model("c", 40, (1, 1), slo=Slo(5 * LATENCY_S, 0.9))
    small = replace(fleet(), models=(*fleet().models[:2], cold))
    result = minimise(small, TRAFFIC, objective="min_devices")
    assert result.found.placement.models == {"a", "b", "c"}
    predicted = result.plan().predicted["models"]
    assert predicted["c"]["slo_attainment"] >= 0.9
    assert min(predicted[name]["slo_attainment"] for name in "ab") >= 0.99
    little = replace(small, models=tuple(model(n, 40, (1, 1), slo=Slo(1.0, 0.1)) for n in NAMES))
    assert minimise(little, TRAFFIC, objective="min_devices").value == 3.0


def test_reserved_devices_stay_free_and_pinned_ones_go_last():
    pinned = PlacementRules(pin={"a": frozenset({"n-1:3"})})
    small = replace(fleet(), rules=pinned)
    small = replace(small, cluster=replace(small.cluster, reserved=("n-0:0", "n-1:0")))
    result = minimise(small, TRAFFIC, objective="min_devices", attainment=0.95)
    used = {device for group in result.found.placement.groups for device in group.devices}
    assert result.found.placement.groups[result.found.placement.holders("a")[0]].devices == ("n-1:3",)
    assert used.isdisjoint({"n-0:0", "n-1:0"})


def two_classes() -> Deployment:
    """Two small hosts at 1 an hour each hold what one large one at 5 holds."""
    nodes = (
        NodeClass("large", 1, "cpu", 3, 40, cost_per_hour=5.0),
        NodeClass("small", 3, "cpu", 1, 40, cost_per_hour=1.0),
    )
    return replace(fleet(), cluster=Cluster(nodes))


def test_the_cheapest_hosts_are_taken():
    result = minimise(two_classes(), TRAFFIC, objective="min_cost", attainment=0.97)
    assert result.value == 3.0
    hosts = {device.partition(":")[0] for group in result.found.placement.groups for device in group.devices}
    assert hosts == {"small-0", "small-1", "small-2"}
    assert result.plan().search["cost_per_hour"] == 3.0


def test_a_host_without_a_price_is_told():
    with pytest.raises(InvalidInput, match="node class n has no cost"):
        minimise(fleet(), TRAFFIC, objective="min_cost")


def test_the_fastest_traffic_holds_and_a_little_faster_does_not():
    small = fleet()
    result = minimise(small, TRAFFIC, objective="max_rate_scale", attainment=0.97)
    assert result.trace.duration_s == pytest.approx(TRAFFIC.duration_s / result.value)
    assert attained(small, result) >= 0.97
    failed = [one.rate_scale for one in result.tried if not one.holds]
    assert result.value < min(failed) <= 1.03 * result.value
    assert result.plan().search["rate_scale"] == result.value


def test_what_no_size_attains_says_how_near_the_whole_cluster_comes():
    slow = fleet(slo=Slo(0.1 * LATENCY_S))
    with pytest.raises(Infeasible, match=r"all 8 devices attain 0\.00%, and 99\.00% of all requests"):
        minimise(slow, TRAFFIC, objective="min_devices")


def test_a_time_budget_that_is_over_gives_the_best_so_far():
    result = minimise(fleet(), TRAFFIC, objective="min_devices", attainment=0.5, time_budget_s=1e-6)
    assert not result.is_complete
    assert attained(fleet(), result) >= 0.5
    assert len(result.tried) == 1


def test_sizes_are_single_devices_until_there_are_too_many():
    nodes = tuple(NodeClass(name, 100, "cpu", 8, 40, cost_per_hour=1.0) for name in "xy")
    large = replace(fleet(), cluster=Cluster(nodes))
    assert len(smaller_clusters(fleet(), "min_devices").sizes) == 8
    sizes = smaller_clusters(large, "min_devices").sizes
    assert sizes[0].price == 8.0
    assert sizes[-1].price == 1600.0
    assert len(sizes) == 101 * 101 - 1
