"""Refusals as HTTP: status, retry hints, and the error body that OpenAI's clients read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from controller.calls import Reason, Refusal
from controller.text.refused import Refused

STATUS: Mapping[Reason, int] = {
    Reason.SLO_INFEASIBLE: 429,
    Reason.QUEUE_FULL: 429,
    Reason.NOT_PLACED: 503,
    Reason.UNAVAILABLE: 503,
    Reason.DRAINING: 503,
    Reason.DEADLINE_EXCEEDED: 504,
    Reason.CANCELLED: 499,
    Reason.FAILED: 500,
    Reason.LOST: 500,
    Reason.NOT_LOADED: 503,
    Reason.UNKNOWN_MODEL: 404,
    Reason.UNKNOWN_VERSION: 404,
    Reason.INVALID_TENSOR: 400,
    Reason.INVALID_PARAMETER: 400,
    Reason.INVALID_REQUEST: 400,
    Reason.CONTEXT_LENGTH_EXCEEDED: 400,
    Reason.UNSUPPORTED: 501,
    Reason.UNAUTHENTICATED: 401,
    Reason.PERMISSION_DENIED: 403,
}
# Asking again at once cannot help, and clients that do it by themselves would add load. OpenAI's do, after
# 408, 409, 429 and everything from 500 on.
NOT_TO_RETRY = frozenset(
    (Reason.SLO_INFEASIBLE, Reason.DEADLINE_EXCEEDED, Reason.NOT_LOADED, Reason.UNSUPPORTED)
)
# Clients wait so long before they ask elsewhere, where the refusal does not say.
_RETRY_AFTER_S = {
    Reason.QUEUE_FULL: 1.0,
    Reason.NOT_PLACED: 1.0,
    Reason.UNAVAILABLE: 1.0,
    Reason.DRAINING: 1.0,
}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
INTERNAL = Refusal(Reason.FAILED, "internal error; the server's log has the details")


def error_body(refusal: Refusal, *, param: str | None = None, code: str | None = None) -> dict[str, object]:
    """{"error": {"message", "type", "param", "code"}}."""
    return body_of(refusal.message, STATUS[refusal.reason], param=param, code=code or refusal.reason.value)


def error_response(refused: Refused) -> Response:
    """The whole answer to a refused call."""
    refusal = refused.refusal
    body = error_body(refusal, param=refused.param, code=refused.code)
    return json_response(body, status=STATUS[refusal.reason], headers=retry_headers(refusal))


def retry_headers(refusal: Refusal) -> dict[str, str]:
    """Whether and when to ask again, as OpenAI's clients and RFC 9110 have it."""
    if refusal.reason in NOT_TO_RETRY:
        return {"x-should-retry": "false"}
    if refusal.reason is Reason.UNAUTHENTICATED:
        return {"www-authenticate": "Bearer"}
    wait_s = refusal.retry_after_s
    if wait_s is None:
        wait_s = _RETRY_AFTER_S.get(refusal.reason)
    if wait_s is None:
        return {}
    return {"retry-after-ms": str(math.ceil(wait_s * 1e3)), "retry-after": str(math.ceil(wait_s))}


def body_of(message: str, status: int, *, param: str | None, code: str | None) -> dict[str, object]:
    """An error body for a status that comes from no refusal."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as JSON. Tensors and structs that msgspec knows are welcome."""
    return Response(
        msgspec.json.encode(body), status, headers=dict(headers or {}), media_type="application/json"
    )
