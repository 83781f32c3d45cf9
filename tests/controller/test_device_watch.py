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
from controller.life.past import Past
from tests.controller.ray_fleet import deployment
from tests.controller.test_supervisor import G0, G1, TIMEOUT_S, Lively, lively
from vocabulary.errors import Infeasible
from vocabulary.placement import Placement

ALL, LEFT = frozenset({"n-0:0", "n-0:1"}), frozenset({"n-0:0"})
WHOLE, REST = Placement((G0, G1)), Placement((replace(G0, models=("a", "b")),))
LOSSES = (Loss("b", 0.9, 0.5),)


@asynccontextmanager
async def watched(
    *, timeout_s: float = 0.0, has_plan: bool = True, rest: Placement = REST
) -> AsyncIterator[tuple[Lively, DeviceWatch]]:
    """A fleet that runs the whole plan. has_plan: for the devices that are left."""
    asked: list[frozenset[str]] = []

    async def replan(devices: frozenset[str], placement: Placement) -> Placement:
        asked.append(devices)
        assert placement == WHOLE, "it is always the whole plan that is planned for fewer devices"
        if not has_plan:
            raise Infeasible("nothing fits there")
        return rest

    async def losses(before: Placement, after: Placement) -> tuple[Loss, ...]:
        assert (before, after) == (WHOLE, REST)
        return LOSSES

    async with lively(deployment(), G0, G1) as fleet:
        watch = DeviceWatch(
            fleet.supervisor, timeout_s=timeout_s, replan=replan, losses=losses, journal=NoJournal(),
            past=Past(NoJournal()),
        )  # fmt: skip
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


@pytest.mark.asyncio
async def test_a_controller_that_comes_while_devices_are_away_plans_without_them() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        watch = watch_of(fleet)
        watch.hear(LEFT)
        fleet.supervisor.want(WHOLE)
        watch.look()
        await fleet.converged()
        assert (fleet.supervisor.desired, watch.fallback.missing) == (REST, ("n-0:1",))
        await watch.close()


@pytest.mark.asyncio
async def test_the_plan_of_before_comes_back_though_groups_were_named_otherwise() -> None:
    renamed = Placement((replace(REST.groups[0], id="x"),))
    async with watched(rest=renamed) as (fleet, watch):
        await lose_a_device(fleet, watch)
        await fleet.until(lambda: fleet.server.placement == REST and fleet.supervisor.is_converged)
        watch.hear(ALL)
        await fleet.until(lambda: watch.fallback is None and fleet.supervisor.is_converged)
        assert set(fleet.server.placement.groups) == {G0, G1}


@pytest.mark.asyncio
async def test_a_drained_device_is_not_planned_with_for_want_of_others() -> None:
    asked: list[frozenset[str]] = []

    async def replan(devices: frozenset[str], placement: Placement) -> Placement:
        asked.append(devices)
        return REST

    async with lively(deployment(), G0, G1) as fleet:
        watch = watch_of(fleet, replan=replan, drained=lambda: frozenset({"n-0:2"}))
        watch.hear(LEFT | {"n-0:2"})
        fleet.supervisor.want(WHOLE)
        watch.look()
        await fleet.converged()
        await watch.close()
    assert asked == [LEFT]


@pytest.mark.asyncio
async def test_what_somebody_wants_while_a_plan_for_fewer_devices_is_searched_is_not_lost() -> None:
    mine = Placement((replace(G0, models=("b",)), G1))
    placements: list[Placement] = []

    async with lively(deployment(), G0, G1) as fleet:

        async def replan(devices: frozenset[str], placement: Placement) -> Placement:
            placements.append(placement)
            if placement == WHOLE:
                fleet.supervisor.want(mine)
            return REST

        watch = watch_of(fleet, replan=replan)
        watch.hear(LEFT)
        fleet.supervisor.want(WHOLE)
        watch.look()
        await fleet.until(lambda: fleet.supervisor.desired == REST and fleet.supervisor.is_converged)
        assert placements == [WHOLE, mine]
        await watch.close()


@pytest.mark.asyncio
async def test_the_plan_of_before_comes_back_also_under_a_controller_that_came_while_devices_were_away() -> (
    None
):
    past = Past(NoJournal())
    async with lively(deployment(), G0, G1) as fleet:
        first = watch_of(fleet, past=past)
        first.hear(LEFT)
        fleet.supervisor.want(WHOLE)
        first.look()
        await fleet.until(lambda: fleet.supervisor.desired == REST and fleet.supervisor.is_converged)
        await first.close()
    async with lively(deployment(), G0, G1) as fleet:
        second = watch_of(fleet, past=past)
        second.hear(LEFT)
        fleet.supervisor.want(REST)
        second.resume()
        second.look()
        await fleet.converged()
        assert second.fallback.missing == ("n-0:1",)
        second.hear(ALL)
        await fleet.until(lambda: fleet.supervisor.desired == WHOLE and fleet.supervisor.is_converged)
        await second.close()
    assert past.fell_back(deployment()) is None


def watch_of(fleet: Lively, *, replan=None, drained=frozenset, past: Past | None = None) -> DeviceWatch:
    """Plans REST at once unless `replan` does otherwise; knows no losses."""

    async def rest(devices: frozenset[str], placement: Placement) -> Placement:
        return REST

    async def losses(before: Placement, after: Placement) -> tuple[Loss, ...]:
        return ()

    return DeviceWatch(
        fleet.supervisor,
        timeout_s=0.0,
        replan=replan or rest,
        losses=losses,
        journal=NoJournal(),
        past=past or Past(NoJournal()),
        drained=drained,
    )
