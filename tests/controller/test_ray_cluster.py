"""A fleet on a real Ray of two nodes: where groups run, how they are reached, what is refused, who dies."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import queue
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.actor import ActorClass

from controller.on_ray.cluster import RayCluster, StartedGroup
from controller.on_ray.nouns import Limits
from tests.controller.ray_fleet import KEY, deployment, group, make_shadows, processes_of, specs_of
from vocabulary.deployment import ModelSpec
from vocabulary.errors import Infeasible, InvalidInput, StatmuxError
from vocabulary.parallel import ParallelConfig
from vocabulary.tensors import Tensor
from workers.frames import Done, Frame, Gone, Hello, Run, tensor_headers
from workers.link import SocketLink
from workers.spec import Address, WorkerSpec

pytestmark = pytest.mark.cluster
FLEET = deployment()
INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x05\x00\x00\x00"),)
ONE, TWO_STAGES, FOUR_STAGES = ParallelConfig(1, 1), ParallelConfig(1, 2), ParallelConfig(1, 4)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def cluster(said: list[str]) -> Iterator[RayCluster]:
    ours = RayCluster(FLEET, progress=said.append, limits=Limits(reserve_s=4.0))
    ours.open()
    folder = ours.socket_folder
    yield ours
    ours.close()
    ours.close()
    assert processes_of(folder) == []
    assert not Path(folder).exists()


@pytest.fixture(scope="module")
def started(cluster: RayCluster) -> tuple[StartedGroup, ...]:
    return cluster.start_groups(
        specs_of(
            FLEET,
            group("g0", ["n-1:0", "n-1:1"], TWO_STAGES, "ab"),
            group("g1", ["n-0:0"], ONE),
            group("g2", ["n-0:1"], ONE, "b"),
        )
    )


async def served(address: Address) -> Frame:
    """The answer to one request for emulated model b."""
    return await answered(address, "b", INPUT)


async def answered(address: Address, model: str, tensors: tuple[Tensor, ...]) -> Frame:
    """Over the group's socket."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Frame] = loop.create_future()

    def receive(frame: Frame) -> None:
        if isinstance(frame.header, Done):
            answer.set_result(frame)

    _, link = await loop.create_unix_connection(lambda: SocketLink(receive, print), address.socket_path)
    link.send(Hello(KEY, loop.time()))
    link.send(Run(1, model, loop.time(), float("inf"), float("inf"), tensor_headers(tensors)), tensors)
    link.flush()
    try:
        return await asyncio.wait_for(answer, 10.0)
    finally:
        link.close()


async def until_its_follower_is_killed(address: Address, folder: str) -> tuple[Frame, Frame]:
    """The answer to one request for model a, and the last frame."""
    ids = (Tensor("input_ids", "INT64", (1, 2), b"\x05" + bytes(15)),)
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Frame] = asyncio.Queue()
    _, link = await loop.create_unix_connection(
        lambda: SocketLink(heard.put_nowait, lambda why: None), address.socket_path
    )
    link.send(Hello(KEY, loop.time()))
    link.send(Run(1, "a", loop.time(), float("inf"), float("inf"), tensor_headers(ids)), ids)
    link.flush()
    async with asyncio.timeout(20.0):
        while not isinstance((answer := await heard.get()).header, Done):
            pass
        (follower,) = [pid for pid in processes_of(folder) if "FollowerWorker" in title_of(pid)]
        os.kill(follower, signal.SIGKILL)
        while not isinstance((farewell := await heard.get()).header, Gone):
            pass
    return answer, farewell


def title_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_groups_run_on_the_nodes_that_the_plan_names(started: tuple[StartedGroup, ...]):
    import ray

    labels = {node["NodeID"]: node["Labels"]["statmux-host"] for node in ray.nodes()}
    assert [labels[each.node_id] for each in started] == ["n-1", "n-0", "n-0"]
    assert [each.host for each in started] == ["n-1", "n-0", "n-0"]


