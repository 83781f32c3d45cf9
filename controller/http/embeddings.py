"""/v1/embeddings, of models that turn text into one vector."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
from starlette.responses import Response

from controller.calls import InferCall, InferReply, ModelState, ModelView, Reason, Refusal
from controller.http.embedding_request import EmbeddingRequest, parse_embedding, texts_of
from controller.http.endpoint import Asked, Front
from controller.http.errors import json_response
from controller.http.wishes import wishes_of
from controller.text import Refused
from controller.text.calls import check_chars
from controller.text.front import tokens_of
from controller.text.refused import by_fleet
from controller.versioned import told_version
from vocabulary.numpy_tensors import array_of, pack_bytes
from vocabulary.tensors import Tensor

TEXT_INPUT, EMBEDDING = "text_input", "embedding"
_LATE = Refusal(Reason.DEADLINE_EXCEEDED, "the request's time was up before its answer was complete")


async def embeddings(front: Front, asked: Asked) -> Response:
    """Raises Refused."""
    request = parse_embedding(asked.body)
    await front.text.awaited(request.model)
    view = front.text.view(request.model)
    texts = texts_of(request)
    check_chars(max(map(len, texts)), front.limits, param="input")
    _check(request.model, view)
    vectors = await _vectors(front, _calls(asked, view, texts))
    num_tokens = await _num_tokens(front, request.model, texts)
    return json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _encoded(vector, request)}
                for index, vector in enumerate(vectors)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        }
    )


def is_embedder(view: ModelView) -> bool:
    """Whether texts go in and one vector each comes out."""
    takes = [(spec.name, spec.datatype) for spec in view.inputs]
    return takes == [(TEXT_INPUT, "BYTES")] and any(spec.name == EMBEDDING for spec in view.outputs)


def _check(name: str, view: ModelView) -> None:
    if is_embedder(view):
        return
    if view.state is not ModelState.READY and not view.inputs:
        raise Refused(Reason.UNAVAILABLE, f"model {name!r} is not ready: {view.state_reason}")
    takes, gives = ([spec.name for spec in specs] for specs in (view.inputs, view.outputs))
    raise Refused(
        Reason.INVALID_REQUEST,
        f"model {name!r} takes {takes} and gives {gives}; embeddings come of models that take "
        f"[{TEXT_INPUT!r}] and give {EMBEDDING!r}",
        param="model",
    )


def _calls(asked: Asked, view: ModelView, texts: tuple[str, ...]) -> list[InferCall]:
    """One a text: the group that runs them knows how many go together."""
    wishes = wishes_of(asked.headers)
    return [
        InferCall(
            f"{asked.request_id}-{index}" if index else asked.request_id,
            view.name,
            told_version(view, ""),
            (Tensor(TEXT_INPUT, "BYTES", (1,), pack_bytes((text,))),),
            timeout_s=wishes.timeout_s,
            slo_s=wishes.slo_s,
            tenant=asked.tenant,
            protocol="openai",
        )
        for index, text in enumerate(texts)
    ]


async def _vectors(front: Front, calls: list[InferCall]) -> list[np.ndarray]:
    """Of every text. Raises Refused if one is refused or late; the others are cancelled then."""
    answers = [front.fleet.infer(call) for call in calls]
    try:
        async with asyncio.timeout(calls[0].timeout_s):
            return [_vector(await answer) for answer in answers]
    except TimeoutError as error:
        raise by_fleet(_LATE) from error
    finally:
        for answer in answers:
            answer.cancel()


def _vector(outcome: InferReply | Refusal) -> np.ndarray:
    if isinstance(outcome, Refusal):
        raise by_fleet(outcome)
    return array_of(next(tensor for tensor in outcome.tensors if tensor.name == EMBEDDING))[0]


async def _num_tokens(front: Front, model: str, texts: tuple[str, ...]) -> int:
    """As the tokenizer cuts them; 0 without one. A model that shortens its input reads fewer."""
    codec = front.text.text(model).codec
    if codec is None:
        return 0
    return sum([len(await tokens_of(text, codec, adds_special=True)) for text in texts])


def _encoded(vector: np.ndarray, request: EmbeddingRequest) -> str | list[float]:
    if request.encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.astype(float).tolist()
