"""Everything that changes what a fleet runs: its supervisor, and those who want something of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import final

from controller.change.applying import Running, replanned
from controller.change.changes import FleetChanges
from controller.change.elastic import Elastic
from controller.change.traffic_expected import traffic_expected
from controller.journal import AbstractJournal
from controller.life.device_watch import DeviceWatch
from controller.life.fewer_devices import Loss, predicted_losses
from controller.life.fleet_specs import worker_specs
from controller.life.group_cluster import Roster
from controller.life.links import open_link
from controller.life.members import Members
from controller.life.own_process import in_own_process
from controller.life.past import Past
from controller.life.rosters import Rosters
from controller.life.supervisor import Supervisor
from controller.metrics import FleetMetrics
from controller.on_ray.cluster import RayCluster
from controller.on_ray.nouns import StartedGroup
from controller.server import FleetServer
from controller.verbs.apply_verb import ApplyVerb
from controller.verbs.control import Verb
from controller.verbs.fleet_verbs import FleetVerbs
from scheduling.changes.residency import DeploymentMemory
from scheduling.reconcile import Reconciler
from vocabulary.deployment import Deployment
from vocabulary.placement import Placement
from vocabulary.plan import Plan

# Of a search for the devices that are left: somebody waits for it.
_REPLAN_BUDGET_S = 5.0
_LOSSES_TIMEOUT_S = 120.0
# How often it is asked whether Ray lives: its calls would be waited for in vain.
_LOOK_S = 0.5


@final
class Steering:
    """One fleet's, once its cluster is open. `start`, then `close` before the cluster is closed.

    rosters: of all front ends, the server's own first. ray_died: nothing can be started or stopped any more.
    """

    def __init__(
        self,
        deployment: Deployment,
        cluster: RayCluster,
        server: FleetServer,
        rosters: Sequence[Roster],
        *,
        members: Members,
        metrics: FleetMetrics,
        elastic: Elastic,
        adopting: Callable[[Deployment], Awaitable[None]],
        wanted: Callable[[Placement], None],
        journal: AbstractJournal,
        past: Past,
        key: str,
        front: int,
    ) -> None:
        self._cluster = cluster
        self._elastic = elastic
        self._adopting = adopting
        self._journal = journal
        self._past = past
        self._stack = AsyncExitStack()
        self.ray_died = asyncio.Event()
        self._start_s = 0.0
        self.supervisor = supervisor = Supervisor(
            Reconciler(
                deployment.health.restarts,
                memory=DeploymentMemory(lambda: supervisor.everything),
                drain_timeout_s=deployment.drain.graceful_shutdown_timeout_s,
            ),
            cluster,
            Rosters(rosters),
            deployment=deployment,
            members=members,
            connect=partial(open_link, key=key, front=front),
            specs_of=partial(worker_specs, key=key),
            clock=time.monotonic,
            journal=journal,
            past=past,
            receive=server.receive,
            loaded=partial(_loaded, metrics, elastic),
            wanted=wanted,
        )
        timeout_s = deployment.health.node_timeout_s
        self.devices = DeviceWatch(
            supervisor,
            timeout_s=timeout_s,
            replan=self._replan,
            losses=self._losses,
            journal=journal,
            past=past,
            drained=lambda: self.changes.drained_devices,
        )
        self.changes = FleetChanges(
            supervisor,
            server,
            replan=self._replan,
            devices=lambda: self.devices.there,
            journal=journal,
            past=past,
        )
        server.service.residency = self.changes
        elastic.attach(
            supervisor,
            devices=lambda: self.devices.there - self.changes.drained_devices,
            in_flight=lambda model: sum(server.in_flight_of(index, model) for index in server.groups),
            unloaded=lambda: server.service.closed,
        )

    async def start(self, plan: Plan, found: Sequence[StartedGroup]) -> None:
        """Want the plan, with what was found running; returns when that is taken over."""
        supervisor, loop = self.supervisor, asyncio.get_running_loop()
        self._stack.push_async_callback(supervisor.close)
        self._stack.push_async_callback(self.devices.close)
        self._cluster.watch_nodes(lambda there: loop.call_soon_threadsafe(self.devices.hear, there))
        await self.devices.known.wait()
        await supervisor.adopt(found)
        supervisor.watch()
        watching = loop.create_task(self._watch_ray())
        self._stack.push_async_callback(_cancelled, watching)
        router = supervisor.deployment.policy.router
        self._journal.event("started", resumed=bool(found), router=router)
        self._start_s = time.monotonic()
        supervisor.want(await self.changes.resumed(plan.placement), why="serve")
        self.devices.resume()
        # A host may be away since before this controller came.
        self.devices.look()

    def plan_anew_when_due(self, plan: Plan) -> None:
        """From now on, where the deployment asks for it. plan: that was started with."""
        promised = plan.predicted.get("slo_attainment")
        start_s = time.monotonic() - self._start_s
        self._elastic.start(attainment=promised if isinstance(promised, float) else None, start_s=start_s)
        self._stack.push_async_callback(self._elastic.close)

    async def close(self) -> None:
        """Nothing changes any more."""
        await self._stack.aclose()

    def verbs(self) -> Mapping[str, Verb]:
        """What may be asked of it on the control socket."""
        apply = ApplyVerb(
            self.supervisor, running=self.running, journal=self._journal, adopting=self._adopting
        )
        return {**FleetVerbs(self.changes).by_name(), **apply.by_name()}

    def running(self) -> Running:
        """What is served now, for who plans a change of it."""
        return self._elastic.running()

    async def _watch_ray(self) -> None:
        while self._cluster.is_alive:
            await asyncio.sleep(_LOOK_S)
        self.ray_died.set()

    async def _replan(self, devices: frozenset[str], placement: Placement) -> Placement:
        running = replace(self.running(), placement=placement, devices=devices)
        found, _ = await replanned(running, why="devices are gone", budget_s=_REPLAN_BUDGET_S)
        return found.plan.placement

    async def _losses(self, before: Placement, after: Placement) -> tuple[Loss, ...]:
        running = self.running()
        return await in_own_process(
            predicted_losses,
            before,
            after,
            deployment=running.deployment,
            trace=traffic_expected(running.deployment, running.observed),
            timeout_s=_LOSSES_TIMEOUT_S,
            what="prediction",
        )


def _loaded(metrics: FleetMetrics, elastic: Elastic, started: StartedGroup) -> None:
    metrics.weights_loaded(started.group_id, started.loads)
    elastic.loaded(started)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
