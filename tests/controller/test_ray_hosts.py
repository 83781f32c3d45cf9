"""Hosts of a deployment are matched to Ray's nodes the same way every time, or refused with the numbers."""

from __future__ import annotations

from itertools import permutations

import pytest

from controller.on_ray.hosts import device_indices, devices_on, local_devices, match_hosts, present_hosts
from controller.on_ray.nouns import RayNode
from tests.controller.ray_fleet import deployment, group
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig


def node(number: int, *, labels: dict[str, str] | None = None, **resources: float) -> RayNode:
    return RayNode(f"id-{number}", f"10.0.0.{number}", resources, labels or {})


def matched(fleet: Deployment, nodes: list[RayNode]) -> dict[str, tuple[str, str]]:
    return {host: (found.address, found.resource) for host, found in match_hosts(fleet, nodes).items()}


def test_equal_nodes_are_taken_in_the_order_of_their_addresses_however_they_are_listed():
    nodes = [node(10, statmux_device=4), node(9, statmux_device=4), node(2, CPU=1)]
    expected = {"n-0": ("10.0.0.9", "statmux_device"), "n-1": ("10.0.0.10", "statmux_device")}
    for listed in permutations(nodes):
        assert matched(deployment(), list(listed)) == expected


def test_a_labelled_node_is_the_host_of_that_name():
    nodes = [node(1, CPU=4), node(2, CPU=4, labels={"statmux-host": "n-0"})]
    assert matched(deployment(), nodes) == {"n-0": ("10.0.0.2", "CPU"), "n-1": ("10.0.0.1", "CPU")}


def test_the_largest_need_takes_the_smallest_node_that_suffices():
    cluster = Cluster((NodeClass("small", 1, "cpu", 2, 1), NodeClass("large", 1, "cpu", 8, 1)))
    fleet = Deployment("mixed", cluster, deployment().models)
    found = matched(fleet, [node(1, CPU=16), node(2, CPU=8), node(3, CPU=2)])
    assert found == {"large-0": ("10.0.0.2", "CPU"), "small-0": ("10.0.0.3", "CPU")}


def test_accelerators_are_reserved_as_gpus_unless_the_fleet_only_emulates():
    gpus = [node(1, GPU=4, CPU=64), node(2, GPU=4, CPU=64)]
    assert matched(deployment(device_type="h100", engine="jax"), gpus)["n-0"] == ("10.0.0.1", "GPU")
    assert matched(deployment(device_type="h100"), gpus)["n-0"] == ("10.0.0.1", "CPU")


def test_nodes_that_are_too_few_or_too_small_are_refused_with_the_numbers():
    fleet = deployment(device_type="h100", engine="jax")
    with pytest.raises(Infeasible) as caught:
        match_hosts(fleet, [node(1, GPU=4), node(2, GPU=2, CPU=64)])
    assert "host n-1 needs a node with 4 devices (GPU)" in caught.value.message
    assert "Ray's 2 living nodes offer 10.0.0.1 4 GPU, 10.0.0.2 2 GPU" in caught.value.message
    assert caught.value.hint


def test_a_labelled_node_that_is_too_small_is_not_taken():
    with pytest.raises(Infeasible, match="host n-0"):
        match_hosts(deployment(), [node(1, CPU=2, labels={"statmux-host": "n-0"}), node(2, CPU=8)])


def test_a_host_keeps_its_node_while_that_lives():
    first, second, third = node(1, CPU=4), node(2, CPU=4), node(3, CPU=8)
    known = match_hosts(deployment(), [second, third])
    assert {host: one.node_id for host, one in known.items()} == {"n-0": "id-2", "n-1": "id-3"}
    assert match_hosts(deployment(), [first, second, third], known=known) == known


def test_a_node_that_comes_is_the_host_that_was_missing():
    known = match_hosts(deployment(), [node(1, CPU=4), node(2, CPU=4)])
    there = present_hosts(deployment(), [node(2, CPU=4)], known=known)
    assert {host: one.node_id for host, one in there.items()} == {"n-1": "id-2"}
    again = present_hosts(deployment(), [node(2, CPU=4), node(9, CPU=4)], known=there)
    assert {host: one.node_id for host, one in again.items()} == {"n-0": "id-9", "n-1": "id-2"}
    with pytest.raises(Infeasible, match="host n-0 needs a node"):
        match_hosts(deployment(), [node(2, CPU=4)], known=known)


def test_a_node_that_is_too_small_is_no_host():
    assert present_hosts(deployment(), [node(1, CPU=2)]) == {}


def test_devices_are_those_of_the_hosts_that_are_there():
    assert devices_on(["n-1"], deployment().cluster) == {"n-1:0", "n-1:1", "n-1:2", "n-1:3"}


def test_devices_of_a_group_are_told_by_host_in_the_order_of_its_stages():
    spanning = group("g", ["n-1:2", "n-1:0", "n-0:3", "n-0:1"], ParallelConfig(1, 4))
    assert list(device_indices(spanning, deployment().cluster).items()) == [("n-1", (2, 0)), ("n-0", (3, 1))]


def test_a_device_that_the_deployment_does_not_have_is_named():
    with pytest.raises(InvalidInput, match="group g uses device n-7:0"):
        device_indices(group("g", ["n-7:0"], ParallelConfig(1, 1)), deployment().cluster)


def test_one_machine_plays_any_number_of_hosts_without_accelerators():
    assert local_devices(deployment(count=3)) == {"n-0": 4, "n-1": 4, "n-2": 4}
    assert local_devices(deployment(device_type="v100-16g")) == {"n-0": 4, "n-1": 4}


def test_one_machine_does_not_play_two_hosts_with_accelerators():
    assert local_devices(deployment(device_type="h100", engine="jax", count=1)) == {"n-0": 4}
    with pytest.raises(InvalidInput, match="2 hosts with h100 devices"):
        local_devices(deployment(device_type="h100", engine="jax"))
