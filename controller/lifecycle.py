"""From nothing, or from what a dead controller left, to a serving fleet, and back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import structlog

from controller.changes import FleetChanges
from controller.control import ControlServer, socket_path
from controller.device_watch import DeviceWatch
from controller.drain import drain
from controller.endpoints import Endpoints
from controller.fewer_devices import Fallback, replan_for
from controller.fleet_specs import worker_specs
from controller.fleet_verbs import FleetVerbs
from controller.journal import Journal
from controller.keys import ensure_keys, forget_keys
from controller.links import open_link
from controller.members import Members
from controller.metrics import FleetMetrics
from controller.own_process import in_own_process
from controller.past import Past
from controller.plan_facts import plan_facts
from controller.ray_cluster import RayCluster
from controller.ray_nouns import StartedGroup
from controller.rosters import Rosters
from controller.security.guard import open_guard
from controller.server import FleetServer
from controller.status import Situation, status_of
from controller.stopping import Stopping
from controller.supervisor import Supervisor
from controller.text import open_texts
from scheduling.changes.residency import DeploymentMemory
from scheduling.cluster import ClusterScheduler
from scheduling.reconcile import Reconciler
from vocabulary.deployment import Deployment
from vocabulary.page_budget import generation_limits
from vocabulary.placement import Placement
from vocabulary.plan import Plan

Progress = Callable[[str], None]
_log = structlog.get_logger("statmux.controller")
# How long answers that are ready may take to reach their clients when the endpoint closes.
_LAST_WORDS_S = 1.0
# Of a search for the devices that are left, and what its process may take besides.
_REPLAN_BUDGET_S = 5.0
_REPLAN_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a fleet answers."""

    grpc_address: str
    metrics_address: str
    seconds: float
    http_address: str | None = None


