"""Tokens of a piece as clients see them: log probabilities in OpenAI's two forms, and token ids."""

from __future__ import annotations

from collections.abc import Sequence

from controller.text import TextAnswer, TextPiece
from controller.text.codec import TextCodec
from controller.text.logprobs import Chosen, Likely, chosen


def chosen_of(piece: TextPiece, answer: TextAnswer) -> list[Chosen]:
    """Of the tokens that are in the text: one that only ends it is not."""
    spoken = [token for token in piece.tokens if token.token not in answer.silent_ids]
    return [chosen(token, answer.codec) for token in spoken]


def chat_logprobs(tokens: Sequence[Chosen]) -> dict[str, object]:
    """`logprobs` of a chat's choice."""
    content = [_entry(one.token) | {"top_logprobs": [_entry(best) for best in one.best]} for one in tokens]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Sequence[Chosen], start: int) -> dict[str, object]:
    """`logprobs` of a completion's choice. start: characters of the text before these tokens."""
    offsets, at = [], start
    for one in tokens:
        offsets.append(at)
        at += len(one.token.text)
    return {
        "tokens": [_spelled(one.token) for one in tokens],
        "token_logprobs": [one.token.logprob for one in tokens],
        "top_logprobs": [_best(one) for one in tokens],
        "text_offset": offsets,
    }


def num_chars(tokens: Sequence[Chosen]) -> int:
    """By which the offset of what follows grows."""
    return sum(len(one.token.text) for one in tokens)


def token_ids(piece: TextPiece) -> list[int]:
    return [token.token for token in piece.tokens]


def shows_ids(is_asked: bool, codec: TextCodec | None) -> bool:
    """A model without a tokenizer has nothing else to say."""
    return is_asked or codec is None


def _entry(likely: Likely) -> dict[str, object]:
    return {"token": likely.text, "logprob": likely.logprob, "bytes": list(likely.bytes)}


def _best(one: Chosen) -> dict[str, float]:
    """The most probable ones, and the one that came."""
    return {_spelled(likely): likely.logprob for likely in (*one.best, one.token)}


def _spelled(likely: Likely) -> str:
    """Part of a character is spelled as OpenAI does it, `bytes:\\xe2\\x82`: names in a table must differ."""
    if likely.bytes == likely.text.encode() or not likely.bytes:
        return likely.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in likely.bytes)