def test_groups_have_processes_of_their_own_away_from_where_the_user_stands(
    cluster: RayCluster, started: tuple[StartedGroup, ...]
):
    assert len({each.pid for each in started} | {os.getpid()}) == 4
    for each in started:
        assert Path(f"/proc/{each.pid}/cwd").resolve().is_relative_to(cluster.socket_folder)


def test_progress_tells_what_is_happening(started: tuple[StartedGroup, ...], said: list[str]):
    assert said[0] == "starting Ray: 2 nodes with 8 devices"
    assert "group g0: loading 2 models on n-1" in said
    assert any(words.startswith("group g0: ready after ") for words in said)


@pytest.mark.asyncio
async def test_a_request_travels_over_the_socket(started: tuple[StartedGroup, ...]):
    answer = await served(started[0].address)
    assert isinstance(answer.header, Done)
    assert answer.header.fate == "served"
    assert bytes(answer.tensors[0].raw) == INPUT[0].raw
    assert set(started[0].interfaces) == {"a", "b"}


def test_however_many_groups_start_ray_keeps_one_class_of_their_workers(started: tuple[StartedGroup, ...]):
    classes = [one for one in gc.get_objects() if isinstance(one, ActorClass)]
    assert Counter(one.__ray_metadata__.class_name for one in classes)["GroupWorker"] == 1


def test_devices_are_not_given_twice(cluster: RayCluster, started: tuple[StartedGroup, ...]):
    with pytest.raises(Infeasible) as caught:
        cluster.start_groups(
            specs_of(FLEET, group("thief", ["n-1:0", "n-1:1", "n-1:2"], ParallelConfig(1, 3)))
        )
    assert "group thief needs 3 statmux_device on n-1" in caught.value.message
    assert "the whole cluster has 4 statmux_device free" in caught.value.message


def test_a_group_over_two_hosts_reserves_both_and_is_led_from_the_first(
    cluster: RayCluster, started: tuple[StartedGroup, ...]
):
    spanning = group("wide", ["n-1:2", "n-1:3", "n-0:2", "n-0:3"], FOUR_STAGES)
    (wide,) = cluster.start_groups(specs_of(FLEET, spanning))
    assert wide.host == "n-1"
    with pytest.raises(Infeasible, match="0 statmux_device free"):
        cluster.start_groups(specs_of(FLEET, group("late", ["n-0:2"], ONE)))
    cluster.stop_groups(["wide"])


def test_a_stage_of_a_jax_group_lies_on_one_host():
    with pytest.raises(InvalidInput, match="stage 0 of group wide lies on hosts n-0, n-1"):
        specs_of(deployment(engine="jax"), group("wide", ["n-1:3", "n-0:3"], ParallelConfig(2, 1)))


def test_what_a_worker_refuses_comes_back_as_it_was_said_and_the_other_groups_stop(
    cluster: RayCluster, started: tuple[StartedGroup, ...]
):
    good, bad = specs_of(FLEET, group("good", ["n-0:2"], ONE), group("bad", ["n-0:3"], ONE))
    missing = ModelSpec("a", source="file:///nonexistent/checkpoint")
    with pytest.raises(StatmuxError) as caught:
        cluster.start_groups([good, dataclasses.replace(bad, engine="jax", models=(missing,))])
    assert str(caught.value).count("\n") == 0
    assert "/nonexistent/checkpoint" in str(caught.value)
    again = cluster.start_groups(specs_of(FLEET, group("good", ["n-0:2", "n-0:3"], TWO_STAGES)))
    assert again[0].host == "n-0"
    cluster.stop_groups(["good"])


def test_a_jax_group_finds_its_virtual_devices(cluster: RayCluster, started: tuple[StartedGroup, ...]):
    fleet = deployment(engine="jax")
    (computing,) = cluster.start_groups(
        specs_of(fleet, group("jax", ["n-0:2", "n-0:3"], ParallelConfig(2, 1), "a"))
    )
    assert [spec.name for spec in computing.interfaces["a"].inputs] == ["input_ids", "attention_mask"]
    cluster.stop_groups(["jax"])


