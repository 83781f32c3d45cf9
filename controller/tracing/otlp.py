"""Spans for OpenTelemetry's SDK, and its exporter over OTLP and gRPC: the only file that imports either."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from controller.tracing.outbox import Letter
from controller.tracing.span import Span, Value
from controller.tracing.spans import spans_of

_NS_PER_S = 1e9
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_FINE = Status(StatusCode.UNSET)
# It writes an error for each batch that does not arrive; the outbox says once that none do.
_EXPORTERS_LOG = "opentelemetry.exporter.otlp.proto.grpc.exporter"
# It warns of each tracestate that is none, for each span, with what the caller wrote there.
_STATES_LOG = "opentelemetry.trace.span"


@final
class OtlpSender:
    """Implements `controller.tracing.outbox.Sender`."""

    def __init__(self, endpoint: str, *, resource: Mapping[str, str], version: str, timeout_s: float) -> None:
        """resource: attributes; those of OTEL_RESOURCE_ATTRIBUTES are added."""
        for name in (_EXPORTERS_LOG, _STATES_LOG):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._resource = Resource.create(dict(resource))
        self._scope = InstrumentationScope("statmux", version)
        self._exporter = OTLPSpanExporter(
            endpoint, insecure=endpoint.startswith("http://"), timeout=timeout_s
        )

    def send(self, letters: Sequence[Letter]) -> str:
        spans = [
            sdk_span(span, letter.clock_to_unix_s, resource=self._resource, scope=self._scope)
            for letter in letters
            for span in spans_of(letter.record)
        ]
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return ""
        return f"{self._endpoint} did not take them within {self._timeout_s:g} s"

    def close(self) -> None:
        self._exporter.shutdown()


def sdk_span(
    span: Span, clock_to_unix_s: float, *, resource: Resource, scope: InstrumentationScope
) -> ReadableSpan:
    """The same in the SDK's words."""

    def nanoseconds(at_s: float) -> int:
        return round((at_s + clock_to_unix_s) * _NS_PER_S)

    state = TraceState.from_header([span.state]) if span.state else TraceState()
    context = SpanContext(
        span.trace_id, span.span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=state
    )
    parent = None
    if span.parent_id:
        parent = SpanContext(
            span.trace_id, span.parent_id, is_remote=span.is_remote_parent, trace_flags=_SAMPLED
        )
    return ReadableSpan(
        span.name,
        context=context,
        parent=parent,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=[Event(one.name, _attributes(one.attributes), nanoseconds(one.at_s)) for one in span.events],
        kind=SpanKind.SERVER if span.is_server else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, _unicode(span.error)) if span.error else _FINE,
        start_time=nanoseconds(span.start_s),
        end_time=nanoseconds(span.end_s),
        instrumentation_scope=scope,
    )


def _attributes(told: Mapping[str, Value]) -> dict[str, Value]:
    return {key: _unicode(value) if isinstance(value, str) else value for key, value in told.items()}


def _unicode(text: str) -> str:
    """Ids and tenants may be any text of JSON; half of a pair cannot be sent."""
    return text if text.isascii() else text.encode(errors="replace").decode()
