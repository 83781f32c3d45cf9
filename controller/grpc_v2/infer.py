"""ModelInfer, the hot path: bytes -> InferCall -> Fleet -> bytes, or a refusal."""

from __future__ import annotations

import asyncio
from typing import final

import grpc
import structlog

from controller.calls import InferCall, InferReply, Reason, Refusal
from controller.fleet import Fleet
from controller.grpc_v2.access import tenant_of
from controller.grpc_v2.admission import Admission
from controller.grpc_v2.refusals import Refused, set_refusal
from controller.grpc_v2.replies import reply_bytes
from controller.tenants import ONE_TENANT, Tenants

_log = structlog.get_logger()
_LATE = Refusal(Reason.DEADLINE_EXCEEDED, "the deadline passed before the answer was ready")
_FAILED = Refusal(Reason.FAILED, "internal error; the server's log has the details")


@final
class Inference:
    """Answers requests for inference."""

    def __init__(self, fleet: Fleet, tenants: Tenants = ONE_TENANT) -> None:
        self._fleet = fleet
        self._tenants = None if tenants.are_one else tenants
        self._admission = Admission(fleet)

    async def unary(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """ModelInfer."""
        tenant = self.tenant_of(context)
        outcome = (
            tenant
            if type(tenant) is Refusal
            else await self.answer(message, context.time_remaining(), tenant)
        )
        if type(outcome) is bytes:
            return outcome
        set_refusal(context, outcome)
        return b""

    def tenant_of(self, context: grpc.aio.ServicerContext) -> str | Refusal:
        """Whose call it is, or why it is refused."""
        return "" if self._tenants is None else tenant_of(self._tenants, context)

    async def answer(self, message: bytes, time_remaining_s: float | None, tenant: str) -> bytes | Refusal:
        """The serialised ModelInferResponse for a serialised ModelInferRequest."""
        try:
            form, call = self._admission.admit(message, time_remaining_s, tenant)
            # gRPC cancels us when its deadline passes or the client leaves, and the await passes that on to
            # the fleet's future. Only the `timeout` parameter needs a timer of ours.
            if form.wishes.timeout_s is None:
                outcome = await self._fleet.infer(call)
            else:
                outcome = await self._in_time(call)
            return outcome if type(outcome) is Refusal else reply_bytes(form, call.request_id, outcome)
        except Refused as refused:
            return refused.refusal
        except Exception:  # the outermost frame of a request: a bug ends this call, not the server
            _log.exception("inference failed")
            return _FAILED

    async def _in_time(self, call: InferCall) -> InferReply | Refusal:
        try:
            async with asyncio.timeout(call.timeout_s):
                return await self._fleet.infer(call)
        except TimeoutError:
            return _LATE
