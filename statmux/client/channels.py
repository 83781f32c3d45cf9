"""What both clients say to gRPC."""

from __future__ import annotations

DEFAULT_TIMEOUT_S = 60.0
# Any size goes: the server sets the limit and names it.
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
    ("grpc.enable_http_proxy", 0),  # an http_proxy of the environment is not meant for a server next door
)


def headers_with(token: str | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a call."""
    return () if token is None else (("authorization", f"Bearer {token}"),)
