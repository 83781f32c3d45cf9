"""What /v1/completions takes."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.calls import Reason
from controller.http.parameters import Unsupported, parse
from controller.http.sampling_parameters import (
    UNSUPPORTED,
    NumLogprobs,
    SamplingParameters,
    check_stream_options,
)
from controller.text.refused import Refused

# What OpenAI gives to who does not say.
DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 256
COMPLETION_UNSUPPORTED: Unsupported = UNSUPPORTED | {
    "best_of": (1,),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
}
Prompt = str | tuple[int, ...]


class CompletionRequest(SamplingParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """prompt: a text, token ids, or a list of either. logprobs: of the chosen token and so many others."""

    prompt: str | list[Any]
    echo: bool = False
    logprobs: NumLogprobs | None = None


def parse_completion(body: bytes) -> CompletionRequest:
    """Raises Refused for anything that is not what it should be."""
    request = parse(body, CompletionRequest, COMPLETION_UNSUPPORTED)
    check_stream_options(request)
    if request.echo and request.logprobs is not None:
        raise Refused(
            Reason.INVALID_PARAMETER,
            "logprobs with echo is not supported here: no probabilities of prompts are computed",
            param="logprobs",
            code="unsupported_parameter",
        )
    return request


def prompts_of(request: CompletionRequest) -> tuple[Prompt, ...]:
    """One or more. Raises Refused."""
    given = request.prompt
    if isinstance(given, str):
        return (given,)
    if given and all(type(item) is int for item in given):
        return (tuple(given),)
    if not 0 < len(given) <= MAX_PROMPTS:
        raise _wrong(f"prompt is a list of {len(given)}; 1 to {MAX_PROMPTS} are taken at a time")
    if all(isinstance(item, str) for item in given):
        return tuple(given)
    try:
        return tuple(map(tuple, msgspec.convert(given, list[list[int]])))
    except msgspec.ValidationError as error:
        raise _wrong(
            "prompt is neither a text, nor token ids, nor a list of texts, nor a list of lists of token ids"
        ) from error


def _wrong(message: str) -> Refused:
    return Refused(Reason.INVALID_PARAMETER, message, param="prompt")
