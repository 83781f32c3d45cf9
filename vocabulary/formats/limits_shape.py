"""`endpoints.limits` of a deployment file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vocabulary.formats.shapes import Bytes, Count, Positive, Shape
from vocabulary.limits import DEFAULT_LIMITS as _LIMITS
from vocabulary.limits import Limits


class LimitsShape(Shape):
    """Sizes in bytes, times in seconds; beyond them a client is refused, or its connection ends."""

    max_connections: Count = _LIMITS.max_connections
    max_streams: Count = _LIMITS.max_streams
    max_header: Annotated[Bytes, Field(ge=1024, le=2**20)] = _LIMITS.max_header_bytes
    header_timeout_s: Positive = _LIMITS.header_timeout_s
    body_timeout_s: Positive = _LIMITS.body_timeout_s
    idle_timeout_s: Positive = _LIMITS.idle_timeout_s
    keepalive_s: Annotated[Positive, Field(ge=1)] = _LIMITS.keepalive_s
    max_tensors: Count = _LIMITS.max_tensors
    max_rank: Annotated[Count, Field(le=64)] = _LIMITS.max_rank
    max_elements: Count = _LIMITS.max_elements
    max_json_depth: Annotated[Count, Field(le=500)] = _LIMITS.max_json_depth
    max_prompt_chars: Count = _LIMITS.max_prompt_chars
    max_messages: Count = _LIMITS.max_messages
    max_tenant_requests: Count | None = _LIMITS.max_tenant_requests

    def noun(self) -> Limits:
        """What it says."""
        words = self.model_dump()
        return Limits(max_header_bytes=words.pop("max_header"), **words)
