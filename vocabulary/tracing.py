"""What of a fleet's requests is told to OpenTelemetry, and where."""

from __future__ import annotations

from dataclasses import dataclass

# What is installed besides, where traces are wanted.
EXTRA = "otel"
HOW_TO_INSTALL = f'pip install "statmux[{EXTRA}]"'


@dataclass(frozen=True, slots=True)
class Tracing:
    """`observability.tracing` of a deployment.

    otlp_endpoint: of a collector that takes OTLP over gRPC; None: no traces. sample_ratio: of requests that
    come without a trace of their own; one that has a trace says itself whether it is recorded.
    max_waiting_traces: not sent yet; further ones are dropped and counted. export_timeout_s: what a collector
    has not taken by then is dropped. flush_timeout_s: how long the end of a fleet waits for what is not sent.
    """

    otlp_endpoint: str | None = None
    sample_ratio: float = 0.05
    service_name: str = "statmux"
    max_waiting_traces: int = 2048
    export_timeout_s: float = 5.0
    flush_timeout_s: float = 2.0
