"""What an endpoint takes from one client: sizes, counts and times beyond which it refuses or hangs up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`endpoints.limits` of a deployment. None: no limit of that kind.

    max_connections: of each endpoint. max_streams: gRPC calls on one connection at a time; a client that
    makes more before it has heard of the limit has them refused. max_header_bytes: an HTTP request's line and
    headers, a gRPC call's metadata. header_timeout_s, body_timeout_s: until they are whole. idle_timeout_s: a
    connection without a call. keepalive_s: after so long without a byte a gRPC client is asked whether it
    lives. max_elements: of one tensor. max_prompt_chars: of a prompt, or of all messages, before it is cut
    into tokens. max_tenant_requests: unanswered requests of one tenant at each endpoint.
    """

    max_connections: int = 4096
    max_streams: int = 16_384
    max_header_bytes: int = 64 * 2**10
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    keepalive_s: float = 60.0
    max_tensors: int = 256
    max_rank: int = 16
    max_elements: int = 2**28
    max_json_depth: int = 64
    max_prompt_chars: int = 4 * 2**20
    max_messages: int = 4096
    max_tenant_requests: int | None = None


DEFAULT_LIMITS = Limits()
