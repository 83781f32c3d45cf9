"""One route: reads a request, has it answered, and tells the client what went wrong."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.calls import Reason, Refusal
from controller.fleet import Fleet
from controller.http.connection import BodyTooLarge, BodyTooSlow, ClientGone, body_of, while_connected
from controller.http.errors import INTERNAL, error_response, json_response
from controller.http.errors import body_of as error_body_of
from controller.http.open_answers import OpenAnswers
from controller.security.json_depth import is_deeper
from controller.security.limited_fleet import TenantPlaces, limited
from controller.security.rights import Rights
from controller.tenants import Tenants
from controller.text import Refused, TextFront
from controller.tracing.tracer import NO_TRACER, AbstractTracer
from vocabulary.limits import DEFAULT_LIMITS, Limits
from vocabulary.security import ADMIN, INFER

# Of a v2 body: how many of its bytes are JSON.
LENGTH_HEADER = "inference-header-content-length"
# Describing models is for everybody who uses or looks after them.
USERS = (INFER, ADMIN)
REQUEST_ID_HEADER = "x-request-id"
_MAX_ID_CHARS = 128
_log = structlog.get_logger("statmux.http")


@dataclass(frozen=True, slots=True)
class Front:
    """What all routes share. is_local: the endpoint can be reached from this machine only."""

    fleet: Fleet
    text: TextFront
    tenants: Tenants
    max_body_bytes: int
    open_answers: OpenAnswers = field(default_factory=OpenAnswers)
    limits: Limits = DEFAULT_LIMITS
    is_local: bool = True
    places: TenantPlaces = field(default_factory=lambda: TenantPlaces(None))
    tracer: AbstractTracer = NO_TRACER
    _of_tokens: dict[str, Front] = field(default_factory=dict)

    def of(self, rights: Rights) -> Front:
        """What the holder of a token sees of all this; the same object for each of their calls."""
        front = self._of_tokens.get(rights.name)
        if front is None:
            fleet = limited(self.fleet, rights, self.places)
            front = self if fleet is self.fleet else replace(self, fleet=fleet, text=self.text.over(fleet))
            self._of_tokens[rights.name] = front
        return front


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. path, query: its parameters. tenant: whose it is."""

    request_id: str
    headers: Headers
    body: bytes = b""
    tenant: str = ""
    path: Mapping[str, str] = field(default_factory=dict)
    query: str = ""


Answering = Callable[[Front, Asked], Awaitable[Response]]
# The body of an error, where a protocol has its own: from what was refused.
Telling = Callable[[Refused], Response]


@final
class Endpoint:
    """An ASGI application. Its answering is cancelled the moment the client goes away.

    is_open: no token is needed; else one with one of `scopes`. protocol: as metrics call it. tells: errors in
    the protocol's own form, OpenAI's without one. operation: as of `controller.tracing.asking.Asking`; None:
    what is asked here is in no trace.
    """

    def __init__(
        self,
        front: Front,
        answering: Answering,
        *,
        is_open: bool = False,
        scopes: tuple[str, ...] = USERS,
        protocol: str = "openai",
        tells: Telling = error_response,
        operation: str | None = None,
    ) -> None:
        self._front = front
        self._answering = answering
        self._is_open = is_open
        self._scopes = scopes
        self._protocol = protocol
        self._tells = tells
        self._operation = operation

    @property
    def open_to(self) -> tuple[str, ...]:
        """A token must have one of these scopes; empty: none is needed."""
        return () if self._is_open else self._scopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        if self._operation is not None and self._front.tracer.is_on:
            self._front.tracer.receive(headers.get, operation=self._operation)
        try:
            front, tenant = (self._front, "") if self._is_open else self._entered(headers)
            limits = front.limits
            body = await body_of(receive, max_bytes=front.max_body_bytes, timeout_s=limits.body_timeout_s)
            query = scope.get("query_string", b"").decode("latin-1")
            asked = Asked(request_id, headers, body, tenant, scope.get("path_params") or {}, query)
            await while_connected(receive, self._answer(front, asked, scope, receive, send))
        except ClientGone:
            return
        except Refused as refused:
            await self._refuse(refused, request_id, scope, receive, send)

    def _entered(self, headers: Headers) -> tuple[Front, str]:
        """What the caller sees, and whose the call is. Raises Refused."""
        caller = self._front.tenants.caller(headers.get, is_local=self._front.is_local)
        refusal = caller if isinstance(caller, Refusal) else caller.rights.refusal_of(*self._scopes)
        if refusal is not None:
            raise Refused(refusal.reason, refusal.message)
        return self._front.of(caller.rights), caller.tenant

    async def _answer(self, front: Front, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _check_depth(asked, front.limits.max_json_depth)
            response = await self._answering(front, asked)
        except Refused as refused:
            response = self._told(refused, asked.request_id, scope)
        except Exception:  # the outermost frame of a request: a bug ends this call, not the server
            _log.exception("request failed", request_id=asked.request_id)
            response = self._tells(Refused(INTERNAL.reason, INTERNAL.message))
        response.headers.setdefault(REQUEST_ID_HEADER, asked.request_id)
        await response(scope, receive, send)

    async def _refuse(
        self, refused: Refused, request_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Of a request whose body was not read to its end: the connection cannot be used again."""
        response = self._told(refused, request_id, scope)
        if isinstance(refused, BodyTooLarge | BodyTooSlow):
            response.status_code = refused.status
        response.headers.setdefault(REQUEST_ID_HEADER, request_id)
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    def _told(self, refused: Refused, request_id: str, scope: Scope) -> Response:
        """Counted, if not before: its model is not known then. Who only looks asks for no answer."""
        if not refused.is_counted and scope["method"] == "POST":
            refusal, fleet = refused.refusal, self._front.fleet
            fleet.turned_away("", refusal, protocol=self._protocol, call_id=request_id)
        response = self._tells(refused)
        if is_header_value(refused.refusal.call_id):
            response.headers[REQUEST_ID_HEADER] = refused.refusal.call_id
        return response


def _check_depth(asked: Asked, max_depth: int) -> None:
    """Of the JSON in a body, behind which binary tensors may follow. Raises Refused."""
    length = asked.headers.get(LENGTH_HEADER, "")
    text = asked.body[: int(length)] if length.isascii() and length.isdigit() else asked.body
    if is_deeper(text, max_depth):
        message = f"the body is JSON that nests more than {max_depth} deep"
        raise Refused(Reason.INVALID_REQUEST, message, code="json_too_deep")


def _request_id(headers: Headers) -> str:
    """The client's own where it has a good one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if is_header_value(given) else uuid.uuid4().hex


def is_header_value(request_id: str) -> bool:
    """Whether it can stand in `x-request-id`. Ids in bodies may be any text."""
    return 0 < len(request_id) <= _MAX_ID_CHARS and request_id.isascii() and request_id.isprintable()


def not_found(path: str, status: int) -> Response:
    """For paths and methods that no route takes."""
    what = "is no path of this server" if status == 404 else "does not take this method"
    body = error_body_of(f"{path} {what}", status, param=None, code=Reason.INVALID_REQUEST.value)
    return json_response(body, status=status)
