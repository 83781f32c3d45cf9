"""Clusters of node classes and the ids of their devices."""

from __future__ import annotations

import pytest

from vocabulary.mesh import Cluster, NodeClass

V100 = NodeClass("v100", count=2, device_type="v100-16g", devices_per_host=3, memory_bytes=16_000)
CPU = NodeClass("cpu", count=1, device_type="cpu", devices_per_host=1, memory_bytes=100)


def test_devices_come_by_class_then_host_then_index() -> None:
    assert [device.id for device in Cluster((V100, CPU)).devices] == [
        "v100-0:0", "v100-0:1", "v100-0:2", "v100-1:0", "v100-1:1", "v100-1:2", "cpu-0:0",
    ]  # fmt: skip


def test_a_device_knows_its_host_type_and_memory() -> None:
    device = Cluster((V100, CPU)).by_id()["v100-1:2"]
    assert (device.host, device.device_type, device.memory_bytes) == ("v100-1", "v100-16g", 16_000)


def test_the_count_of_devices_is_that_of_the_list() -> None:
    cluster = Cluster((V100, CPU))
    assert cluster.num_devices == len(cluster.devices) == len(cluster.by_id()) == 7


def test_the_reserve_is_kept_out_of_every_device() -> None:
    cluster = Cluster((V100, CPU), reserve=0.1)
    assert [cluster.usable_bytes(device) for device in (cluster.devices[0], cluster.devices[-1])] == [
        14_400,
        90,
    ]


@pytest.mark.parametrize("reserve", [-0.1, 1.0])
def test_a_reserve_is_a_fraction_below_one(reserve: float) -> None:
    with pytest.raises(AssertionError):
        Cluster((CPU,), reserve=reserve)


def test_clusters_of_equal_nodes_have_equal_devices_whatever_is_reserved() -> None:
    cluster = Cluster((V100, CPU), reserved=("cpu-0:0",))
    assert cluster.by_id() == Cluster((V100, CPU)).by_id()
    assert Cluster((CPU,)).by_id().keys() == {"cpu-0:0"}
