"""Answers as server-sent events, the way OpenAI streams them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol, final

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.calls import Refusal
from controller.http.endpoint import Front
from controller.http.errors import INTERNAL, error_body
from controller.http.given import Given, Usage, usage_of
from controller.http.several import merged, started
from controller.text import TextAnswer, TextCall, TextEnded, TextPiece
from controller.text.refused import by_fleet

_DONE = b"data: [DONE]\n\n"
_log = structlog.get_logger("statmux.http")


class Shape(Protocol):
    """How one kind of request is answered. One object a request."""

    def begin(self, answers: Sequence[TextAnswer]) -> None:
        """Called first, with what will be read."""

    def whole(self, given: Given) -> dict[str, object]:
        """The body of an answer in one piece."""

    def opening(self) -> Iterable[dict[str, object]]:
        """Chunks that come before the first text."""

    def chunk(self, answer_index: int, piece: TextPiece) -> dict[str, object]: ...

    def usage_chunk(self, usage: Usage) -> dict[str, object] | None:
        """None: nobody asked for it."""


async def event_response(front: Front, calls: Sequence[TextCall], shape: Shape) -> Response:
    """Begun once the first token has come, so that a refusal has its status. Raises Refused."""
    return await begun(_events(front, calls, shape))


async def begun(events: AsyncGenerator[bytes, None]) -> Response:
    """All of them, once the first is there. Raises what `events` raises before it."""
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise
    return EventResponse(first, events)


@final
class EventResponse(Response):
    """Sends events as they come. An error of ours after the first byte is an event too."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await send(_part(self._first))
            try:
                async for event in self._events:
                    await send(_part(event))
            except Exception:  # as in `Endpoint`: a bug ends this call, and the client hears of it
                _log.exception("stream failed")
                await send(_part(event_of(error_body(INTERNAL))))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def event_of(body: dict[str, object]) -> bytes:
    """One event. JSON has no raw line breaks, so it is one line."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _part(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _events(front: Front, calls: Sequence[TextCall], shape: Shape) -> AsyncGenerator[bytes, None]:
    """Raises Refused only before the first event."""
    async with started(front, calls) as answers, aclosing(merged(answers)) as arriving:
        usage, has_begun = usage_of(answers), False
        shape.begin(answers)
        async for index, news in arriving:
            if isinstance(news, Refusal):
                if not has_begun:
                    raise by_fleet(news)
                yield event_of(error_body(news))
                return
            if not has_begun:
                has_begun = True
                for chunk in shape.opening():
                    yield event_of(chunk)
            if isinstance(news, TextEnded):
                usage = usage.plus(news)
            else:
                yield event_of(shape.chunk(index, news))
        if (chunk := shape.usage_chunk(usage)) is not None:
            yield event_of(chunk)
        yield _DONE
