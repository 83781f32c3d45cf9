"""What a call can end with instead of an answer, made from the gRPC status and its google.rpc details."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2

from vocabulary.errors import InvalidInput, RuntimeFailure, StatmuxError, TimedOut, Unreachable

_DETAILS_KEY = "grpc-status-details-bin"


class ClientError(StatmuxError):
    """A call failed. reason: as the server names it, like SLO_INFEASIBLE; "" if it did not say.

    retry_after_s: when asking again makes sense, None if the server did not say.
    """

    def __init__(
        self, message: str, *, where: str | None = None, reason: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, where=where)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Rejected(ClientError):
    """Turned away under load: the queue is full (QUEUE_FULL) or the SLO cannot be met (SLO_INFEASIBLE)."""


class DeadlineExceeded(ClientError):
    """The answer did not come in time."""

    exit_code = TimedOut.exit_code


class NotAllowed(ClientError):
    """The fleet asks for a token, and there was none, or one that it does not know, or not for this."""

    exit_code = InvalidInput.exit_code


class NotFound(ClientError):
    """No such model or version."""

    exit_code = InvalidInput.exit_code


class InvalidRequest(ClientError):
    """A tensor or parameter does not fit the model; the message names it and what was expected."""

    exit_code = InvalidInput.exit_code


class Unavailable(ClientError):
    """No server answers, or it is draining, or nothing serves the model at the moment."""

    exit_code = Unreachable.exit_code


class ServerFailed(ClientError):
    """The server failed, or does not know the call."""

    exit_code = RuntimeFailure.exit_code


_KINDS: Mapping[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Rejected,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.FAILED_PRECONDITION: Unavailable,
}


def client_error(error: grpc.RpcError, address: str) -> ClientError:
    """The typed error for what a stub of `address` raised."""
    reason, retry_after_s = _details(error.trailing_metadata() or ())
    message = error.details() or error.code().name
    kind = _KINDS.get(error.code(), ServerFailed)
    if (
        kind is Rejected and not reason
    ):  # grpc itself, not statmux: the message is larger than the server takes
        kind = InvalidRequest
    return kind(message, where=address, reason=reason, retry_after_s=retry_after_s)


def _details(trailers: Iterable[tuple[str, str | bytes]]) -> tuple[str, float | None]:
    reason, retry_after_s = "", None
    status = status_pb2.Status()
    for key, value in trailers:
        if key == _DETAILS_KEY:
            status.ParseFromString(value)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() * 1e-9
    return reason, retry_after_s
