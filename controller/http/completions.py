"""/v1/completions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import final

from starlette.responses import Response

from controller.http.completion_request import (
    DEFAULT_MAX_TOKENS,
    CompletionRequest,
    Prompt,
    parse_completion,
    prompts_of,
)
from controller.http.endpoint import Asked, Front
from controller.http.errors import json_response
from controller.http.events import event_response
from controller.http.given import Given, Usage, given
from controller.http.several import started
from controller.http.spoken import chosen_of, completion_logprobs, num_chars, shows_ids, token_ids
from controller.http.text_calls import text_call
from controller.text import TextAnswer, TextCall, TextPiece


async def completions(front: Front, asked: Asked) -> Response:
    """Raises Refused."""
    request = parse_completion(asked.body)
    await front.text.awaited(request.model)
    prompts = prompts_of(request)
    calls = [_call(asked, request, prompt, index) for index, prompt in enumerate(prompts)]
    shape = CompletionShape(asked.request_id, request, prompts)
    if request.stream:
        return await event_response(front, calls, shape)
    async with started(front, calls) as answers:
        shape.begin(answers)
        return json_response(shape.whole(await given(answers)))


def _call(asked: Asked, request: CompletionRequest, prompt: Prompt, index: int) -> TextCall:
    return text_call(
        asked,
        request,
        prompt,
        max_tokens=DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        num_logprobs=request.logprobs,
        index=index,
        goes_on=True,
    )


@final
class CompletionShape:
    """A text completion, whole or in chunks. Choices: all samples of the first prompt, then of the next."""

    def __init__(self, request_id: str, request: CompletionRequest, prompts: Sequence[Prompt]) -> None:
        self._head = {
            "id": f"cmpl-{request_id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": request.model,
        }
        self._request = request
        self._prompts = prompts
        self._answers: Sequence[TextAnswer] = ()
        self._num_chars: dict[int, int] = {}  # of each choice, those of the tokens told

    def begin(self, answers: Sequence[TextAnswer]) -> None:
        self._answers = answers

    def whole(self, given: Given) -> dict[str, object]:
        choices = [
            self._choice(index, sample, self._echo(index) + sample.text)
            for index, samples in enumerate(given.samples)
            for sample in samples
        ]
        return self._head | {"choices": choices, "usage": given.usage.body, "system_fingerprint": None}

    def opening(self) -> Iterable[dict[str, object]]:
        if self._request.echo:
            for index in range(len(self._prompts)):
                for sample in range(self._request.n):
                    yield self._chunk(self._choice(index, TextPiece(sample, ""), self._echo(index)))

    def chunk(self, answer_index: int, piece: TextPiece) -> dict[str, object]:
        return self._chunk(self._choice(answer_index, piece, piece.text))

    def usage_chunk(self, usage: Usage) -> dict[str, object] | None:
        return self._head | {"choices": [], "usage": usage.body} if self._request.wants_usage else None

    def _chunk(self, choice: dict[str, object]) -> dict[str, object]:
        usage = {"usage": None} if self._request.wants_usage else {}
        return self._head | {"choices": [choice]} | usage

    def _choice(self, answer_index: int, piece: TextPiece, text: str) -> dict[str, object]:
        request, answer = self._request, self._answers[answer_index]
        index = answer_index * request.n + piece.sample
        choice: dict[str, object] = {
            "index": index,
            "text": text,
            "logprobs": None,
            "finish_reason": piece.finish,
        }
        if request.logprobs is not None:
            tokens, start = chosen_of(piece, answer), self._num_chars.get(index, 0)
            choice["logprobs"] = completion_logprobs(tokens, start)
            self._num_chars[index] = start + num_chars(tokens)
        if shows_ids(request.return_token_ids, answer.codec):
            choice["token_ids"] = token_ids(piece)
        return choice

    def _echo(self, answer_index: int) -> str:
        if not self._request.echo:
            return ""
        prompt, codec = self._prompts[answer_index], self._answers[answer_index].codec
        if isinstance(prompt, str):
            return prompt
        return "" if codec is None else codec.decode(prompt)
