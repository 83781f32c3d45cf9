"""From nothing to a serving fleet and back: endpoints, cluster, links, drain."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import final

import structlog
from prometheus_client import start_http_server

from controller.control import ControlServer, socket_path
from controller.fleet_specs import worker_specs
from controller.grpc_v2.server import RunningEndpoint, start_grpc
from controller.http import RunningHttp, start_http
from controller.http.v2 import v2_routes
from controller.links import open_link
from controller.metrics import FleetMetrics
from controller.plan_facts import plan_facts
from controller.ray_cluster import RayCluster
from controller.ray_nouns import StartedGroup
from controller.server import FleetServer
from controller.status import status_of
from controller.tenants import tenants_of
from controller.text import open_texts
from scheduling.cluster import ClusterScheduler
from vocabulary.deployment import Deployment
from vocabulary.errors import RuntimeFailure
from vocabulary.page_budget import generation_limits
from vocabulary.plan import Plan
from workers.frames import Frame, Gone
from workers.link import SocketLink
from workers.spec import WorkerSpec

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

    def __init__(self, deployment: Deployment, plan: Plan, *, progress: Progress) -> None:
        self._deployment = deployment
        self._facts = plan_facts(plan)
        self._placement = plan.placement
        self._progress = progress
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._state = "loading"
        self._start_s = time.monotonic()
        self._started: tuple[StartedGroup, ...] = ()
        grpc, metrics = deployment.grpc, deployment.metrics
        self._addresses = {
            "grpc": _authority(grpc.host, grpc.port),
            "metrics": _authority(metrics.host, metrics.port),
        }
        # Their errors come before anything runs.
        self._tenants = tenants_of(deployment.security, folder=deployment.folder, environment=os.environ)
        self._texts = open_texts(deployment)
        self._metrics = FleetMetrics(deployment.model_names)
        limits = tuple(generation_limits(group, deployment) for group in self._placement.groups)
        self._server = FleetServer(
            deployment,
            self._placement,
            ClusterScheduler(
                self._placement,
                catalog=deployment.catalog(),
                policy=deployment.policy,
                limits=limits,
            ),
            clock=time.monotonic,
            soon=asyncio.get_running_loop().call_soon,
            metrics=self._metrics,
            limits=limits,
        )

    async def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Raises StatmuxError when the fleet cannot start; nothing is left running either way."""
        key = secrets.token_hex(16)
        specs = worker_specs(self._deployment, self._placement, key=key)
        self._catch_signals()
        async with AsyncExitStack() as stack:
            endpoints = await self._open_endpoints(stack)
            await self._open_groups(specs, key, stack)
            if not self._stop.is_set():
                self._state = "ready"
                seconds = time.monotonic() - self._start_s
                told = self._addresses
                on_ready(Ready(told["grpc"], told["metrics"], seconds, told.get("http")))
                _log.info("fleet ready", fleet=self._deployment.name, seconds=round(seconds, 2))
                await self._stop.wait()
                await self._drain()
            self._state = "stopped"
            self._server.abandon()
            await asyncio.gather(*(one.stop(_LAST_WORDS_S) for one in endpoints))
        _log.info("fleet stopped", fleet=self._deployment.name)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._ask_to_stop)

    def _ask_to_stop(self) -> None:
        """The first call drains, the second does not wait for anything."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def _open_endpoints(self, stack: AsyncExitStack) -> tuple[RunningEndpoint | RunningHttp, ...]:
        """Before the slow start of the cluster, so that a port in use is known at once."""
        deployment = self._deployment
        control = ControlServer(
            socket_path(deployment.name), {"status": self._status, "stop": self._stop_verb}
        )
        await control.start()
        stack.push_async_callback(control.close)
        self._open_metrics(stack)
        grpc = deployment.grpc
        endpoint = await start_grpc(
            self._server,
            host=grpc.host,
            port=grpc.port,
            reflection=grpc.reflection,
            max_message_bytes=grpc.max_message_bytes,
            tenants=self._tenants,
            texts=self._texts,
        )
        stack.push_async_callback(endpoint.stop, 0.0)
        self._addresses["grpc"] = _authority(grpc.host, endpoint.port)
        if not deployment.http.is_enabled:
            return (endpoint,)
        return endpoint, await self._open_http(stack)

    async def _open_http(self, stack: AsyncExitStack) -> RunningHttp:
        http = self._deployment.http
        endpoint = await start_http(
            self._server,
            self._texts,
            host=http.host,
            port=http.port,
            tenants=self._tenants,
            max_body_bytes=http.max_body_bytes,
            routing=[v2_routes],
        )
        stack.push_async_callback(endpoint.stop, 0.0)
        self._addresses["http"] = _authority(http.host, endpoint.port)
        return endpoint

    def _open_metrics(self, stack: AsyncExitStack) -> None:
        metrics = self._deployment.metrics
        try:
            http, thread = start_http_server(metrics.port, metrics.host, self._metrics.registry)
        except OSError as error:
            raise RuntimeFailure(
                f"cannot serve metrics on {metrics.host}:{metrics.port}: {error.strerror}",
                hint="free the port, or choose another with --metrics-port",
            ) from error
        stack.callback(thread.join)
        stack.callback(http.server_close)
        stack.callback(http.shutdown)
        self._addresses["metrics"] = _authority(metrics.host, http.server_port)
        self._metrics.watch(self._server)
        self._metrics.plan(self._facts)

    async def _open_groups(self, specs: Sequence[WorkerSpec], key: str, stack: AsyncExitStack) -> None:
        """Cluster, workers, links. Blocking Ray calls run on a thread, so the endpoint answers meanwhile.

        Returns early, with what is open so far, when a stop is asked for.
        """
        loop = asyncio.get_running_loop()
        cluster = RayCluster(self._deployment, progress=self._progress)
        stack.push_async_callback(loop.run_in_executor, None, cluster.close)

        def start() -> tuple[StartedGroup, ...]:
            cluster.open()
            # Ray has put a handler of its own before ours, which prints a stack.
            loop.call_soon_threadsafe(self._catch_signals)
            return cluster.start_groups(specs)

        starting = loop.run_in_executor(None, start)
        if not await self._outlasts_stop(starting):
            await loop.run_in_executor(None, cluster.close)
            # Closing makes it fail, and there is nobody left who wants to know how.
            await asyncio.gather(starting, return_exceptions=True)
            return
        self._started = await starting
        for index, started in enumerate(self._started):
            self._metrics.weights_loaded(started.group_id, started.loads)
            link = await self._connect(index, started, key)
            stack.callback(link.close)
        cluster.watch(lambda group_id, why: loop.call_soon_threadsafe(self._lose, group_id, why))

    async def _connect(self, index: int, started: StartedGroup, key: str) -> SocketLink:
        server = self._server

        def receive(frame: Frame) -> None:
            if isinstance(frame.header, Gone):
                self._lose(started.group_id, frame.header.why)
            else:
                server.receive(index, frame)

        link = await open_link(
            started, key=key, receive=receive, lost=lambda why: self._lose(started.group_id, why)
        )
        server.open_group(index, link, started.interfaces)
        if not link.is_open:  # it died before the server knew it
            self._lose(started.group_id, "its link closed while it opened")
        return link

    def _lose(self, group_id: str, why: str) -> None:
        """Its link says so at once where its process died, Ray after a while where its host did."""
        index = next(index for index, group in enumerate(self._placement.groups) if group.id == group_id)
        if self._state != "stopped" and self._server.lose_group(index, why):
            _log.error("group lost", group=group_id, why=why)

    async def _outlasts_stop(self, work: asyncio.Future) -> bool:
        """Wait until `work` is done, or until a stop is asked for: then False."""
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return not self._stop.is_set()

    async def _drain(self) -> None:
        """Readiness off, a lead for load balancers, no new calls; accepted ones get the grace to finish."""
        self._state = "draining"
        self._progress("draining")
        drain = self._deployment.drain
        self._server.start_leaving()
        grace = asyncio.ensure_future(self._finish(drain.readiness_lead_s, drain.graceful_shutdown_timeout_s))
        now = asyncio.ensure_future(self._stop_now.wait())
        await asyncio.wait((grace, now), return_when=asyncio.FIRST_COMPLETED)
        for task in (grace, now):
            task.cancel()

    async def _finish(self, lead_s: float, grace_s: float) -> None:
        await asyncio.sleep(lead_s)
        self._server.start_draining()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._server.until_idle()

    async def _status(self, request: object) -> dict[str, object]:
        uptime_s = time.monotonic() - self._start_s
        return status_of(
            self._deployment,
            self._placement,
            self._facts,
            self._server,
            self._metrics,
            addresses=self._addresses,
            started=self._started,
            state=self._state,
            uptime_s=uptime_s,
        )

    async def _stop_verb(self, request: object) -> dict[str, object]:
        self._ask_to_stop()
        return {"state": "draining", "num_pending": self._server.num_pending}


def _authority(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
