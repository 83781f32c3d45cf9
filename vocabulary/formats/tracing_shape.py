"""`observability.tracing` of a deployment file: spans of requests, sent to a collector of OpenTelemetry."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from vocabulary.formats.shapes import Count, NonNegative, Number, Positive, Shape, told
from vocabulary.tracing import HOW_TO_INSTALL, Tracing

_TRACING = Tracing()
_ENDPOINT = re.compile(r"https?://([^\s/@?#:\[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})/?")
_MAX_PORT = 65_535


def _checked(endpoint: str | None) -> str | None:
    found = None if endpoint is None else _ENDPOINT.fullmatch(endpoint)
    if endpoint is not None and (found is None or not 0 < int(found[2]) <= _MAX_PORT):
        raise ValueError("should be http://HOST:PORT, or https://HOST:PORT with TLS")
    return endpoint


class TracingShape(Shape):
    otlp_endpoint: Annotated[
        str | None,
        AfterValidator(_checked),
        told(
            "A collector that takes OTLP over gRPC, as http://127.0.0.1:4317 (https:// with TLS); null: no "
            f"traces. Needs `{HOW_TO_INSTALL}`."
        ),
    ] = _TRACING.otlp_endpoint
    sample_ratio: Annotated[
        Number,
        Field(ge=0, le=1),
        told(
            "The share of requests that are traced, of those that come without a trace; one that has a "
            "`traceparent` is traced if that says so."
        ),
    ] = _TRACING.sample_ratio
    service_name: Annotated[
        str, Field(min_length=1), told("Under which backends list the fleet: the resource's service.name.")
    ] = _TRACING.service_name
    max_waiting_traces: Annotated[
        Count, told("Of each front end, that are not sent yet; further ones are dropped and counted.")
    ] = _TRACING.max_waiting_traces
    export_timeout_s: Annotated[
        Positive, told("A batch that the collector has not taken by then is dropped and counted.")
    ] = _TRACING.export_timeout_s
    flush_timeout_s: Annotated[
        NonNegative, told("How long the end of a fleet waits until the last traces are sent.")
    ] = _TRACING.flush_timeout_s

    def noun(self) -> Tracing:
        """What it says."""
        return Tracing(**self.model_dump())
