"""Starts and stops the HTTP endpoint, on the event loop that runs already."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import final

import uvicorn
from starlette.routing import BaseRoute

from controller.calls import Reason, Refusal
from controller.fleet import Fleet
from controller.http.app import build_app
from controller.http.endpoint import Front
from controller.http.guarded_connection import guarded
from controller.ports import Sharing, listen
from controller.security.certificates import Certificates
from controller.security.limited_fleet import TenantPlaces
from controller.tenants import ONE_TENANT, Tenants
from controller.text import ModelText, TextFront
from controller.tracing.tracer import NO_TRACER, AbstractTracer
from vocabulary.exposure import is_loopback
from vocabulary.limits import DEFAULT_LIMITS, Limits

MAX_BODY_BYTES = 64 * 2**20
# How long the last words of answers that were ended may take to reach their clients.
_LAST_WORDS_S = 1.0
_STOPPING = Refusal(Reason.DRAINING, "the server is shutting down; ask another replica of the endpoint")
# Routes of further protocols, made once all that they share is there.
Routing = Callable[[Front], Sequence[BaseRoute]]


@final
class RunningHttp:
    """A started endpoint. `port` is the one it listens on, also where 0 was asked for."""

    def __init__(self, server: uvicorn.Server, port: int, front: Front, ticks: asyncio.Task[None]) -> None:
        self.port = port
        self._server = server
        self._front = front
        self._ticks = ticks

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let open answers finish for `grace_s` seconds, end the rest with 503.

        An answer that has begun ends with an error event. Idempotent.
        """
        if self._front.open_answers.is_closing:
            return
        self._front.open_answers.is_closing = True
        self._ticks.cancel()
        await asyncio.gather(self._ticks, return_exceptions=True)
        ending = asyncio.get_running_loop().call_later(
            grace_s, self._front.open_answers.refuse_all, _STOPPING
        )
        self._server.config.timeout_graceful_shutdown = math.ceil(grace_s + _LAST_WORDS_S)
        try:
            await self._server.shutdown()
        finally:
            ending.cancel()


async def start_http(
    fleet: Fleet,
    texts: Mapping[str, ModelText],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    tenants: Tenants = ONE_TENANT,
    max_body_bytes: int = MAX_BODY_BYTES,
    routing: Sequence[Routing] = (),
    certificates: Certificates | None = None,
    limits: Limits = DEFAULT_LIMITS,
    sharing: Sharing = Sharing.ALONE,
    tracer: AbstractTracer = NO_TRACER,
) -> RunningHttp:
    """Serve `fleet` on the running event loop. port 0: any free one. No signal is caught.

    texts: of every model, by canonical name. certificates: TLS with these; None: none. Raises PortInUse, or
    RuntimeFailure if the address cannot be listened on for another reason.
    """
    sockets = listen(host, port, key="endpoints.http", flag="--http-port", sharing=sharing)
    front = Front(
        fleet,
        TextFront(fleet, texts, limits=limits),
        tenants,
        max_body_bytes,
        limits=limits,
        is_local=is_loopback(host),
        places=TenantPlaces(limits.max_tenant_requests),
        tracer=tracer,
    )
    app = build_app(front, routes=[route for each in routing for route in each(front)])
    # We take uvicorn's server apart: its own `serve` would catch the signals that our life cycle waits for.
    server = uvicorn.Server(_config(app, limits))
    server.config.load()
    server.config.ssl = certificates.ssl_context() if certificates is not None else None
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=sockets)
    ticks = asyncio.create_task(server.main_loop())
    return RunningHttp(server, sockets[0].getsockname()[1], front, ticks)


def _config(app: object, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=guarded(limits),  # h11: httptools takes a third off a request's cost, and headers without end
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_timeout_s,
        h11_max_incomplete_event_size=limits.max_header_bytes,
    )
