"""A collector of OpenTelemetry: a real gRPC server that takes traces and keeps them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Got:
    """A span as it arrived. Ids are hexadecimal, times Unix seconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_s: float
    end_s: float
    attributes: dict[str, Any]
    events: tuple[str, ...]
    kind: str
    error: str
    state: str
    resource: dict[str, Any]

    @property
    def took_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(slots=True)
class Collector(TraceServiceServicer):
    """endpoint: as in a deployment file. refuses: what comes is not taken."""

    endpoint: str = ""
    refuses: bool = False
    spans: list[Got] = field(default_factory=list)

    def Export(self, request: Any, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not today")
        for resource_spans in request.resource_spans:
            resource = _values(resource_spans.resource.attributes)
            for scope in resource_spans.scope_spans:
                self.spans += [_got(span, resource) for span in scope.spans]
        return ExportTraceServiceResponse()

    def of(self, trace_id: str) -> list[Got]:
        """All spans of a trace, those that began first before the others."""
        return sorted((one for one in self.spans if one.trace_id == trace_id), key=lambda one: one.start_s)

    def servers(self) -> list[Got]:
        """The spans of calls."""
        return [one for one in self.spans if one.kind == "SPAN_KIND_SERVER"]

    def has(self, num_servers: int) -> None:
        """Returns when so many calls were told. For fleets in other processes; looks again and again."""
        ends_s = time.monotonic() + PATIENCE_S
        while len(self.servers()) < num_servers:
            assert time.monotonic() < ends_s, [one.name for one in self.spans]
            time.sleep(0.02)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    collector.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0.0).wait()


def _got(span: ProtoSpan, resource: dict[str, Any]) -> Got:
    return Got(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano * 1e-9,
        span.end_time_unix_nano * 1e-9,
        _values(span.attributes),
        tuple(event.name for event in span.events),
        ProtoSpan.SpanKind.Name(span.kind),
        span.status.message if span.status.code == 2 else "",
        span.trace_state,
        resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return (
        [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
    )
