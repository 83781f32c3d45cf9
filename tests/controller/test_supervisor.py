"""The supervisor with real workers on threads: what it wants comes to run, and comes back when it is lost."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from controller.calls import InferCall, InferReply
from controller.journal import NoJournal
from controller.life.fleet_specs import worker_specs
from controller.life.links import open_link
from controller.life.members import GroupState, Members
from controller.life.past import Past
from controller.life.rosters import Rosters
from controller.life.supervisor import Supervisor
from controller.metrics import FleetMetrics
from controller.on_ray.nouns import StartedGroup
from controller.server import FleetServer
from controller.tracing.asking import ASKING, Asking
from controller.waiting_room import Demand
from scheduling.changes.residency import EndlessMemory
from scheduling.cluster import ClusterScheduler
from scheduling.reconcile import Reconciler
from tests.controller.ray_fleet import KEY, deployment, group
from tests.controller.thread_cluster import ThreadCluster
from vocabulary.deployment import Deployment, Health
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.steps import RestartPolicy
from vocabulary.tensors import Tensor
from workers.frames import Beat, encode_frame

TIMEOUT_S = 60.0
ONE = ParallelConfig(1, 1)
G0, G1, G2 = (
    group(f"g{index}", [f"n-0:{index}"], ONE, models) for index, models in enumerate(("a", "ab", "b"))
)


@dataclass(frozen=True)
class Lively:
    """A fleet of threads."""

    supervisor: Supervisor
    server: FleetServer
    cluster: ThreadCluster

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():
                await self.supervisor.changed.wait()

    async def converged(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.supervisor.converged()

    def state(self, group_id: str) -> GroupState:
        member = self.supervisor.members.of(group_id)
        assert member is not None
        return member.state

    async def ask(self, model: str) -> object:
        numbers = np.arange(3, dtype=np.int32)
        call = InferCall("", model, "", (Tensor("INPUT0", "INT32", (3,), memoryview(numbers.tobytes())),))
        return await self.server.infer(call)


@asynccontextmanager
async def lively(
    fleet: Deployment,
    *known: Group,
    beat_interval_s: float = 0.05,
    demand: Demand | None = None,
    loaded: Callable[[StartedGroup], None] = lambda started: None,
) -> AsyncIterator[Lively]:
    placement = Placement(known)
    server = FleetServer(
        fleet,
        placement,
        ClusterScheduler(placement, catalog=fleet.catalog(), policy=fleet.policy),
        clock=time.monotonic,
        soon=asyncio.get_running_loop().call_soon,
        metrics=FleetMetrics(fleet.model_names),
        demand=demand,
    )

    def specs_of(fleet: Deployment, placement: Placement):
        return [
            replace(spec, beat_interval_s=beat_interval_s) for spec in worker_specs(fleet, placement, key=KEY)
        ]

    with tempfile.TemporaryDirectory(prefix="threads-") as folder:
        cluster = ThreadCluster(Path(folder))
        machine = Reconciler(RestartPolicy(backoff_s=0.01), memory=EndlessMemory())
        journal = NoJournal()
        supervisor = Supervisor(
            machine,
            cluster,
            Rosters([server]),
            deployment=fleet,
            members=Members(placement),
            connect=partial(open_link, key=KEY),
            specs_of=specs_of,
            clock=time.monotonic,
            journal=journal,
            past=Past(journal),
            receive=server.receive,
            loaded=loaded,
            wanted=lambda placement: None,
        )
        supervisor.watch()
        try:
            yield Lively(supervisor, server, cluster)
        finally:
            cluster.close()
            await supervisor.close()


@pytest.mark.asyncio
async def test_what_is_wanted_comes_to_run_and_serves() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.converged()
        assert fleet.cluster.calls == ["start g0 g1"]
        assert fleet.server.is_ready()
        assert isinstance(await fleet.ask("b"), InferReply)
        assert (fleet.state("g0"), fleet.state("g1")) == (GroupState.OPEN, GroupState.OPEN)


@pytest.mark.asyncio
async def test_what_a_request_sets_off_runs_on_outside_of_its_trace() -> None:
    """Its tasks and timers live for as long as the group: each of their lines in the log would name it."""
    seen: list[Asking | None] = []
    async with lively(deployment(), G0, loaded=lambda started: seen.append(ASKING.get())) as fleet:
        token = ASKING.set(Asking(1, 0, True, 0.0))
        fleet.supervisor.want(Placement((G0,)))
        ASKING.reset(token)
        await fleet.converged()
    assert seen == [None]


@pytest.mark.asyncio
async def test_a_group_whose_worker_dies_comes_back_under_its_index() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.converged()
        await asyncio.to_thread(fleet.cluster.crash, "g1")
        member = fleet.supervisor.members.of("g1")
        await fleet.until(lambda: member.num_restarts == 1 and member.state is GroupState.OPEN)
        assert fleet.cluster.calls == ["start g0 g1", "kill g1", "start g1"]
        assert isinstance(await fleet.ask("b"), InferReply)
        assert member.index == 1


@pytest.mark.asyncio
async def test_a_group_that_says_nothing_is_killed_and_comes_back() -> None:
    silent = replace(deployment(), health=Health(beat_timeout_s=0.2))
    async with lively(silent, G0, beat_interval_s=600.0) as fleet:
        fleet.supervisor.want(Placement((G0,)))
        await fleet.converged()
        await fleet.until(lambda: fleet.cluster.calls[:3] == ["start g0", "kill g0", "start g0"])
        assert "it said nothing for" in fleet.supervisor.members.of("g0").why


@pytest.mark.asyncio
async def test_a_group_that_is_not_wanted_any_more_is_closed_idle_and_stopped_in_this_order() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.converged()
        fleet.supervisor.want(Placement((G1, G2)), why="another plan")
        await fleet.until(lambda: fleet.supervisor.members.of("g0") is None and fleet.supervisor.is_converged)
        assert fleet.cluster.calls == ["start g0 g1", "start g2", "stop g0"]
        assert [one.id for one in fleet.server.placement.groups] == ["g1", "g2"]
        assert isinstance(await fleet.ask("a"), InferReply)
        assert fleet.supervisor.members.of("g2").index == 2, "no index is given twice"


@pytest.mark.asyncio
async def test_a_group_that_does_not_start_is_told_and_tried_again() -> None:
    async with lively(deployment(), G0) as fleet:
        fleet.cluster.failing.add("g0")
        fleet.supervisor.want(Placement((G0,)))
        await fleet.until(lambda: fleet.supervisor.failure is not None)
        assert "does not start today" in str(fleet.supervisor.failure)
        fleet.cluster.failing.clear()
        await fleet.converged()
        assert fleet.server.is_ready()


FRAME = b"".join(encode_frame(Beat(0, 0, 0, ())))
CUT = FRAME[:-1]
FLIPPED = FRAME[:-1] + bytes([FRAME[-1] ^ 0xFF])
RUBBISH = b"\xff" * 64


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [CUT, FLIPPED, RUBBISH], ids=["cut", "flipped", "rubbish"])
async def test_a_worker_that_says_what_is_no_frame_is_replaced(said: bytes) -> None:
    async with lively(deployment(), G0) as fleet:
        fleet.cluster.liars["g0"] = said
        fleet.supervisor.want(Placement((G0,)))
        await fleet.until(lambda: fleet.cluster.calls == ["start g0", "kill g0", "start g0"])
        await fleet.converged()
        assert isinstance(await fleet.ask("a"), InferReply)


@pytest.mark.asyncio
async def test_a_model_comes_to_a_group_that_runs_and_goes_when_it_is_idle() -> None:
    only_a, only_b = replace(G1, models=("a",)), replace(G1, models=("b",))
    async with lively(deployment(), only_a) as fleet:
        fleet.supervisor.want(Placement((only_a,)))
        await fleet.converged()
        fleet.supervisor.want(Placement((G1,)))
        await fleet.converged()
        assert isinstance(await fleet.ask("b"), InferReply)
        fleet.supervisor.want(Placement((only_b,)))
        await fleet.converged()
        assert fleet.cluster.calls == ["start g1", "change g1 +b", "change g1 -a"]
        assert fleet.server.placement == Placement((only_b,))
        assert isinstance(await fleet.ask("b"), InferReply)


@pytest.mark.asyncio
async def test_a_group_that_dies_as_it_is_no_longer_wanted_is_ended_once_and_holds_nobody_up() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.converged()
        member = fleet.supervisor.members.of("g0")
        fleet.supervisor.lose(member, "it died")
        fleet.supervisor.want(Placement((G1,)))
        await fleet.converged()
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.converged()
        assert fleet.cluster.calls == ["start g0 g1", "kill g0", "start g0"]
        assert fleet.server.is_ready()


@pytest.mark.asyncio
async def test_a_group_that_fails_again_does_not_take_others_with_it() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        fleet.cluster.failing.add("g0")
        fleet.supervisor.want(Placement((G0, G1)))
        await fleet.until(lambda: fleet.state("g1") is GroupState.OPEN)
        assert isinstance(await fleet.ask("b"), InferReply)


@pytest.mark.asyncio
async def test_a_model_that_was_found_and_never_opened_can_be_unloaded() -> None:
    only_b = replace(G1, models=("b",))
    async with lively(deployment(), only_b) as fleet:
        only_a = Placement((replace(G1, models=("a",)),))
        found = fleet.cluster.start_groups(worker_specs(deployment(), only_a, key=KEY))
        await fleet.supervisor.adopt(found)
        fleet.supervisor.want(Placement((only_b,)))
        await fleet.converged()
        assert fleet.cluster.calls == ["start g1", "change g1 -a", "change g1 +b"]
        assert isinstance(await fleet.ask("b"), InferReply)


@pytest.mark.asyncio
async def test_a_found_group_with_a_model_that_is_no_longer_in_the_deployment_starts_anew() -> None:
    now, only_a = deployment(), replace(G1, models=("a",))
    now = replace(now, models=tuple(model for model in now.models if model.name == "a"))
    async with lively(now, only_a) as fleet:
        found = fleet.cluster.start_groups(worker_specs(deployment(), Placement((G1,)), key=KEY))
        await fleet.supervisor.adopt(found)
        fleet.supervisor.want(Placement((only_a,)))
        await fleet.converged()
        assert fleet.cluster.calls == ["start g1", "kill g1", "start g1"]
        assert isinstance(await fleet.ask("a"), InferReply)


@pytest.mark.asyncio
async def test_a_lost_group_is_ended_though_all_threads_of_the_loop_are_taken() -> None:
    async with lively(deployment(), G0) as fleet:
        fleet.supervisor.want(Placement((G0,)))
        await fleet.converged()
        loop, gate = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        taken = loop.run_in_executor(None, gate.wait)
        try:
            fleet.supervisor.lose(fleet.supervisor.members.of("g0"), "it died")
            await fleet.converged()
            assert fleet.cluster.calls == ["start g0", "kill g0", "start g0"]
        finally:
            gate.set()
            await taken


class Patient:
    """Everything is loaded, some day."""

    def asked(self, model: str) -> float | None:
        return 600.0


@pytest.mark.asyncio
async def test_front_ends_hear_of_a_model_that_is_not_tried_any_more() -> None:
    only_a = replace(G1, models=("a",))
    async with lively(deployment(), only_a, demand=Patient()) as fleet:
        fleet.supervisor.want(Placement((only_a,)))
        await fleet.converged()
        fleet.cluster.failing.add("g1")
        hopeless = asyncio.create_task(fleet.server.awaited("b"))
        fleet.supervisor.want(Placement((G1,)))
        assert not fleet.supervisor.has_given_up("b")
        await fleet.converged()
        assert (fleet.supervisor.has_given_up("a"), fleet.supervisor.has_given_up("b")) == (False, True)
        async with asyncio.timeout(TIMEOUT_S):
            await hopeless
        fleet.cluster.failing.clear()
        fleet.supervisor.want(Placement((G1,)), why="again")
        await fleet.converged()
        assert isinstance(await fleet.ask("b"), InferReply)


@pytest.mark.asyncio
async def test_a_group_of_the_first_plan_that_is_not_wanted_after_all_is_in_nobodys_list() -> None:
    async with lively(deployment(), G0, G1) as fleet:
        fleet.supervisor.want(Placement((G0,)))
        await fleet.converged()
        assert [member.group.id for member in fleet.supervisor.members] == ["g0"]
        assert fleet.server.placement == Placement((G0,))
