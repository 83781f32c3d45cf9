"""Log probabilities of tokens, with the bytes that each stands for."""

from __future__ import annotations

from dataclasses import dataclass

from controller.text.codec import TextCodec
from vocabulary.sampling import SampledToken


@dataclass(frozen=True, slots=True)
class Likely:
    """A token that came or could have come. text: its bytes as far as they are UTF-8."""

    token_id: int
    text: str
    bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token that was drawn, and the most probable ones at its place, best first."""

    token: Likely
    best: tuple[Likely, ...] = ()


def chosen(token: SampledToken, codec: TextCodec | None) -> Chosen:
    """Of a token with log probabilities. Without a tokenizer its text is `token_id:N`."""
    assert token.logprob is not None, token
    best = tuple(_likely(token_id, logprob, codec) for token_id, logprob in token.best)
    return Chosen(_likely(token.token, token.logprob, codec), best)


def _likely(token_id: int, logprob: float, codec: TextCodec | None) -> Likely:
    if codec is None:
        return Likely(token_id, f"token_id:{token_id}", b"", logprob)
    token_bytes = codec.token_bytes(token_id)
    return Likely(token_id, token_bytes.decode(errors="replace"), token_bytes, logprob)
