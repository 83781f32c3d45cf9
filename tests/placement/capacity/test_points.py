"""Clusters that grow and shrink, and objectives that stretch."""

from dataclasses import replace

import pytest

from placement.capacity.points import (
    Point,
    base_point,
    class_to_resize,
    deployment_at,
    hourly_cost,
    moved,
    resized_cluster,
    with_slo_scale,
)
from placement.capacity.sizes import sizes_of
from tests.placement.fleets import deployment, model
from vocabulary.deployment import Slo
from vocabulary.errors import InvalidInput
from vocabulary.mesh import Cluster, NodeClass

BIG = NodeClass("big", 2, "cpu", 8, 1000, cost_per_hour=30.0)
SMALL = NodeClass("small", 3, "cpu", 2, 100, cost_per_hour=4.0)
MIXED = Cluster((BIG, SMALL), 0.1)


def test_the_base_point_is_the_cluster_as_it_is() -> None:
    base = base_point(MIXED)
    assert base == Point((16, 6))
    assert resized_cluster(MIXED, base.devices) == MIXED


def test_only_the_class_that_is_resized_gives_way() -> None:
    base = base_point(MIXED)
    assert moved(base, "devices", 24, resized=1).devices == (16, 8)
    assert moved(base, "devices", 24, resized=0).devices == (18, 6)
    assert moved(base, "slo_scale", 2.0, resized=0) == replace(base, slo_scale=2.0)
    with pytest.raises(InvalidInput, match="have 16 devices already, 8 are asked for"):
        moved(base, "devices", 8, resized=1)


def test_the_last_class_is_resized_unless_another_is_named() -> None:
    assert class_to_resize(MIXED, None) == 1
    assert class_to_resize(MIXED, "big") == 0
    with pytest.raises(InvalidInput, match="no node class 'huge'"):
        class_to_resize(MIXED, "huge")


def test_a_part_of_a_node_is_a_smaller_host_that_costs_its_share() -> None:
    cluster = resized_cluster(MIXED, (12, 0))
    assert [(n.name, n.count, n.devices_per_host) for n in cluster.nodes] == [
        ("big", 1, 8), ("big-part", 1, 4), ("small", 0, 2),
    ]  # fmt: skip
    assert cluster.num_devices == 12
    assert hourly_cost(cluster) == 45.0
    assert [n.name for n in resized_cluster(MIXED, (4, 6)).nodes] == ["big-part", "small"]


def test_a_cluster_without_a_cost_has_none() -> None:
    assert hourly_cost(MIXED) == 72.0
    unknown = Cluster((BIG, replace(SMALL, cost_per_hour=None)))
    assert hourly_cost(unknown) is None
    assert hourly_cost(resized_cluster(unknown, (8, 0))) == 30.0


def test_objectives_are_scaled_where_there_are_some() -> None:
    fleet = deployment(model("a", 10), model("b", 10, slo=Slo(None, 0.9)))
    scaled = with_slo_scale(fleet, 3.0)
    assert scaled.models[0].slo.latency_s == pytest.approx(3.0)
    assert scaled.models[1].slo == Slo(None, 0.9)
    point = replace(base_point(fleet.cluster), slo_scale=3.0)
    assert deployment_at(fleet, point) == scaled


def test_sizes_are_whole_nodes_of_one_class_or_mixes_of_all_by_cost() -> None:
    base = base_point(MIXED)
    devices = sizes_of(MIXED, base, objective="devices", resized=1, within=(18, 22))
    assert [size.devices for size in devices] == [(16, 2), (16, 4), (16, 6)]
    mixes = sizes_of(MIXED, base, objective="cost", resized=1, within=(1, 8))
    assert [(size.price, size.devices) for size in mixes] == [
        (4.0, (0, 2)), (8.0, (0, 4)), (12.0, (0, 6)), (16.0, (0, 8)), (30.0, (8, 0)),
    ]  # fmt: skip


def test_sizes_without_a_cost_or_a_node_are_refused_with_the_remedy() -> None:
    base = base_point(MIXED)
    unknown = Cluster((BIG, replace(SMALL, cost_per_hour=None)))
    with pytest.raises(InvalidInput, match=r"cluster.nodes\[1\].cost_per_hour: node class small has no cost"):
        sizes_of(unknown, base, objective="cost", resized=1, within=None)
    with pytest.raises(InvalidInput, match="no cluster of whole nodes has 17 to 17 devices"):
        sizes_of(MIXED, base, objective="devices", resized=1, within=(17, 17))
    with pytest.raises(InvalidInput, match="too many"):
        sizes_of(MIXED, base, objective="cost", resized=1, within=(1, 100_000))
