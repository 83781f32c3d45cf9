"""Refusals on the wire: gRPC status, google.rpc details and retry hints. Only the error path comes here."""

from __future__ import annotations

import math
from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from controller.calls import Reason, Refusal
from controller.text.refused import Refused

__all__ = ["STATUS", "Refused", "abort", "set_refusal", "trailers_of"]

DOMAIN = "statmux"
_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_REQUEST_ID_KEY = "x-request-id"
# Trailers share gRPC's 8 KiB limit for metadata, and the message travels in them twice.
_MAX_MESSAGE_CHARS = 1500
_MAX_ID_CHARS = 256

STATUS: Mapping[Reason, grpc.StatusCode] = {
    Reason.SLO_INFEASIBLE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.QUEUE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.NOT_PLACED: grpc.StatusCode.UNAVAILABLE,
    Reason.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.CANCELLED: grpc.StatusCode.CANCELLED,
    Reason.FAILED: grpc.StatusCode.INTERNAL,
    Reason.LOST: grpc.StatusCode.ABORTED,
    Reason.NOT_LOADED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.UNKNOWN_MODEL: grpc.StatusCode.NOT_FOUND,
    Reason.UNKNOWN_VERSION: grpc.StatusCode.NOT_FOUND,
    Reason.INVALID_TENSOR: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_PARAMETER: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.CONTEXT_LENGTH_EXCEEDED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
}


def set_refusal(context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
    """Make `refusal` the status of a unary call; whatever message its handler then returns is dropped."""
    context.set_code(STATUS[refusal.reason])
    context.set_details(refusal.message[:_MAX_MESSAGE_CHARS])
    context.set_trailing_metadata(trailers_of(refusal))


async def abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
    """End a stream with `refusal`. Does not return."""
    message = refusal.message[:_MAX_MESSAGE_CHARS]
    await context.abort(STATUS[refusal.reason], message, trailers_of(refusal))


def trailers_of(refusal: Refusal) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata: google.rpc.Status with ErrorInfo and RetryInfo, retry pushback, the call's id."""
    status = status_pb2.Status(
        code=STATUS[refusal.reason].value[0],
        message=refusal.message[:_MAX_MESSAGE_CHARS],
        details=_details(refusal),
    )
    trailers: list[tuple[str, str | bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if refusal.reason is Reason.SLO_INFEASIBLE:
        trailers.append((_PUSHBACK_KEY, "-1"))  # negative: do not retry
    elif refusal.retry_after_s is not None:
        trailers.append((_PUSHBACK_KEY, str(math.ceil(refusal.retry_after_s * 1e3))))
    if _is_ascii_value(refusal.call_id):
        trailers.append((_REQUEST_ID_KEY, refusal.call_id))
    return tuple(trailers)


def _is_ascii_value(text: str) -> bool:
    """Whether gRPC takes it as metadata, for which there is little room. Ids of clients may be any text."""
    return 0 < len(text) <= _MAX_ID_CHARS and text.isascii() and text.isprintable()


def _details(refusal: Refusal) -> list[any_pb2.Any]:
    details = [_ERROR_INFO[refusal.reason]]
    if refusal.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(refusal.retry_after_s * 1e9))
        details.append(_packed(retry))
    return details


def _packed(message: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


_ERROR_INFO = {
    reason: _packed(error_details_pb2.ErrorInfo(reason=reason.name, domain=DOMAIN)) for reason in Reason
}
