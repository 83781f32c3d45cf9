"""One client's connection: its body, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from starlette.types import Receive

from controller.calls import Reason
from controller.text.refused import Refused


class ClientGone(Exception):
    """The client went away before its request was whole."""


class BodyTooLarge(Refused):
    """Has a status of its own."""

    status = 413


class BodyTooSlow(Refused):
    """Has a status of its own."""

    status = 408


async def body_of(receive: Receive, *, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Raises BodyTooLarge and BodyTooSlow as soon as it is, and ClientGone."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _body_of(receive, max_bytes)
    except TimeoutError:
        message = f"the request's body took longer than {timeout_s:g} s"
        raise BodyTooSlow(Reason.INVALID_REQUEST, message, code="request_timeout") from None


async def _body_of(receive: Receive, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    num_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        num_bytes += len(part)
        if num_bytes > max_bytes:
            message = f"the body is larger than {max_bytes} bytes"
            raise BodyTooLarge(Reason.INVALID_REQUEST, message, code="body_too_large")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def while_connected(receive: Receive, work: Coroutine[object, object, None]) -> None:
    """Do `work`, which is cancelled the moment the client goes away. The body must have been read."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
