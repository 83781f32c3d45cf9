"""One connection of the HTTP endpoint, round uvicorn's: a place for it, and a time for its headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, final

import h11
import msgspec
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from controller.http.errors import body_of
from vocabulary.limits import Limits


def guarded(limits: Limits) -> Callable[..., asyncio.Protocol]:
    """What uvicorn calls for each new connection."""

    def connect(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        return GuardedConnection(H11Protocol(config, server_state, app_state, _loop), limits)

    return connect


@final
class GuardedConnection(asyncio.Protocol):
    """Passes everything on, unless there are too many already, or the client takes too long for its headers.

    How long a body may take is the endpoint's to know. Between two requests uvicorn keeps the time; while an
    answer is awaited nobody does.
    """

    def __init__(self, inner: H11Protocol, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self._is_in = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if len(self._inner.connections) >= self._limits.max_connections:
            most = self._limits.max_connections
            self._end(503, f"{most} connections are open, as many as may be; close one, or come back later")
            return
        self._is_in = True
        self._inner.connection_made(transport)
        self._keep_time()

    def data_received(self, data: bytes) -> None:
        if self._is_in and not self._transport.is_closing():
            self._inner.data_received(data)
            self._keep_time()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._is_in else None

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_time()
        if self._is_in:
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        if self._is_in:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._is_in:
            self._inner.resume_writing()

    def _keep_time(self) -> None:
        """Headers that go on keep their time, however many bytes come."""
        if self._inner.conn.their_state is not h11.IDLE:
            self._stop_time()
        elif self._timer is None:
            self._timer = self._inner.loop.call_later(self._limits.header_timeout_s, self._late)

    def _stop_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._end(408, f"the request's headers took longer than {self._limits.header_timeout_s:g} s")

    def _end(self, status: int, message: str) -> None:
        phrase, code = _WORDS[status]
        body = msgspec.json.encode(body_of(message, status, param=None, code=code))
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)
            self._transport.close()


_WORDS = {408: ("Request Timeout", "request_timeout"), 503: ("Service Unavailable", "too_many_connections")}
