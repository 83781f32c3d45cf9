"""Devices that go and come, on a fleet whose workers are threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controller.journal import NoJournal
from controller.life.device_watch import DeviceWatch
from controller.life.fewer_devices import Loss
from tests.controller.ray_fleet import deployment
from tests.controller.test_supervisor import G0, G1, TIMEOUT_S, Lively, lively
from vocabulary.errors import Infeasible
from vocabulary.placement import Placement

ALL, LEFT = frozenset({"n-0:0", "n-0:1"}), frozenset({"n-0:0"})
WHOLE, REST = Placement((G0, G1)), Placement((replace(G0, models=("a", "b")),))
LOSSES = (Loss("b", 0.9, 0.5),)


@asynccontextmanager
async def watched(
    *, timeout_s: float = 0.0, has_plan: bool = True
) -> AsyncIterator[tuple[Lively, DeviceWatch]]:
    """A fleet that runs the whole plan. has_plan: for the devices that are left."""
    asked: list[frozenset[str]] = []

    async def replan(devices: frozenset[str], placement: Placement) -> Placement:
        asked.append(devices)
        assert placement == WHOLE, "it is always the whole plan that is planned for fewer devices"
        if not has_plan:
            raise Infeasible("nothing fits there")
        return REST

    async def losses(before: Placement, after: Placement) -> tuple[Loss, ...]:
        assert (before, after) == (WHOLE, REST)
        return LOSSES

    async with lively(deployment(), G0, G1) as fleet:
        watch = DeviceWatch(
            fleet.supervisor, timeout_s=timeout_s, replan=replan, losses=losses, journal=NoJournal()
        )
        watch.hear(ALL)
        fleet.supervisor.want(WHOLE)
        await fleet.converged()
        yield fleet, watch
        await watch.close()


async def lose_a_device(fleet: Lively, watch: DeviceWatch) -> None:
    await asyncio.to_thread(fleet.cluster.crash, "g1")
    watch.hear(LEFT)


@pytest.mark.asyncio
async def test_devices_that_stay_away_are_planned_without_and_planned_with_when_they_come_back() -> None:
    async with watched() as (fleet, watch):
        await lose_a_device(fleet, watch)
        await fleet.until(lambda: fleet.server.placement == REST and fleet.supervisor.is_converged)
        async with asyncio.timeout(TIMEOUT_S):
            while watch.fallback.losses is None:
                await asyncio.sleep(0)
        assert watch.fallback.sentence == "without n-0:1: b 90.0% -> 50.0%"
        watch.hear(ALL)
        await fleet.until(lambda: watch.fallback is None and fleet.supervisor.is_converged)
        assert set(fleet.server.placement.groups) == {G0, G1}


@pytest.mark.asyncio
async def test_devices_that_come_back_soon_change_no_plan() -> None:
    async with watched(timeout_s=600.0) as (fleet, watch):
        await lose_a_device(fleet, watch)
        await fleet.until(lambda: not fleet.supervisor.members.of("g1").is_running)
        watch.hear(ALL)
        await fleet.until(lambda: fleet.server.is_ready() and fleet.supervisor.is_converged)
        assert (watch.fallback, fleet.supervisor.desired) == (None, WHOLE)


@pytest.mark.asyncio
async def test_without_a_plan_for_the_rest_what_runs_goes_on() -> None:
    async with watched(has_plan=False) as (fleet, watch):
        await lose_a_device(fleet, watch)
        await fleet.until(lambda: not fleet.supervisor.members.of("g1").is_running)
        assert (watch.fallback, fleet.supervisor.desired) == (None, WHOLE)
        assert fleet.server.models()["a"].state.value == "READY"
