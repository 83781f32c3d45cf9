"""Everything that changes what a fleet runs: its supervisor, and those who want something of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import final

from controller.apply_verb import ApplyVerb
from controller.applying import Running
from controller.changes import FleetChanges
from controller.control import Verb
from controller.device_watch import DeviceWatch
from controller.fewer_devices import Fallback, replan_for
from controller.fleet_specs import worker_specs
from controller.fleet_verbs import FleetVerbs
from controller.group_cluster import Roster
from controller.journal import AbstractJournal
from controller.links import open_link
from controller.members import Members
from controller.metrics import FleetMetrics
from controller.observed_traffic import ObservedTraffic
from controller.own_process import in_own_process
from controller.past import Past
from controller.ray_cluster import RayCluster
from controller.ray_nouns import StartedGroup
from controller.replanner import Replanner
from controller.rosters import Rosters
from controller.server import FleetServer
from controller.supervisor import Supervisor
from scheduling.changes.residency import DeploymentMemory
from scheduling.reconcile import Reconciler
from vocabulary.deployment import Deployment
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.serve_flags import ServeFlags

# Of a search for the devices that are left, and what its process may take besides.
_REPLAN_BUDGET_S = 5.0
_REPLAN_TIMEOUT_S = 30.0


@final
class Steering:
    """One fleet's, once its cluster is open. `start`, then `close` before the cluster is closed.

    rosters: of all front ends, the server's own first.
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
        observed: ObservedTraffic,
        journal: AbstractJournal,
        past: Past,
        key: str,
        front: int,
        flags: ServeFlags,
    ) -> None:
        self._cluster = cluster
        self._observed = observed
        self._journal = journal
        self._past = past
        self._flags = flags
        self._stack = AsyncExitStack()
        self.supervisor = supervisor = Supervisor(
            Reconciler(
                deployment.health.restarts,
                memory=DeploymentMemory(lambda: supervisor.deployment),
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
            loaded=lambda started: metrics.weights_loaded(started.group_id, started.loads),
        )
        timeout_s = deployment.health.node_timeout_s
        self.devices = DeviceWatch(supervisor, timeout_s=timeout_s, replan=self._replan, journal=journal)
        self.changes = FleetChanges(
            supervisor, server, replan=self._replan, devices=lambda: self.devices.there, journal=journal
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
        self._past.remember_plan(plan)
        router = supervisor.deployment.policy.router
        self._journal.event("started", resumed=bool(found), router=router)
        supervisor.want(plan.placement, why="serve")

    def plan_anew_when_due(self) -> None:
        """From now on, where the deployment asks for it."""
        replanner = Replanner(
            self.supervisor, self._observed, running=self.running, clock=time.monotonic, journal=self._journal
        )
        task = asyncio.get_running_loop().create_task(replanner.run())
        self._stack.push_async_callback(_cancelled, task)

    async def close(self) -> None:
        """Nothing changes any more."""
        await self._stack.aclose()

    def verbs(self) -> Mapping[str, Verb]:
        """What may be asked of it on the control socket."""
        apply = ApplyVerb(self.supervisor, running=self.running, journal=self._journal)
        return {**FleetVerbs(self.changes).by_name(), **apply.by_name()}

    def running(self) -> Running:
        """What is served now, for who plans a change of it."""
        supervisor = self.supervisor
        now_s, window_s = time.monotonic(), supervisor.deployment.replanning.window_s
        return Running(
            supervisor.deployment,
            supervisor.desired,
            flags=self._flags,
            devices=self.devices.there,
            observed=self._observed.trace(now_s, window_s),
        )

    async def _replan(self, devices: frozenset[str], placement: Placement) -> Fallback:
        return await in_own_process(
            replan_for,
            devices,
            self.supervisor.deployment,
            placement,
            time_budget_s=_REPLAN_BUDGET_S,
            timeout_s=_REPLAN_TIMEOUT_S,
            what="a plan for fewer devices",
        )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
