"""Answers as ModelInferResponses: the whole in one, or one with each step's new text."""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing

from controller.calls import Refusal
from controller.grpc_v2.messages import ModelInferResponse
from controller.grpc_v2.replies import name_reply
from controller.grpc_v2.text_asks import TextAsk
from controller.text import TextAnswer, TextEnded, TextPiece, whole_answer
from vocabulary.numpy_tensors import pack_bytes
from vocabulary.sampling import SampledToken
from vocabulary.tensors import Tensor

FINAL = "triton_final_response"
_US_PER_S = 1e6
_NO_TOKEN = (-1, -math.inf)


async def whole_reply(ask: TextAsk, answer: TextAnswer) -> object | Refusal:
    """The ModelInferResponse with all of the answer."""
    whole = await whole_answer(answer)
    if isinstance(whole, Refusal):
        return whole
    reply = _reply(ask, whole.samples[0])
    _tell_end(reply, answer, whole.ended)
    return reply


async def replies(ask: TextAsk, answer: TextAnswer) -> AsyncIterator[object | Refusal]:
    """ModelInferResponses as the answer comes; the last is marked, and a Refusal is the last, too.

    Without an empty last message, the one with the last text waits until the end is known.
    """
    last: object | None = None
    async with answer, aclosing(aiter(answer)) as news:
        async for each in news:
            match each:
                case Refusal():
                    yield each
                case TextPiece():
                    reply = _reply(ask, each)
                    if each.finish is not None and not ask.wants_empty_final:
                        last = reply
                        continue
                    yield _marked(reply, is_final=False)
                case TextEnded():
                    reply = last if last is not None else _head(ask)
                    _tell_end(reply, answer, each)
                    yield _marked(reply, is_final=True)


async def whole_replies(ask: TextAsk, answer: TextAnswer) -> AsyncIterator[object | Refusal]:
    """The same for a stream whose client wants the answer in one piece."""
    reply = await whole_reply(ask, answer)
    if isinstance(reply, Refusal):
        yield reply
        return
    yield _marked(reply, is_final=not ask.wants_empty_final)
    if ask.wants_empty_final:
        yield _marked(_head(ask), is_final=True)


def _head(ask: TextAsk) -> object:
    head = ModelInferResponse(model_name=ask.model, model_version=ask.version)
    name_reply(head, ask.call.request_id)
    return head


def _reply(ask: TextAsk, piece: TextPiece) -> object:
    reply = _head(ask)
    for name in ask.wanted:
        tensor = _OUTPUTS[name](name, piece)
        reply.outputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
        reply.raw_output_contents.append(bytes(tensor.raw))
    if piece.finish is not None:
        reply.parameters["finish_reason"].string_param = piece.finish
    return reply


def _marked(reply: object, *, is_final: bool) -> object:
    reply.parameters[FINAL].bool_param = is_final
    return reply


def _tell_end(reply: object, answer: TextAnswer, ended: TextEnded) -> None:
    counts = {
        "num_input_tokens": len(answer.asked.prompt_ids),
        "num_output_tokens": ended.num_tokens,
        "num_cached_tokens": ended.num_cached,
        "statmux_queue_us": int(ended.queue_s * _US_PER_S),
    }
    for name, count in counts.items():
        reply.parameters[name].int64_param = count
    reply.parameters["statmux_group"].string_param = ended.group


def _text(name: str, piece: TextPiece) -> Tensor:
    return Tensor(name, "BYTES", (1,), pack_bytes([piece.text]))


def _ids(name: str, piece: TextPiece) -> Tensor:
    return _ints(name, (len(piece.tokens),), [token.token for token in piece.tokens])


def _logprobs(name: str, piece: TextPiece) -> Tensor:
    return _floats(name, (len(piece.tokens),), [token.logprob for token in piece.tokens])


def _top_ids(name: str, piece: TextPiece) -> Tensor:
    shape, best = _top(piece.tokens)
    return _ints(name, shape, [token for token, _ in best])


def _top_logprobs(name: str, piece: TextPiece) -> Tensor:
    shape, best = _top(piece.tokens)
    return _floats(name, shape, [logprob for _, logprob in best])


def _top(tokens: Sequence[SampledToken]) -> tuple[tuple[int, int], list[tuple[int, float]]]:
    """The alternatives of each token, as a shape and in its order; a token with fewer is filled up."""
    num_best = max((len(token.best) for token in tokens), default=0)
    rows = [(*token.best, *[_NO_TOKEN] * (num_best - len(token.best))) for token in tokens]
    return (len(tokens), num_best), [pair for row in rows for pair in row]


# By struct: numpy takes ten times as long for so few.
def _ints(name: str, shape: tuple[int, ...], values: Sequence[int]) -> Tensor:
    return Tensor(name, "INT32", shape, struct.pack(f"<{len(values)}i", *values))


def _floats(name: str, shape: tuple[int, ...], values: Sequence[float]) -> Tensor:
    return Tensor(name, "FP32", shape, struct.pack(f"<{len(values)}f", *values))


_OUTPUTS: Mapping[str, Callable[[str, TextPiece], Tensor]] = {
    "text_output": _text,
    "output_ids": _ids,
    "output_logprobs": _logprobs,
    "top_ids": _top_ids,
    "top_logprobs": _top_logprobs,
}
