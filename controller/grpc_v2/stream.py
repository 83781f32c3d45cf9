"""ModelStreamInfer: many requests on one stream; an error is a message in it.

Requests of one-shot models are answered in their order. Answers that come in pieces go out as they come, each
in its order, among the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import final

import grpc

from controller.calls import Reason, Refusal
from controller.grpc_v2.infer import Inference
from controller.grpc_v2.messages import ModelInferResponse, ModelStreamInferResponse
from controller.grpc_v2.refusals import abort
from controller.grpc_v2.replies import name_reply
from controller.grpc_v2.text_asks import TextAsk
from controller.grpc_v2.text_replies import FINAL
from controller.grpc_v2.wire import delimited
from controller.tracing.tracer import NO_TRACER, AbstractTracer

# Requests of one stream that may wait for an answer at a time; beyond it we stop reading, and HTTP/2 flow
# control stops the client.
MAX_IN_FLIGHT = 64
_DRAINING = Refusal(Reason.DRAINING, "the server is shutting down; open a stream elsewhere")


@dataclass(frozen=True, slots=True)
class _Answer:
    """outcome: a serialised ModelInferResponse; None: all was said; TextAsk: another task says it."""

    request_id: str
    outcome: bytes | Refusal | TextAsk | None


@final
class Streams:
    """All open streams; `close` ends each once what it has read is answered."""

    def __init__(self, tracer: AbstractTracer = NO_TRACER) -> None:
        self._tracer = tracer
        self._readers: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def stream(
        self,
        requests: AsyncIterator[bytes],
        context: grpc.aio.ServicerContext,
        inference: Inference,
        tenant: str,
    ) -> None:
        """ModelStreamInfer. With metadata `triton_grpc_error: true` the first error ends the stream."""
        is_strict = any(pair == ("triton_grpc_error", "true") for pair in context.invocation_metadata() or ())
        conversation = _Conversation(inference, context, tenant, self._tracer, is_strict=is_strict)
        reader = asyncio.create_task(conversation.read(requests))
        self._readers.add(reader)
        if self._is_closing:
            reader.cancel()
        try:
            await conversation.write()
        finally:
            self._readers.discard(reader)
            reader.cancel()
            await asyncio.gather(reader, *conversation.stop(), return_exceptions=True)
        if self._is_closing:
            await abort(context, _DRAINING)

    def close(self) -> None:
        """Read no more requests from any stream."""
        self._is_closing = True
        for reader in self._readers:
            reader.cancel()


@final
class _Conversation:
    """One stream: `read` starts an answer for each request, `write` sends the answers in order."""

    def __init__(
        self,
        inference: Inference,
        context: grpc.aio.ServicerContext,
        tenant: str,
        tracer: AbstractTracer,
        *,
        is_strict: bool,
    ) -> None:
        self._inference = inference
        self._context = context
        self._tenant = tenant
        self._tracer = tracer
        self._is_strict = is_strict
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._writing = asyncio.Lock()
        # Each task once: one that answers when its request was read, one that speaks when it is done.
        self._answers: asyncio.Queue[asyncio.Task[_Answer] | None] = asyncio.Queue()
        self._open: set[asyncio.Task[_Answer]] = set()

    async def read(self, requests: AsyncIterator[bytes]) -> None:
        try:
            async for raw in requests:
                await self._places.acquire()
                answer = asyncio.create_task(self._answer(raw))
                self._open.add(answer)
                self._answers.put_nowait(answer)
        finally:
            self._answers.put_nowait(None)

    async def write(self) -> None:
        """Until all that was read is answered. Every open task comes through the queue."""
        is_read = False
        while not is_read or self._open:
            task = await self._answers.get()
            if task is None:
                is_read = True
                continue
            answer = await task
            self._open.discard(task)
            outcome = answer.outcome
            if type(outcome) is TextAsk:
                continue
            self._places.release()
            if outcome is None:
                continue
            if self._is_strict and type(outcome) is Refusal:
                await abort(self._context, outcome)
            await self._send(_message(answer))

    def stop(self) -> set[asyncio.Task[_Answer]]:
        """Cancel what is not answered; the caller awaits the tasks."""
        for task in self._open:
            task.cancel()
        return self._open

    async def _answer(self, message: bytes) -> _Answer:
        if self._tracer.is_on:
            # Each message is a request of its own, and all have the metadata of the stream.
            self._tracer.receive(header_of(self._context))
        outcome = await self._inference.answer(message, self._context.time_remaining(), self._tenant)
        if type(outcome) is TextAsk:
            self._open.add(asyncio.create_task(self._speak(outcome)))
        return _Answer(outcome.call_id if type(outcome) is Refusal else "", outcome)

    async def _speak(self, ask: TextAsk) -> _Answer:
        """Send the answer as it comes. A Refusal that ends the stream is for `write`."""
        refusal = None
        try:
            async with aclosing(self._inference.spoken(ask)) as replies:
                async for reply in replies:
                    if not isinstance(reply, Refusal):
                        await self._send(delimited(_INFER_RESPONSE_TAG, reply.SerializeToString()))
                    elif self._is_strict:
                        refusal = reply
                    else:
                        await self._send(_message(_Answer(ask.call.request_id, reply)))
        finally:
            self._answers.put_nowait(asyncio.current_task())
        return _Answer(ask.call.request_id, refusal)

    async def _send(self, message: bytes) -> None:
        async with self._writing:
            await self._context.write(message)


def header_of(context: grpc.aio.ServicerContext) -> Callable[[str], str | None]:
    """A call's metadata by name."""
    metadata = context.invocation_metadata() or ()
    return lambda name: next((value for key, value in metadata if key == name), None)


def _message(answer: _Answer) -> bytes:
    """A serialised ModelStreamInferResponse."""
    if type(answer.outcome) is bytes:
        return delimited(_INFER_RESPONSE_TAG, answer.outcome + _FINAL)
    # The reply carries the id, so that a client with many requests in flight knows which one failed.
    response = ModelInferResponse()
    name_reply(response, answer.request_id)
    response.parameters["statmux_reason"].string_param = answer.outcome.reason.name
    response.parameters[FINAL].bool_param = True
    message = ModelStreamInferResponse(error_message=answer.outcome.message, infer_response=response)
    return message.SerializeToString()


def _final_mark() -> bytes:
    response = ModelInferResponse()
    response.parameters[FINAL].bool_param = True
    return response.SerializeToString()


_INFER_RESPONSE_TAG = b"\x12"  # ModelStreamInferResponse.infer_response = 2
# Appended to a serialised ModelInferResponse, it merges into its parameters.
_FINAL = _final_mark()
