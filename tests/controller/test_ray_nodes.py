"""A Ray that was joined, of several nodes: groups lie on different ones, nodes are killed, others come."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import select
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from controller.keys import new_keys
from controller.on_ray.cluster import RayCluster
from controller.on_ray.connection import agree_on_token
from controller.on_ray.hosts import HOST_LABEL
from controller.on_ray.local import LocalRay
from controller.on_ray.orphans import end_orphans
from tests.controller.ray_fleet import deployment, group, processes_of, specs_of
from tests.controller.ray_raylets import joined_node, kill_node
from tests.controller.test_ray_cluster import served
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible
from vocabulary.parallel import ParallelConfig

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]
ONE, TWO_STAGES = ParallelConfig(1, 1), ParallelConfig(1, 2)
FIRST = {"n-0:0", "n-0:1", "n-0:2", "n-0:3"}
SECOND = {"n-1:0", "n-1:1", "n-1:2", "n-1:3"}
PATIENCE_S = 60.0
STORE_METHOD = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
NODE_METHOD = "/ray.rpc.NodeManagerService/GetSystemConfig"
KEYS = new_keys()


@dataclass(frozen=True, slots=True)
class Joined:
    """A fleet of two hosts on a Ray of its own folder; which of its devices are there, and what was lost."""

    cluster: RayCluster
    folder: Path
    seen: queue.Queue[frozenset[str]]
    lost: queue.Queue[str]


def fleet_at(address: str) -> Deployment:
    return deployment(ray_address=address, orphan_grace_s=60.0)


@pytest.fixture(scope="module")
def joined() -> Iterator[Joined]:
    folder = Path(tempfile.mkdtemp(prefix="statmux-", dir="/tmp"))
    agree_on_token()
    ray = LocalRay({"n-0": 4, "n-1": 4}, folder=folder)
    ray.launch()
    address = ray.wait(timeout_s=90.0, progress=lambda words: None)
    cluster = RayCluster(fleet_at(address), progress=lambda words: None, keys=KEYS)
    cluster.open()
    found = Joined(cluster, folder, queue.Queue(), queue.Queue())
    cluster.watch_nodes(found.seen.put, interval_s=0.2)
    cluster.watch(lambda group_id, why: found.lost.put(group_id))
    yield found
    cluster.close()
    ray.stop()
    assert processes_of(str(folder)) == []
    shutil.rmtree(folder, ignore_errors=True)


def test_groups_lie_on_different_nodes_and_a_pipeline_on_both(joined: Joined):
    fleet = fleet_at(joined.cluster.address)
    started = joined.cluster.start_groups(
        specs_of(
            fleet,
            group("first", ["n-0:0"], ONE, "b"),
            group("second", ["n-1:0"], ONE, "b"),
            group("wide", ["n-0:1", "n-1:1"], TWO_STAGES, "b"),
        )
    )
    assert [one.host for one in started] == ["n-0", "n-1", "n-0"]
    assert started[0].node_id == started[2].node_id != started[1].node_id
    for one in started:
        assert asyncio.run(served(one.address)).tensors
    joined.cluster.stop_groups(["wide"])
    assert joined.seen.get(timeout=PATIENCE_S) == FIRST | SECOND


def test_a_killed_node_takes_its_groups_and_its_devices_along(joined: Joined):
    kill_node("n-1", str(joined.folder))
    assert joined.lost.get(timeout=PATIENCE_S) == "second"
    assert joined.seen.get(timeout=PATIENCE_S) == FIRST
    with pytest.raises(Infeasible, match="group second needs n-1; Ray has no node for it at the moment"):
        joined.cluster.start_groups(specs_of(fleet_at(""), group("second", ["n-1:0"], ONE, "b")))
    # What can be moved goes on where there is room.
    (moved,) = joined.cluster.start_groups(specs_of(fleet_at(""), group("second", ["n-0:2"], ONE, "b")))
    assert asyncio.run(served(moved.address)).tensors


def test_a_node_that_comes_is_the_host_that_was_missing(joined: Joined):
    with joined_node(joined.cluster.address, host="n-1", folder=joined.folder):
        assert joined.seen.get(timeout=PATIENCE_S) == FIRST | SECOND
        (again,) = joined.cluster.start_groups(specs_of(fleet_at(""), group("third", ["n-1:0"], ONE, "b")))
        assert again.host == "n-1"
        assert asyncio.run(served(again.address)).tensors
        joined.cluster.stop_groups(["third"])


def test_calls_without_the_token_are_refused_by_the_store_of_the_cluster_and_by_its_nodes(joined: Joined):
    import ray

    head = joined.cluster.address
    nodes = [
        f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        for node in ray.nodes()
        if node["Labels"].get(HOST_LABEL) == "n-0"
    ]
    assert nodes
    for address, method in ((head, STORE_METHOD), *((node, NODE_METHOD) for node in nodes)):
        for token in (None, "a" * 64):
            assert answer_of(address, method, token=token) is grpc.StatusCode.UNAUTHENTICATED
        assert answer_of(address, method, token=os.environ["RAY_AUTH_TOKEN"]) is grpc.StatusCode.OK


def answer_of(address: str, method: str, *, token: str | None) -> grpc.StatusCode:
    """To an empty request of Ray's own protocol."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=10.0, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_what_a_controller_leaves_on_a_ray_of_others_is_found_again_or_ended(joined: Joined):
    fleet = fleet_at(joined.cluster.address)
    memory = json.loads(json.dumps(joined.cluster.memory()))
    joined.cluster.leave()
    another = RayCluster(fleet, progress=lambda words: None, keys=KEYS)
    another.open(memory)
    ids = {one.group_id: one.pid for one in another.adopt()}
    assert set(ids) == {"first", "second"}
    another.leave()
    ends = [os.pidfd_open(pid) for pid in ids.values()]
    assert end_orphans(memory, KEYS) == f"2 actors on the Ray at {joined.cluster.address}"
    for end in ends:
        assert select.select([end], [], [], 10.0)[0]
        os.close(end)
    assert not Path(memory["folder"]).exists()
    assert end_orphans(memory, KEYS) == ""
    everything = [f"n-0:{device}" for device in range(4)]
    last = RayCluster(replace(fleet, cluster=deployment(count=1).cluster), progress=print, keys=KEYS)
    last.open(memory)
    assert last.adopt() == ()
    (all_of_it,) = last.start_groups(specs_of(fleet, group("all", everything, ParallelConfig(1, 4), "b")))
    assert all_of_it.host == "n-0"
    last.close()