@final
class Fleet:
    """One fleet in this process. `run` serves until a signal or a `stop` request, then drains and cleans."""

    def __init__(self, deployment: Deployment, plan: Plan, *, progress: Progress) -> None:
        self._deployment = deployment
        self._plan = plan
        self._progress = progress
        self._stopping = Stopping()
        self._state = "loading"
        self._start_s = time.monotonic()
        # Their errors come before anything runs.
        guard = open_guard(deployment.security, folder=deployment.folder, environment=os.environ)
        self._control = ControlServer(socket_path(deployment.name), {"status": self._status, "stop": self._stop})
        self._endpoints = Endpoints(
            deployment, guard=guard, texts=open_texts(deployment), verbs=lambda: self._control.verbs
        )
        self._metrics = FleetMetrics(deployment.model_names)
        self._members = Members(plan.placement)
        self._journal = journal_of(deployment)
        self._past = Past(self._journal)
        self._supervisor: Supervisor | None = None
        self._devices: DeviceWatch | None = None

    async def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Raises StatmuxError when the fleet cannot start; nothing is left running either way."""
        name = self._deployment.name
        worker_specs(self._deployment, self._plan.placement, key="")
        self._stopping.catch_signals()
        async with AsyncExitStack() as stack:
            control = ControlServer(socket_path(name), {"status": self._status, "stop": self._stop})
            await control.start()
            stack.push_async_callback(control.close)
            self._journal.open()
            stack.callback(self._journal.close)
            self._server = self._new_server()
            await self._endpoints.open(self._server, self._metrics, stack)
            self._metrics.watch(self._server)
            self._metrics.plan(plan_facts(self._plan))
            if await self._open_groups(stack, control):
                self._tell_ready(on_ready)
                await self._stopping.asked.wait()
                self._state = "draining"
                self._progress("draining")
                await drain(self._server, self._deployment.drain, now=self._stopping.at_once)
            self._state = "stopped"
            self._server.abandon()
            await self._endpoints.close(_LAST_WORDS_S)
        _log.info("fleet stopped", fleet=name)

    def _new_server(self) -> FleetServer:
        placement, deployment = self._plan.placement, self._deployment
        limits = tuple(generation_limits(group, deployment) for group in placement.groups)
        self._front = self._past.next_front()
        return FleetServer(
            deployment,
            placement,
            ClusterScheduler(
                placement, catalog=deployment.catalog(), policy=deployment.policy, limits=limits
            ),
            clock=time.monotonic,
            soon=asyncio.get_running_loop().call_soon,
            metrics=self._metrics,
            limits=limits,
            front=self._front,
            journal=self._journal,
        )

    async def _open_groups(self, stack: AsyncExitStack, control: ControlServer) -> bool:
        """Cluster, workers, links. Blocking Ray calls run on threads, so the endpoint answers meanwhile.

        False, with what is open so far, when a stop is asked for.
        """
        loop = asyncio.get_running_loop()
        keys = ensure_keys(self._deployment.name)
        cluster = RayCluster(self._deployment, progress=self._progress, keys=keys)
        stack.push_async_callback(self._close_cluster, cluster)
        opening = loop.run_in_executor(None, self._open_cluster, cluster, loop)
        if not await self._stopping.outlasted_by(opening):
            await loop.run_in_executor(None, cluster.close)
            # Closing makes it fail, and there is nobody left who wants to know how.
            await asyncio.gather(opening, return_exceptions=True)
            return False
        found = await opening
        self._supervisor = supervisor = self._new_supervisor(cluster, keys.fleet_key)
        stack.push_async_callback(supervisor.close)
        await self._watch_devices(supervisor, cluster, stack)
        await supervisor.adopt(found)
        supervisor.watch()
        self._past.remember_plan(self._plan)
        supervisor.want(self._plan.placement, why="serve")
        self._changes = FleetChanges(
            supervisor,
            self._server,
            replan=self._replan,
            devices=lambda: self._devices.there,
            journal=self._journal,
        )
        control.verbs.update(FleetVerbs(self._changes).by_name())
        return await self._until_served(supervisor, is_first=not found)

    def _open_cluster(self, cluster: RayCluster, loop: asyncio.AbstractEventLoop) -> tuple[StartedGroup, ...]:
        """On a thread: what a controller before this one left is found again."""
        memory = self._past.cluster
        cluster.open(memory)
        # Ray has put a handler of its own before ours, which prints a stack.
        loop.call_soon_threadsafe(self._stopping.catch_signals)
        if memory is None or not cluster.is_found:
            return ()
        found = cluster.adopt(memory)
        self._progress(f"found {len(found)} groups of before" if found else "no group of before answers")
        return found

    async def _close_cluster(self, cluster: RayCluster) -> None:
        """In order: nothing is left that another controller could want."""
        await asyncio.get_running_loop().run_in_executor(None, cluster.close)
        self._past.remember_cluster(None)
        forget_keys(self._deployment.name)

    def _new_supervisor(self, cluster: RayCluster, key: str) -> Supervisor:
        deployment = self._deployment
        return Supervisor(
            Reconciler(
                deployment.health.restarts,
                memory=DeploymentMemory(self._served),
                drain_timeout_s=deployment.drain.graceful_shutdown_timeout_s,
            ),
            cluster,
            Rosters([self._server]),
            deployment=deployment,
            members=self._members,
            connect=partial(open_link, key=key, front=self._front),
            specs_of=partial(worker_specs, key=key),
            clock=time.monotonic,
            journal=self._journal,
            past=self._past,
            receive=self._server.receive,
            loaded=lambda started: self._metrics.weights_loaded(started.group_id, started.loads),
        )

    def _served(self) -> Deployment:
        """The deployment that is served now."""
        return self._deployment if self._supervisor is None else self._supervisor.deployment

    async def _watch_devices(
        self, supervisor: Supervisor, cluster: RayCluster, stack: AsyncExitStack
    ) -> None:
        """Returns when it is known which there are."""
        loop = asyncio.get_running_loop()
        timeout_s = self._deployment.health.node_timeout_s
        self._devices = devices = DeviceWatch(
            supervisor, timeout_s=timeout_s, replan=self._replan, journal=self._journal
        )
        stack.push_async_callback(devices.close)
        cluster.watch_nodes(lambda there: loop.call_soon_threadsafe(devices.hear, there))
        await devices.known.wait()

    async def _replan(self, devices: frozenset[str], placement: Placement) -> Fallback:
        assert self._supervisor is not None
        return await in_own_process(
            replan_for,
            devices,
            self._supervisor.deployment,
            placement,
            time_budget_s=_REPLAN_BUDGET_S,
            timeout_s=_REPLAN_TIMEOUT_S,
            what="a plan for fewer devices",
        )

    async def _until_served(self, supervisor: Supervisor, *, is_first: bool) -> bool:
        """What cannot start at all is an error; where something runs already, it is tried again."""
        served = asyncio.ensure_future(_converged(supervisor, is_first=is_first))
        if await self._stopping.outlasted_by(served):
            await served
            return True
        served.cancel()
        await asyncio.gather(served, return_exceptions=True)
        return False

    def _tell_ready(self, on_ready: Callable[[Ready], None]) -> None:
        self._state = "ready"
        seconds = time.monotonic() - self._start_s
        told = self._endpoints.addresses
        on_ready(Ready(told["grpc"], told["metrics"], seconds, told.get("http")))
        _log.info("fleet ready", fleet=self._deployment.name, seconds=round(seconds, 2))

    async def _status(self, request: Mapping[str, Any]) -> dict[str, object]:
        supervisor, devices = self._supervisor, self._devices
        situation = Situation(
            self._state,
            time.monotonic() - self._start_s,
            is_converged=supervisor is not None and supervisor.is_converged,
            given_up=() if supervisor is None else supervisor.given_up,
            fallback=None if devices is None else devices.fallback,
            journal_problem=self._journal.problem,
        )
        return status_of(
            self._served(),
            plan_facts(self._plan),
            self._server,
            self._members,
            self._metrics,
            situation,
            addresses=self._endpoints.addresses,
        )

    async def _stop(self, request: Mapping[str, Any]) -> dict[str, object]:
        self._stopping.ask()
        return {"state": "draining", "num_pending": self._server.num_pending}


async def _converged(supervisor: Supervisor, *, is_first: bool) -> None:
    while not supervisor.is_converged:
        if is_first and supervisor.failure is not None:
            raise supervisor.failure
        await supervisor.changed.wait()


def journal_of(deployment: Deployment) -> Journal:
    """The fleet's, in the folder where it is started; not open yet."""
    return Journal(
        socket_path(deployment.name).with_name("journal.db"),
        max_rows=deployment.journal.max_rows,
        requests=deployment.journal.requests,
    )
