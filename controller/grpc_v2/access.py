"""Whose call is it? `controller.tenants` asked with a call's metadata."""

from __future__ import annotations

import grpc

from controller.calls import Refusal
from controller.tenants import Tenants

# Answered without a token, like grpc.health.v1: whether the server lives and is ready, and nothing else.
OPEN_RPCS = frozenset({"ServerLive", "ServerReady"})


def tenant_of(tenants: Tenants, context: grpc.aio.ServicerContext) -> str | Refusal:
    """The tenant of the call, or why it is refused."""
    return tenants.of(dict(context.invocation_metadata() or ()).get)
