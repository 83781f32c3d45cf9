"""What both clients say to gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc import aio

from vocabulary.errors import InvalidInput

DEFAULT_TIMEOUT_S = 60.0
# Any size goes: the server sets the limit and names it.
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
    ("grpc.enable_http_proxy", 0),  # an http_proxy of the environment is not meant for a server next door
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Speak TLS. Paths of files in PEM.

    ca: who signed the server's certificate; None: one that this machine trusts anyway. cert, key: ours, where
    the server asks for one. server_name: what its certificate says, where the address says something else.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None


def tls_of(
    tls: bool,
    ca: str | Path | None,
    cert: str | Path | None,
    key: str | Path | None,
    server_name: str | None = None,
) -> Tls | None:
    """None where nothing asks for TLS. Raises InvalidInput for a certificate without its key."""
    if (cert is None) != (key is None):
        missing = "key" if key is None else "cert"
        raise InvalidInput(f"there is no {missing}", hint="a client's certificate and its key come together")
    return Tls(ca, cert, key, server_name) if tls or ca is not None or cert is not None else None


def open_channel(address: str, tls: Tls | None) -> grpc.Channel:
    """Raises InvalidInput for files that cannot be read."""
    if tls is None:
        return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(address, _credentials(tls), options=_options(tls))


def open_aio_channel(address: str, tls: Tls | None) -> aio.Channel:
    """The same for asyncio."""
    if tls is None:
        return aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    return aio.secure_channel(address, _credentials(tls), options=_options(tls))


def headers_with(token: str | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a call."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    ca, cert, key = (None if path is None else _read(path) for path in (tls.ca, tls.cert, tls.key))
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


def _options(tls: Tls) -> tuple[tuple[str, str | int], ...]:
    if tls.server_name is None:
        return CHANNEL_OPTIONS
    return (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", tls.server_name))


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise InvalidInput(message, where=str(path), hint="give files in PEM") from None
