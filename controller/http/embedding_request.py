"""What /v1/embeddings takes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from controller.calls import Reason
from controller.http.parameters import Unsupported, parse
from controller.text.refused import Refused

MAX_INPUTS = 2048
EMBEDDING_UNSUPPORTED: Unsupported = {
    "dimensions": (),
    "truncate_prompt_tokens": (),
    "additional_data": (),
}


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """input: one text or several. encoding_format: numbers, or the bytes of float32 in base64."""

    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] = "float"
    user: str = ""


def parse_embedding(body: bytes) -> EmbeddingRequest:
    """Raises Refused for anything that is not what it should be."""
    return parse(body, EmbeddingRequest, EMBEDDING_UNSUPPORTED)


def texts_of(request: EmbeddingRequest) -> tuple[str, ...]:
    """One or more. Raises Refused."""
    given = [request.input] if isinstance(request.input, str) else request.input
    if not 0 < len(given) <= MAX_INPUTS:
        raise _wrong(f"input is a list of {len(given)}; 1 to {MAX_INPUTS} texts are taken at a time")
    if not all(isinstance(item, str) for item in given):
        raise _wrong("input is a text or a list of texts; token ids are not supported here")
    if not all(given):
        raise _wrong(f"input[{given.index('')}] is empty")
    return tuple(given)


def _wrong(message: str) -> Refused:
    return Refused(Reason.INVALID_PARAMETER, message, param="input")
