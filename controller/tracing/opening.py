"""The tracer that a deployment asks for, made before anything runs, and its end."""

from __future__ import annotations

import asyncio
import os
import socket
from importlib.metadata import version
from typing import final

from prometheus_client import CollectorRegistry

from controller.tracing.extra import check
from controller.tracing.metrics import TracingMetrics
from controller.tracing.outbox import Outbox
from controller.tracing.tracer import NO_TRACER, AbstractTracer, Tracer
from vocabulary.deployment import Deployment


@final
class Tracing:
    """Of one process. `tracer` may be used at once; traces are sent from `start` to `close`."""

    def __init__(self, tracer: AbstractTracer, outbox: Outbox | None = None, *, flush_s: float = 0.0) -> None:
        """outbox: None where no traces are made. flush_s: how long `close` waits for what is not sent."""
        self.tracer = tracer
        self._outbox = outbox
        self._flush_s = flush_s

    def start(self, registry: CollectorRegistry) -> None:
        """registry: where sent and dropped spans are counted from now on."""
        registry.register(TracingMetrics(self._outbox))
        if self._outbox is not None:
            self._outbox.start()

    async def close(self) -> None:
        """What is not sent in time is dropped. Idempotent."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            await asyncio.to_thread(outbox.close, self._flush_s)


def open_tracing(deployment: Deployment, *, front: int = 0) -> Tracing:
    """front: which front end of the fleet, 0 for its own process.

    Raises InvalidInput where the extra is not installed.
    """
    asked = deployment.tracing
    check(asked)
    if asked.otlp_endpoint is None:
        return Tracing(NO_TRACER)
    # The SDK is imported only where it is used.
    from controller.tracing.otlp import OtlpSender

    sender = OtlpSender(
        asked.otlp_endpoint,
        resource=resource_of(deployment, front=front),
        version=version("statmux"),
        timeout_s=asked.export_timeout_s,
    )
    outbox = Outbox(sender, max_waiting=asked.max_waiting_traces)
    tracer = Tracer(outbox, sample_ratio=asked.sample_ratio)
    return Tracing(tracer, outbox, flush_s=asked.flush_timeout_s)


def resource_of(deployment: Deployment, *, front: int) -> dict[str, str | int]:
    """Who tells the traces."""
    host = socket.gethostname()
    return {
        "service.name": deployment.tracing.service_name,
        "service.version": version("statmux"),
        "service.instance.id": f"{deployment.name}/{front}@{host}",
        "host.name": host,
        "process.pid": os.getpid(),
        "statmux.fleet": deployment.name,
        "statmux.front": front,
    }
