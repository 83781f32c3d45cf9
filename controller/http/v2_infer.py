"""Inference over v2's REST: bodies become the messages of gRPC, and are answered as those are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import final

from starlette.datastructures import Headers
from starlette.responses import Response

from controller.calls import Reason, Refusal
from controller.grpc_v2.infer import Inference
from controller.grpc_v2.messages import ModelInferResponse
from controller.grpc_v2.text_asks import TextAsk
from controller.http.endpoint import LENGTH_HEADER, REQUEST_ID_HEADER, Asked, Front, is_header_value
from controller.http.errors import json_response
from controller.http.events import begun, event_of
from controller.http.v2_generate import generate_request, generated
from controller.http.v2_tensors import asking_of, infer_response, parameters_of, set_parameters
from controller.http.wishes import wishes_of
from controller.text import Refused
from controller.text.refused import by_fleet

PROTOCOL = "http_v2"  # as metrics call it
_US_PER_S = 1e6
_MS_PER_S = 1e3


@final
class V2Inference:
    """The paths /infer, /generate and /generate_stream of a model. All raise Refused."""

    def __init__(self) -> None:
        self._inferences: dict[int, tuple[Front, Inference]] = {}

    async def infer(self, front: Front, asked: Asked) -> Response:
        """Tensors as JSON or binary, in and out."""
        _check_encoding(asked.headers)
        model = front.text.view(asked.path["model"])
        length = asked.headers.get(LENGTH_HEADER)
        version = asked.path.get("version", "")
        try:
            asking = asking_of(asked.body, length, model=asked.path["model"], version=version)
        except Refused as refused:
            call_id = asked.request_id
            front.fleet.turned_away(model.name, refused.refusal, protocol=PROTOCOL, call_id=call_id)
            refused.is_counted = True
            raise
        reply, call_id = await self._answer(front, asking.message, asked)
        return _named(infer_response(reply, asking), call_id)

    async def generate(self, front: Front, asked: Asked) -> Response:
        """One JSON object in, one out."""
        await front.text.awaited(asked.path["model"])
        request = self._generate_request(front, asked, is_streamed=False)
        reply, call_id = await self._answer(front, request, asked)
        return _named(json_response(generated(reply)), call_id)

    async def generate_stream(self, front: Front, asked: Asked) -> Response:
        """One JSON object in, server-sent events out. Begun once the first is there."""
        await front.text.awaited(asked.path["model"])
        request = self._generate_request(front, asked, is_streamed=True)
        inference = self._inference(front)
        outcome = await _asked(inference, request, asked)
        if isinstance(outcome, Refusal):
            raise by_fleet(outcome)
        assert isinstance(outcome, TextAsk), outcome
        return _named(await begun(_events(inference, outcome)), outcome.call.request_id)

    async def _answer(self, front: Front, request: object, asked: Asked) -> tuple[object, str]:
        """The ModelInferResponse to a ModelInferRequest, with an id only if that has one; the call's id."""
        inference = self._inference(front)
        outcome = await _asked(inference, request, asked)
        if isinstance(outcome, TextAsk):
            outcome = await inference.whole(outcome)
        if isinstance(outcome, Refusal):
            raise by_fleet(outcome)
        reply = ModelInferResponse.FromString(outcome)
        call_id, reply.id = reply.id, request.id
        return reply, call_id

    def _inference(self, front: Front) -> Inference:
        """One for all that a token's holder sees: it remembers which requests fit which models."""
        known = self._inferences.get(id(front))
        if known is None:
            inference = Inference(
                front.fleet,
                front.text,
                protocol=PROTOCOL,
                holding=front.open_answers.holding,
                limits=front.limits,
            )
            known = self._inferences[id(front)] = front, inference
        return known[1]

    def _generate_request(self, front: Front, asked: Asked, *, is_streamed: bool) -> object:
        front.text.generation(asked.path["model"])
        return generate_request(
            asked.body,
            model=asked.path["model"],
            version=asked.path.get("version", ""),
            is_streamed=is_streamed,
        )


async def _asked(inference: Inference, request: object, asked: Asked) -> bytes | TextAsk | Refusal:
    message = _bytes_of(request, asked.headers)
    return await inference.answer(message, None, asked.tenant, call_id=asked.request_id)


def _named(response: Response, call_id: str) -> Response:
    """With the id that its call has: the one in its body, if there is one, goes before the header's."""
    if is_header_value(call_id):
        response.headers[REQUEST_ID_HEADER] = call_id
    return response


async def _events(inference: Inference, ask: TextAsk) -> AsyncGenerator[bytes, None]:
    """Raises Refused only before the first."""
    has_begun = False
    async with aclosing(inference.spoken(ask)) as replies:
        async for reply in replies:
            if not isinstance(reply, Refusal):
                yield event_of(generated(reply))
            elif has_begun:
                yield event_of({"error": reply.message})
            else:
                raise by_fleet(reply)
            has_begun = True


def _bytes_of(request: object, headers: Headers) -> bytes:
    """Serialised, with what headers say of objectives and patience where the parameters do not."""
    wishes = wishes_of(headers)
    given = parameters_of(request)
    wanted = {
        "slo_ms": wishes.slo_s and wishes.slo_s * _MS_PER_S,
        "ttft_ms": wishes.ttft_s and wishes.ttft_s * _MS_PER_S,
        "tpot_ms": wishes.tpot_s and wishes.tpot_s * _MS_PER_S,
        "timeout": wishes.timeout_s and max(round(wishes.timeout_s * _US_PER_S), 1),
    }
    told = {name: value for name, value in wanted.items() if value is not None and name not in given}
    set_parameters(request, told)
    return request.SerializeToString()


def _check_encoding(headers: Headers) -> None:
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Refused(Reason.UNSUPPORTED, f"content-encoding {encoding[:40]!r}: send the body as it is")
