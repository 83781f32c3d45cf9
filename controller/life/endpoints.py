"""Where a fleet answers: gRPC, HTTP, metrics; opened before the slow start, so a taken port is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import final

from controller.fleet import Fleet as AnsweringFleet
from controller.grpc_v2.server import RunningEndpoint, start_grpc
from controller.http import RunningHttp, start_http
from controller.http.admin import Verbs, admin_routes
from controller.http.v2 import v2_routes
from controller.live.routes import live_routes
from controller.metrics import FleetMetrics
from controller.ports import Sharing
from controller.security.guard import Guard
from controller.security.metrics_endpoint import open_metrics
from controller.text.model_text import ModelText, open_texts
from controller.tracing.tracer import NO_TRACER, AbstractTracer
from vocabulary.deployment import Deployment


@final
class Endpoints:
    """`addresses`: as in URLs; a port of 0 is known once it is open."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        guard: Guard,
        texts: Mapping[str, ModelText],
        verbs: Verbs,
        sharing: Sharing = Sharing.ALONE,
        tracer: AbstractTracer = NO_TRACER,
    ) -> None:
        """verbs: what the fleet answers at the moment, for the admin routes. sharing: of the ports for calls
        with further front ends."""
        self._deployment = deployment
        self._guard = guard
        self._texts = dict(texts)
        self._verbs = verbs
        self._sharing = sharing
        self._tracer = tracer
        self._open: list[RunningEndpoint | RunningHttp] = []
        self.addresses = {
            "grpc": authority(deployment.grpc.host, deployment.grpc.port),
            "metrics": authority(deployment.metrics.host, deployment.metrics.port),
        }

    async def open(self, server: AnsweringFleet, metrics: FleetMetrics, stack: AsyncExitStack) -> None:
        """Closed with the stack, at once. Raises RuntimeFailure for a port that is taken."""
        self._open_metrics(metrics, stack)
        await self._open_grpc(server, stack)
        if self._deployment.http.is_enabled:
            await self._open_http(server, stack)

    async def adopt(self, deployment: Deployment) -> None:
        """Tokenizers and templates of its models are known from now on. Raises InvalidInput for a bad one."""
        self._texts.update(await asyncio.to_thread(open_texts, deployment))

    async def close(self, grace_s: float) -> None:
        """Answers that are ready have so long to reach their clients."""
        for one in self._open:
            await one.stop(grace_s)

    async def _open_grpc(self, server: AnsweringFleet, stack: AsyncExitStack) -> None:
        grpc = self._deployment.grpc
        endpoint = await start_grpc(
            server,
            host=grpc.host,
            port=grpc.port,
            reflection=grpc.reflection,
            max_message_bytes=grpc.max_message_bytes,
            tenants=self._guard.tenants,
            texts=self._texts,
            certificates=self._guard.certificates,
            limits=self._deployment.limits,
            sharing=self._sharing,
            tracer=self._tracer,
        )
        stack.push_async_callback(endpoint.stop, 0.0)
        self._open.append(endpoint)
        self.addresses["grpc"] = authority(grpc.host, endpoint.port)

    async def _open_http(self, server: AnsweringFleet, stack: AsyncExitStack) -> None:
        http = self._deployment.http
        page = [live_routes(self._verbs)] if http.has_live_page else []
        endpoint = await start_http(
            server,
            self._texts,
            host=http.host,
            port=http.port,
            tenants=self._guard.tenants,
            max_body_bytes=http.max_body_bytes,
            routing=[v2_routes, admin_routes(self._verbs), *page],
            certificates=self._guard.certificates,
            limits=self._deployment.limits,
            sharing=self._sharing,
            tracer=self._tracer,
        )
        stack.push_async_callback(endpoint.stop, 0.0)
        self._open.append(endpoint)
        self.addresses["http"] = authority(http.host, endpoint.port)

    def _open_metrics(self, metrics: FleetMetrics, stack: AsyncExitStack) -> None:
        asked = self._deployment.metrics
        running = open_metrics(
            metrics.registry,
            host=asked.host,
            port=asked.port,
            certificates=self._guard.certificates,
            tenants=self._guard.tenants,
        )
        stack.callback(running.close)
        self.addresses["metrics"] = authority(asked.host, running.port)


def authority(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