def test_a_jax_group_computes_on_two_hosts_and_is_lost_with_either(
    cluster: RayCluster, started: tuple[StartedGroup, ...], said: list[str]
):
    (spec,) = specs_of(deployment(engine="jax"), group("wide", ["n-1:3", "n-0:3"], TWO_STAGES))
    (wide,) = cluster.start_groups([quick(spec)])
    assert wide.host == "n-1"
    assert "group wide: loading 1 models on n-1, n-0" in said
    lost: queue.Queue[tuple[str, str]] = queue.Queue()
    cluster.watch(lambda group_id, why: lost.put((group_id, why)))
    answer, farewell = asyncio.run(until_its_follower_is_killed(wide.address, cluster.socket_folder))
    assert answer.tensors[0].shape == (1, 2, 128)
    assert farewell.header.why.startswith("host n-0 of group wide is lost: ")
    assert lost.get(timeout=30.0)[0] == "wide"
    cluster.stop_groups(["wide"])


def test_new_replicas_and_groups_that_get_a_model_have_its_weights_from_living_ones(
    cluster: RayCluster, started: tuple[StartedGroup, ...], said: list[str]
):
    fleet = deployment(engine="jax", weight_bytes=10**9)
    specs = specs_of(fleet, group("first", ["n-1:3"], ONE), group("second", ["n-0:2"], ONE))
    first, second = cluster.start_groups([quick(spec) for spec in specs])
    assert [(one.model, one.origin) for one in first.loads] == [("a", "store")]
    assert [(one.model, one.origin, one.why) for one in second.loads] == [("a", "first", "")]
    (third,) = cluster.start_groups([quick(*specs_of(fleet, group("third", ["n-0:3"], ONE, "b")))])
    assert [(one.model, one.origin) for one in third.loads] == [("b", "store")]
    both = quick(*specs_of(fleet, group("third", ["n-0:3"], ONE, "ab")))
    third = cluster.change_group(both, add=("a",))
    assert [(one.origin, one.why) for one in third.loads if one.model == "a"] == [("first, second", "")]
    assert any(
        words.startswith("group third: ") and " of a from group first, second in " in words for words in said
    )
    ids = (Tensor("input_ids", "INT64", (1, 2), b"\x05" + bytes(15)),)
    answers = [asyncio.run(answered(one.address, "a", ids)) for one in (first, second, third)]
    assert len({bytes(answer.tensors[0].raw) for answer in answers}) == 1
    cluster.stop_groups(["first", "second", "third"])


def quick(spec: WorkerSpec) -> WorkerSpec:
    """In one bucket, so that it compiles once."""
    models = tuple(dataclasses.replace(model, sequence_lengths=(8,)) for model in spec.models)
    return dataclasses.replace(spec, models=models)


def test_another_process_joins_the_cluster_and_leaves_it_running(
    cluster: RayCluster, started: tuple[StartedGroup, ...], tmp_path: Path
):
    driver = Path(__file__).with_name("ray_driver.py")
    command = [sys.executable, "-P", str(driver), cluster.address, "n-0:2"]
    ran = subprocess.run(
        command, cwd=make_shadows(tmp_path), capture_output=True, text=True, timeout=120, input=""
    )
    assert ran.returncode == 0, ran.stderr
    assert "ready on n-0" in ran.stdout
    assert asyncio.run(served(started[0].address)).tensors


def test_the_death_of_a_worker_is_told_and_the_others_go_on(
    cluster: RayCluster, started: tuple[StartedGroup, ...]
):
    lost: queue.Queue[tuple[str, str]] = queue.Queue()
    cluster.watch(lambda group_id, why: lost.put((group_id, why)))
    os.kill(started[2].pid, signal.SIGKILL)
    group_id, why = lost.get(timeout=30.0)
    assert group_id == "g2"
    assert why
    assert asyncio.run(served(started[0].address)).tensors
    assert lost.empty()
