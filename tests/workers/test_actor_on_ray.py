"""A group's actor on a real Ray: it outlives whoever made it for its grace, and then takes all along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from controller.on_ray.cluster import RayCluster
from controller.on_ray.hosts import DEVICE_RESOURCE
from tests.controller.ray_fleet import deployment
from tests.workers.emulated_group import KEY, spec_of, without
from tests.workers.group_visits import visit
from workers.actor import GroupWorker

pytestmark = pytest.mark.cluster
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    ours = RayCluster(deployment(), progress=print)
    ours.open()
    yield ours
    ours.close()


def reserved() -> PlacementGroup:
    one = placement_group([{DEVICE_RESOURCE: 1.0}], lifetime="detached")
    assert one.wait(PATIENCE_S)
    return one


def made(reservation: PlacementGroup, **settings):
    """A detached actor of an emulated group."""
    actor = ray.remote(GroupWorker).options(
        num_cpus=0,
        resources={DEVICE_RESOURCE: 1},
        lifetime="detached",
        name=f"worker-{reservation.id.hex()}",
        max_concurrency=8,
        scheduling_strategy=PlacementGroupSchedulingStrategy(reservation, 0),
    )
    return actor.remote(engine="emulated", platform="cpu", device_indices=(0,), **settings)


def death_of(actor) -> str:
    with pytest.raises(ray.exceptions.RayActorError) as caught:
        ray.get(actor.wait.remote(), timeout=PATIENCE_S)
    return str(caught.value)


async def comes(is_so: Callable[[], bool]) -> bool:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.05)
    return True


def is_given_back(reservation: PlacementGroup) -> bool:
    return placement_group_table(reservation)["state"] == "REMOVED"


@pytest.mark.asyncio
async def test_an_actor_serves_changes_and_ends_itself_when_no_front_end_comes_back(
    cluster: RayCluster, tmp_path: Path
):
    folder = tmp_path / "sockets"
    folder.mkdir()
    spec = replace(spec_of(folder, {"m": (0.001, 0.001), "b": (0.001, 0.001)}), orphan_grace_s=1.0)
    reservation = reserved()
    actor = made(reservation)
    identity = ray.get(actor.prepare.remote())
    ray.get(actor.read.remote(without(spec, "b")))
    started = ray.get(actor.start.remote())
    async with visit(started.address, KEY) as visitor:
        assert (await visitor.answer(1)).header.fate == "served"
        ray.get(actor.read_more.remote(spec, ("b",)))
        assert set(ray.get(actor.add.remote(("b",))).interfaces) == {"m", "b"}
        assert (await visitor.answer(2, "b")).header.fate == "served"
        resumed = ray.get(actor.resume.remote())
        assert (resumed.identity, resumed.spec.group.models) == (identity, ("m", "b"))
        assert set(ray.get(actor.remove.remote(("b",))).interfaces) == {"m"}
        # Longer than its grace, and somebody is there.
        await asyncio.sleep(1.5)
        assert (await visitor.answer(3)).header.fate == "served"
    assert await asyncio.to_thread(death_of, actor)
    assert await comes(lambda: is_given_back(reservation))
    assert await comes(lambda: not Path(f"/proc/{identity.pid}").exists())
    assert not folder.exists()


@pytest.mark.asyncio
async def test_an_actor_whose_start_never_goes_on_ends_itself(cluster: RayCluster):
    reservation = reserved()
    actor = made(reservation, starting_grace_s=0.5)
    assert ray.get(actor.prepare.remote()).pid
    assert await asyncio.to_thread(death_of, actor)
    assert await comes(lambda: is_given_back(reservation))
