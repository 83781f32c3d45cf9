"""`endpoints.limits` of a deployment file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vocabulary.formats.shapes import Bytes, Count, Positive, Shape, told
from vocabulary.limits import DEFAULT_LIMITS as _LIMITS
from vocabulary.limits import Limits


class LimitsShape(Shape):
    """Sizes in bytes, times in seconds; beyond them a client is refused, or its connection ends."""

    max_connections: Annotated[Count, told("Of each endpoint.")] = _LIMITS.max_connections
    max_streams: Annotated[Count, told("Calls at a time on one gRPC connection.")] = _LIMITS.max_streams
    max_header: Annotated[Bytes, Field(ge=1024, le=2**20), told("Bytes of all headers of a call.")] = (
        _LIMITS.max_header_bytes
    )
    header_timeout_s: Annotated[Positive, told("Until the headers are there.")] = _LIMITS.header_timeout_s
    body_timeout_s: Annotated[Positive, told("Until an HTTP body is there.")] = _LIMITS.body_timeout_s
    idle_timeout_s: Annotated[Positive, told("A connection without a call.")] = _LIMITS.idle_timeout_s
    keepalive_s: Annotated[Positive, Field(ge=1), told("A silent gRPC client is asked whether it lives.")] = (
        _LIMITS.keepalive_s
    )
    max_tensors: Annotated[Count, told("Of a call.")] = _LIMITS.max_tensors
    max_rank: Annotated[Count, Field(le=64), told("Dimensions of a tensor.")] = _LIMITS.max_rank
    max_elements: Annotated[Count, told("Of a tensor.")] = _LIMITS.max_elements
    max_json_depth: Annotated[Count, Field(le=500), told("Brackets in brackets.")] = _LIMITS.max_json_depth
    max_prompt_chars: Annotated[Count, told("Characters of a prompt, all messages together.")] = (
        _LIMITS.max_prompt_chars
    )
    max_messages: Annotated[Count, told("Of a chat.")] = _LIMITS.max_messages
    max_tenant_requests: Annotated[Count | None, told("Unanswered at a time at an endpoint.")] = (
        _LIMITS.max_tenant_requests
    )

    def noun(self) -> Limits:
        """What it says."""
        words = self.model_dump()
        return Limits(max_header_bytes=words.pop("max_header"), **words)
