"""From nothing, or from what a dead controller left, to a serving fleet, and back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, final

import structlog

from controller.change.elastic import Elastic
from controller.front.opening import further_front_ends, on_ports_of, sharing_of
from controller.front.together import Together
from controller.journal.metrics import JournalMetrics
from controller.keys import ensure_keys, forget_keys
from controller.life.drain import drain
from controller.life.endpoints import Endpoints
from controller.life.fleet_journal import journal_of, journal_path
from controller.life.fleet_specs import worker_specs
from controller.life.members import Members
from controller.life.past import Past
from controller.life.steering import Steering
from controller.life.stopping import Stopping
from controller.life.supervisor import Supervisor
from controller.live.view import LiveView
from controller.metrics import FleetMetrics
from controller.on_ray.cluster import RayCluster
from controller.on_ray.nouns import StartedGroup
from controller.plan_facts import PlanFacts, plan_facts
from controller.security.guard import open_guard
from controller.server import FleetServer
from controller.text import open_texts
from controller.tracing.opening import open_tracing
from controller.verbs.control import ControlServer, socket_path
from controller.verbs.look_verbs import LookVerbs
from controller.verbs.status import Situation, status_of
from scheduling.cluster import ClusterScheduler
from vocabulary.deployment import Deployment
from vocabulary.errors import RuntimeFailure
from vocabulary.page_budget import generation_limits
from vocabulary.plan import Plan
from vocabulary.serve_flags import ServeFlags

Progress = Callable[[str], None]
_log = structlog.get_logger("statmux.controller")
# How long answers that are ready may take to reach their clients when the endpoint closes.
_LAST_WORDS_S = 1.0


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

    def __init__(
        self, deployment: Deployment, plan: Plan, *, progress: Progress, flags: ServeFlags | None = None
    ) -> None:
        """flags: of the command line, which hold for files that are applied later, too."""
        self._deployment = deployment
        self._plan = plan
        self._progress = progress
        self._flags = flags or ServeFlags()
        self._stopping = Stopping()
        self._state = "loading"
        self._start_s = time.monotonic()
        # Their errors come before anything runs.
        guard = open_guard(deployment.security, folder=deployment.folder, environment=os.environ)
        looking = LookVerbs(self._status, journal=journal_path(deployment.name)).by_name()
        self._tracing = open_tracing(deployment)
        self._control = ControlServer(
            socket_path(deployment.name), {"status": self._status, "stop": self._stop, **looking}
        )
        self._endpoints = Endpoints(
            deployment,
            guard=guard,
            texts=open_texts(deployment),
            verbs=lambda: self._control.verbs,
            sharing=sharing_of(deployment),
            tracer=self._tracing.tracer,
        )
        self._metrics = FleetMetrics(deployment.model_names)
        self._members = Members(plan.placement)
        self._journal = journal_of(deployment, environment=os.environ)
        self._past = Past(self._journal)
        self._elastic = Elastic(clock=time.monotonic, journal=self._journal, flags=flags)
        self._further = further_front_ends(
            deployment,
            members=self._members,
            past=self._past,
            journal=self._journal,
            elastic=self._elastic,
        )
        self._steering: Steering | None = None
        self._is_ours = False
        live = LiveView(
            self._status,
            deployment=lambda: self._served,
            members=self._members,
            metrics=self._metrics,
            elsewhere=self._further.totals,
            journal=journal_path(deployment.name),
        )
        self._control.verbs["live"] = live.look

    async def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Raises StatmuxError when the fleet cannot start; nothing is left running either way."""
        name = self._deployment.name
        worker_specs(self._deployment, self._plan.placement, key="")
        self._stopping.catch_signals()
        async with AsyncExitStack() as stack:
            await self._control.start()
            stack.push_async_callback(self._control.close)
            self._journal.open()
            stack.callback(self._journal.close)
            stack.push_async_callback(self._tracing.close)
            self._server = self._new_server()
            self._server.service.tell_closed = self._further.close_models
            await self._endpoints.open(self._server, self._metrics, stack)
            self._metrics.watch(self._server)
            self._metrics.registry.register(JournalMetrics(self._journal))
            self._tracing.start(self._metrics.registry)
            self._metrics.plan(self._facts)
            if await self._open_groups(stack):
                await self._stopping.outlasted_by(asyncio.ensure_future(self._further.opened()))
                self._tell_ready(on_ready)
                await self._until_stopped()
                self._state = "draining"
                self._progress("draining")
                await drain(self._together, self._deployment.drain, now=self._stopping.at_once)
            self._state = "stopped"
            self._server.abandon()
            await self._endpoints.close(_LAST_WORDS_S)
            await self._tracing.close()
        _log.info("fleet stopped", fleet=name)

    async def _until_stopped(self) -> None:
        """Raises RuntimeFailure when the fleet cannot go on."""
        assert self._steering is not None
        died = asyncio.ensure_future(self._steering.ray_died.wait())
        if await self._stopping.outlasted_by(died):
            self._server.abandon()
            # Ray may end this process before the error is shown.
            _log.error("ray died", fleet=self._deployment.name)
            self._journal.event("ray_died")
            raise RuntimeFailure(
                "the Ray of this fleet died, and all groups with it: its head or its keeper is gone",
                hint="start the fleet again; was memory short, or did somebody end it?",
            )
        died.cancel()

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
            hears_others=deployment.front_ends > 1,
            journal=self._journal,
            observed=self._elastic.observed.answered,
            demand=self._elastic,
            tracer=self._tracing.tracer,
        )

    async def _open_groups(self, stack: AsyncExitStack) -> bool:
        """Cluster, workers, links. Blocking Ray calls run on threads, so the endpoint answers meanwhile.

        False, with what is open so far, when a stop is asked for.
        """
        loop = asyncio.get_running_loop()
        keys = ensure_keys(self._deployment.name)
        self._start_further(keys.fleet_key)
        cluster = RayCluster(self._deployment, progress=self._progress, keys=keys)
        stack.push_async_callback(self._close_cluster, cluster)
        stack.push_async_callback(self._further.close)
        opening = loop.run_in_executor(None, self._open_cluster, cluster, loop)
        if not await self._stopping.outlasted_by(opening):
            await loop.run_in_executor(None, cluster.close)
            # Closing makes it fail, and there is nobody left who wants to know how.
            await asyncio.gather(opening, return_exceptions=True)
            return False
        found = await opening
        self._steering = steering = self._new_steering(cluster, keys.fleet_key)
        stack.push_async_callback(steering.close)
        starting = asyncio.ensure_future(steering.start(self._plan, found))
        if not await self._stopping.outlasted_by(starting):
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return False
        await starting
        self._control.verbs.update(steering.verbs())
        if not await self._until_served(steering.supervisor, is_first=not found):
            return False
        steering.plan_anew_when_due(self._plan)
        return True

    def _start_further(self, key: str) -> None:
        served = on_ports_of(self._deployment, self._endpoints.addresses)
        self._further.start(served, key=key, control=str(socket_path(self._deployment.name)))

    @property
    def _together(self) -> Together:
        return Together(self._server, self._further)

    def _open_cluster(self, cluster: RayCluster, loop: asyncio.AbstractEventLoop) -> tuple[StartedGroup, ...]:
        """On a thread: what a controller before this one left is found again."""
        memory = self._past.cluster
        self._is_ours = memory is None
        cluster.open(memory)
        self._is_ours = True
        # Ray has put a handler of its own before ours, which prints a stack.
        loop.call_soon_threadsafe(self._stopping.catch_signals)
        if memory is None or not cluster.is_found:
            return ()
        found = cluster.adopt(memory)
        self._progress(f"found {len(found)} groups of before" if found else "no group of before answers")
        return found

    async def _close_cluster(self, cluster: RayCluster) -> None:
        """In order: nothing is left that another controller could want.

        What could not be opened is perhaps there all the same, and somebody else's matter.
        """
        await asyncio.get_running_loop().run_in_executor(None, cluster.close)
        if self._is_ours:
            self._past.forget()
            forget_keys(self._deployment.name)

    def _new_steering(self, cluster: RayCluster, key: str) -> Steering:
        return Steering(
            self._deployment,
            cluster,
            self._server,
            [self._server, self._further.roster] if self._deployment.front_ends > 1 else [self._server],
            members=self._members,
            metrics=self._metrics,
            elastic=self._elastic,
            adopting=self._endpoints.adopt,
            wanted=lambda placement: self._metrics.plan(plan_facts(self._plan, placement)),
            journal=self._journal,
            past=self._past,
            key=key,
            front=self._front,
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
        own = status_of(
            self._served,
            self._facts,
            self._server,
            self._members,
            self._metrics,
            self._situation(),
            addresses=self._endpoints.addresses,
        )
        return self._further.added_to(own, self._metrics.judged)

    @property
    def _facts(self) -> PlanFacts:
        desired = None if self._steering is None else self._steering.supervisor.desired
        return plan_facts(self._plan, desired if desired and desired.groups else self._plan.placement)

    @property
    def _served(self) -> Deployment:
        """As it was changed since the start."""
        return self._deployment if self._steering is None else self._steering.supervisor.deployment

    def _situation(self) -> Situation:
        steering, uptime_s = self._steering, time.monotonic() - self._start_s
        if steering is None:
            return Situation(self._state, uptime_s, journal_problem=self._journal.problem)
        return Situation(
            self._state,
            uptime_s,
            is_converged=steering.supervisor.is_converged,
            given_up=steering.supervisor.given_up,
            fallback=steering.devices.fallback,
            drained=steering.changes.drained,
            journal_problem=self._journal.problem,
        )

    async def _stop(self, request: Mapping[str, Any]) -> dict[str, object]:
        self._stopping.ask()
        return {"state": "draining", "num_pending": self._together.num_pending}


async def _converged(supervisor: Supervisor, *, is_first: bool) -> None:
    while not supervisor.is_converged:
        if is_first and supervisor.failure is not None:
            raise supervisor.failure
        await supervisor.changed.wait()
