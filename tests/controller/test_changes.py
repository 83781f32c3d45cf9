"""Models loaded and unloaded, groups and hosts drained, on a fleet whose workers are threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controller.calls import InferReply, Reason, Refusal
from controller.change.changes import FleetChanges
from controller.journal import NoJournal
from controller.life.past import Past
from tests.controller.ray_fleet import deployment
from tests.controller.test_supervisor import G0, G1, G2, TIMEOUT_S, Lively, lively
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.placement import Group, Placement

FLEET = deployment()
DEVICES = frozenset(device.id for device in FLEET.cluster.devices)
WHOLE = Placement((G0, G1))


@asynccontextmanager
async def changed(
    *, spare: Group = G2, past: Past | None = None, plan: Placement = WHOLE
) -> AsyncIterator[tuple[Lively, FleetChanges]]:
    """g0 with a, g1 with a and b; a plan for fewer devices has the spare group. plan: in place of these."""

    async def replan(devices: frozenset[str], placement: Placement) -> Placement:
        await asyncio.sleep(0)
        kept = (*placement.groups, spare)
        return Placement(tuple(group for group in kept if devices.issuperset(group.devices)))

    async with lively(FLEET, *plan.groups) as fleet:
        changes = FleetChanges(
            fleet.supervisor,
            fleet.server,
            replan=replan,
            devices=lambda: DEVICES,
            journal=NoJournal(),
            past=past or Past(NoJournal()),
        )
        fleet.server.service.residency = changes
        fleet.supervisor.want(await changes.resumed(plan))
        await fleet.converged()
        async with asyncio.timeout(TIMEOUT_S):
            yield fleet, changes


@pytest.mark.asyncio
async def test_an_unloaded_model_leaves_memory_and_comes_back_where_it_was_when_it_is_loaded() -> None:
    async with changed() as (fleet, _):
        assert await fleet.server.unload("b") is None
        refused = await fleet.ask("b")
        assert isinstance(refused, Refusal) and refused.reason is Reason.NOT_LOADED
        assert await fleet.server.unload("b") is None, "again, with the same result"
        assert [await fleet.server.load("b") for _ in range(2)] == [None, None]
        assert isinstance(await fleet.ask("b"), InferReply)
        assert fleet.cluster.calls == ["start g0 g1", "change g1 -b", "change g1 +b"]


@pytest.mark.asyncio
async def test_a_model_that_nobody_knows_is_refused() -> None:
    async with changed() as (_, changes):
        with pytest.raises(InvalidInput, match="the deployment has no model 'c'"):
            await changes.unload("c")


@pytest.mark.asyncio
async def test_a_drained_group_is_replaced_first_and_comes_back() -> None:
    async with changed() as (fleet, changes):
        assert await changes.drain("g1") == ()
        assert [group.id for group in fleet.server.placement.groups] == ["g0", "g2"]
        assert isinstance(await fleet.ask("b"), InferReply)
        assert await changes.drain("g0", may_interrupt=True) == ("a",)
        assert changes.drained == ("g1", "g0")
        await changes.undrain("g0")
        assert [group.id for group in fleet.server.placement.groups] == ["g2", "g0"]
        await changes.undrain("g1")
        assert {group.id for group in fleet.server.placement.groups} == {"g0", "g1"}


@pytest.mark.asyncio
async def test_what_would_leave_a_model_without_a_replica_is_not_drained() -> None:
    async with changed() as (fleet, changes):
        with pytest.raises(Infeasible, match="without n-0 there is no room for a, b"):
            await changes.drain("n-0")
        assert fleet.supervisor.desired == Placement((G0, G1))
        with pytest.raises(InvalidInput, match="'n-9' is neither a group nor a host"):
            await changes.drain("n-9")


@pytest.mark.asyncio
async def test_two_who_load_a_model_at_once_both_hear_that_it_is_there() -> None:
    async with changed() as (fleet, _):
        assert await fleet.server.unload("b") is None
        both = await asyncio.gather(fleet.server.load("b"), fleet.server.load("b"))
        assert both == [None, None]
        assert isinstance(await fleet.ask("b"), InferReply)


@pytest.mark.asyncio
async def test_two_drains_at_once_are_both_carried_out() -> None:
    async with changed() as (fleet, changes):
        await asyncio.gather(changes.drain("g1", may_interrupt=True), changes.drain("g0", may_interrupt=True))
        assert set(changes.drained) == {"g0", "g1"}
        assert changes.drained_devices == {"n-0:0", "n-0:1"}
        await fleet.converged()
        assert [group.id for group in fleet.server.placement.groups] == ["g2"]


@pytest.mark.asyncio
async def test_what_ran_before_a_drain_comes_back_though_its_plan_named_groups_otherwise() -> None:
    async with changed(spare=replace(G2, id="g1")) as (fleet, changes):
        await changes.drain("g1")
        assert [group.id for group in fleet.server.placement.groups] == ["g0", "g1-2"]
        await changes.undrain("g1")
        assert {group.id for group in fleet.server.placement.groups} == {"g0", "g1"}


@pytest.mark.asyncio
async def test_what_was_drained_stays_so_under_the_next_controller_and_comes_back_when_that_is_asked() -> (
    None
):
    past = Past(NoJournal())
    async with changed(past=past) as (fleet, changes):
        await changes.drain("g1")
        left = fleet.supervisor.desired
    async with changed(past=past, plan=left) as (fleet, changes):
        assert (changes.drained, changes.drained_devices) == (("g1",), {"n-0:1"})
        assert [group.id for group in fleet.server.placement.groups] == ["g0", "g2"]
        await changes.undrain("g1")
        assert fleet.supervisor.desired == WHOLE
        await changes.drain("g1")
    async with changed(past=past) as (fleet, changes):
        assert [group.id for group in fleet.server.placement.groups] == ["g0", "g2"], "a plan from a file"
        await changes.undrain("g1")
        assert fleet.supervisor.desired == WHOLE
        await changes.drain("g0")
    async with changed(past=past, plan=Placement((G0,))) as (fleet, changes):
        assert [group.id for group in fleet.server.placement.groups] == ["g2"], "there was no other place"
    past.forget()
    async with changed(past=past) as (_, changes):
        assert changes.drained == ()


@pytest.mark.asyncio
async def test_what_was_unloaded_stays_out_under_the_next_controller_whatever_that_plans() -> None:
    past = Past(NoJournal())
    async with changed(past=past) as (fleet, _):
        await fleet.server.unload("b")
    async with changed(past=past) as (fleet, _):
        assert fleet.server.placement.models == {"a"}
        refused = await fleet.ask("b")
        assert isinstance(refused, Refusal) and refused.reason is Reason.NOT_LOADED
        assert await fleet.server.load("b") is None
        assert isinstance(await fleet.ask("b"), InferReply)
    async with changed(past=past) as (fleet, _):
        assert isinstance(await fleet.ask("b"), InferReply)
