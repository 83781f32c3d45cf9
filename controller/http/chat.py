"""/v1/chat/completions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import final

from starlette.responses import Response

from controller.http.chat_request import ChatRequest, parse_chat, template_messages
from controller.http.endpoint import Asked, Front
from controller.http.errors import json_response
from controller.http.events import event_response
from controller.http.given import Given, Usage, given
from controller.http.several import started
from controller.http.spoken import chat_logprobs, chosen_of, shows_ids, token_ids
from controller.http.text_calls import text_call
from controller.text import TextAnswer, TextCall, TextPiece


async def chat_completions(front: Front, asked: Asked) -> Response:
    """Raises Refused."""
    request = parse_chat(asked.body)
    await front.text.awaited(request.model)
    call, shape = _call(front, asked, request), ChatShape(asked.request_id, request)
    if request.stream:
        return await event_response(front, (call,), shape)
    async with started(front, (call,)) as answers:
        shape.begin(answers)
        return json_response(shape.whole(await given(answers)))


def _call(front: Front, asked: Asked, request: ChatRequest) -> TextCall:
    prompt = front.text.chat_prompt(
        request.model,
        template_messages(request),
        adds_generation_prompt=request.add_generation_prompt,
        variables=request.chat_template_kwargs,
        call_id=asked.request_id,
    )
    return text_call(
        asked,
        request,
        prompt,
        max_tokens=request.longest,
        num_logprobs=request.num_logprobs,
        adds_special=False,
    )


@final
class ChatShape:
    """A chat completion, whole or in chunks."""

    def __init__(self, request_id: str, request: ChatRequest) -> None:
        self._head = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": request.model}
        self._request = request
        self._answer: TextAnswer | None = None

    def begin(self, answers: Sequence[TextAnswer]) -> None:
        (self._answer,) = answers

    def whole(self, given: Given) -> dict[str, object]:
        (samples,) = given.samples
        return self._head | {
            "object": "chat.completion",
            "choices": [self._choice(sample) for sample in samples],
            "usage": given.usage.body,
            "system_fingerprint": None,
        }

    def opening(self) -> Iterable[dict[str, object]]:
        for index in range(self._request.n):
            yield self._chunk(index, {"role": "assistant", "content": ""}, {"finish_reason": None})

    def chunk(self, answer_index: int, piece: TextPiece) -> dict[str, object]:
        delta = {"content": piece.text} if piece.text else {}
        return self._chunk(piece.sample, delta, self._rest(piece))

    def usage_chunk(self, usage: Usage) -> dict[str, object] | None:
        if not self._request.wants_usage:
            return None
        return self._head | {"object": "chat.completion.chunk", "choices": [], "usage": usage.body}

    def _choice(self, sample: TextPiece) -> dict[str, object]:
        message = {"role": "assistant", "content": sample.text, "refusal": None}
        return {"index": sample.sample, "message": message} | self._rest(sample)

    def _chunk(self, index: int, delta: dict[str, object], rest: dict[str, object]) -> dict[str, object]:
        usage = {"usage": None} if self._request.wants_usage else {}
        choice = {"index": index, "delta": delta, "logprobs": None} | rest
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]} | usage

    def _rest(self, piece: TextPiece) -> dict[str, object]:
        """Of a choice, beside its text."""
        request, answer = self._request, self._answer
        assert answer is not None
        rest: dict[str, object] = {"logprobs": None, "finish_reason": piece.finish}
        if request.logprobs:
            rest["logprobs"] = chat_logprobs(chosen_of(piece, answer))
        if shows_ids(request.return_token_ids, answer.codec):
            rest["token_ids"] = token_ids(piece)
        return rest
