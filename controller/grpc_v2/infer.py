"""ModelInfer, the hot path: bytes -> InferCall -> Fleet -> bytes, or a refusal. And answers that are text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from typing import final

import grpc
import structlog

from controller.calls import InferCall, InferReply, Reason, Refusal
from controller.fleet import Fleet
from controller.grpc_v2.admission import Admission, NotKnown
from controller.grpc_v2.refusals import Refused, set_refusal
from controller.grpc_v2.replies import reply_bytes
from controller.grpc_v2.text_asks import TextAsk
from controller.grpc_v2.text_replies import replies, whole_replies, whole_reply
from controller.text import TextAnswer, TextFront
from vocabulary.limits import DEFAULT_LIMITS, Limits

_log = structlog.get_logger()
_LATE = Refusal(Reason.DEADLINE_EXCEEDED, "the deadline passed before the answer was ready")
_FAILED = Refusal(Reason.FAILED, "internal error; the server's log has the details")
_NO_STREAM = Refusal(
    Reason.INVALID_PARAMETER, "'stream' is true, and one reply has no place for it: use ModelStreamInfer"
)


def _nothing_held(answer: TextAnswer) -> AbstractContextManager[None]:
    return nullcontext()


@final
class Inference:
    """Answers requests for inference.

    protocol: as metrics call it. holding: entered while somebody reads an answer that is text.
    """

    def __init__(
        self,
        fleet: Fleet,
        text: TextFront,
        *,
        protocol: str = "grpc_v2",
        holding: Callable[[TextAnswer], AbstractContextManager[None]] = _nothing_held,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._fleet = fleet
        self._text = text
        self._holding = holding
        self._protocol = protocol
        self._admission = Admission(fleet, text, protocol=protocol, limits=limits)

    async def unary(self, message: bytes, context: grpc.aio.ServicerContext, tenant: str) -> bytes:
        """ModelInfer."""
        outcome = await self.answer(message, context.time_remaining(), tenant)
        if type(outcome) is TextAsk:
            outcome = await self.whole(outcome)
        if type(outcome) is bytes:
            return outcome
        set_refusal(context, outcome)
        return b""

    async def answer(
        self, message: bytes, time_remaining_s: float | None, tenant: str, *, call_id: str = ""
    ) -> bytes | TextAsk | Refusal:
        """The serialised ModelInferResponse for a serialised ModelInferRequest. Replies and refusals have the
        request's id, or `call_id` where it has none, or one that is drawn.

        Of a model that generates, what is asked for: `whole` or `spoken` answer it.
        """
        admit = self._admission.admit
        try:
            try:
                form, call = admit(message, time_remaining_s, tenant, call_id=call_id)
            except NotKnown as unknown:
                await self._fleet.awaited(*unknown.args)
                form, call = admit(message, time_remaining_s, tenant, call_id=call_id, is_awaited=True)
            if form is None:
                return call
            # gRPC cancels us when its deadline passes or the client leaves, and the await passes that on to
            # the fleet's future. Only the `timeout` parameter needs a timer of ours.
            if form.wishes.timeout_s is None:
                outcome = await self._fleet.infer(call)
            else:
                outcome = await self._in_time(call)
            if type(outcome) is Refusal:
                return _named(outcome, call.request_id)
            return reply_bytes(form, call.request_id, outcome)
        except Refused as refused:
            return refused.refusal
        except Exception:  # the outermost frame of a request: a bug ends this call, not the server
            _log.exception("inference failed")
            return _FAILED

    async def whole(self, ask: TextAsk) -> bytes | Refusal:
        """All of the answer, as a serialised ModelInferResponse."""
        if ask.is_streamed:
            name = self._text.view(ask.model).name
            refusal, told = _named(_NO_STREAM, ask.call.request_id), ask.call
            self._fleet.turned_away(name, refusal, protocol=told.protocol, call_id=told.request_id)
            return refusal
        try:
            answer = await self._text.start(ask.call)
            with self._holding(answer):
                reply = await whole_reply(ask, answer)
            if isinstance(reply, Refusal):
                return _named(reply, ask.call.request_id)
            return reply.SerializeToString()
        except Refused as refused:
            return _named(refused.refusal, ask.call.request_id)
        except Exception:  # as above
            _log.exception("inference failed")
            return _FAILED

    async def spoken(self, ask: TextAsk) -> AsyncIterator[object | Refusal]:
        """ModelInferResponses, the last of them marked, or at any time a Refusal, which is the last."""
        try:
            async with aclosing(self._speaking(ask)) as speaking:
                async for reply in speaking:
                    yield _named(reply, ask.call.request_id) if isinstance(reply, Refusal) else reply
        except Refused as refused:
            yield _named(refused.refusal, ask.call.request_id)
        except Exception:  # as above
            _log.exception("inference failed")
            yield _FAILED

    async def _speaking(self, ask: TextAsk) -> AsyncIterator[object | Refusal]:
        answer = await self._text.start(ask.call)
        speaking = replies if ask.is_streamed else whole_replies
        with self._holding(answer):
            async with aclosing(speaking(ask, answer)) as said:
                async for reply in said:
                    yield reply

    async def _in_time(self, call: InferCall) -> InferReply | Refusal:
        try:
            async with asyncio.timeout(call.timeout_s):
                return await self._fleet.infer(call)
        except TimeoutError:
            return _LATE


def _named(refusal: Refusal, call_id: str) -> Refusal:
    return replace(refusal, call_id=call_id)
