"""What /v1/chat/completions takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from controller.calls import Reason
from controller.http.parameters import Unsupported, check_names, parse
from controller.http.sampling_parameters import (
    UNSUPPORTED,
    NumLogprobs,
    Positive,
    SamplingParameters,
    check_stream_options,
)
from controller.text.refused import Refused

ROLES = ("system", "developer", "user", "assistant")
CHAT_UNSUPPORTED: Unsupported = UNSUPPORTED | {
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none",),
    "parallel_tool_calls": (),
    "functions": ([],),
    "function_call": ("none",),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
    "moderation": (),
    "best_of": (1,),
    "echo": (False,),
    "continue_final_message": (False,),
    "documents": ([],),
    "chat_template": (),
}
_MESSAGE_UNSUPPORTED: Unsupported = {
    "tool_calls": ([],),
    "tool_call_id": (),
    "function_call": (),
    "audio": (),
    "refusal": (),
    "annotations": ([],),
}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Said by whom, and what: a text, or parts that are texts."""

    role: str
    content: str | list[dict[str, Any]]
    name: str = ""


class ChatRequest(SamplingParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """max_completion_tokens is OpenAI's newer name of max_tokens."""

    messages: list[dict[str, Any]]
    max_completion_tokens: Positive | None = None
    logprobs: bool = False
    top_logprobs: NumLogprobs = 0
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def longest(self) -> int | None:
        """Tokens of the answer, at most; None: not said."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def num_logprobs(self) -> int | None:
        return self.top_logprobs if self.logprobs else None


def parse_chat(body: bytes) -> ChatRequest:
    """Raises Refused for anything that is not what it should be."""
    request = parse(body, ChatRequest, CHAT_UNSUPPORTED)
    check_stream_options(request)
    if request.top_logprobs and not request.logprobs:
        raise Refused(Reason.INVALID_PARAMETER, "top_logprobs needs logprobs: true", param="top_logprobs")
    if None not in (request.max_tokens, request.max_completion_tokens):
        raise Refused(
            Reason.INVALID_PARAMETER,
            "max_tokens and max_completion_tokens are two names of one thing; send one",
            param="max_tokens",
        )
    if not request.messages:
        raise Refused(Reason.INVALID_PARAMETER, "messages is empty; send at least one", param="messages")
    return request


def template_messages(request: ChatRequest) -> list[dict[str, str]]:
    """The messages as chat templates take them: contents are texts. Raises Refused."""
    return [_message(given, f"messages[{index}]") for index, given in enumerate(request.messages)]


def _message(given: Mapping[str, Any], at: str) -> dict[str, str]:
    given = {name: value for name, value in given.items() if value is not None}
    check_names(given, Message.__struct_fields__, _MESSAGE_UNSUPPORTED, f"{at}.")
    known = {name: value for name, value in given.items() if name in Message.__struct_fields__}
    try:
        message = msgspec.convert(known, Message)
    except msgspec.ValidationError as error:
        raise Refused(Reason.INVALID_PARAMETER, f"{at}: {error}", param=at) from error
    if message.role not in ROLES:
        raise Refused(
            Reason.INVALID_PARAMETER,
            f"{at}: role {message.role[:40]!r} is not supported here; roles are {', '.join(ROLES)}",
            param=f"{at}.role",
        )
    named = {"name": message.name} if message.name else {}
    return {"role": message.role, "content": _text(message.content, at), **named}


def _text(content: str | list[dict[str, Any]], at: str) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for index, part in enumerate(content):
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            shown = str(part.get("type"))[:40]
            raise Refused(
                Reason.INVALID_PARAMETER,
                f"{at}.content[{index}] is of type {shown!r}; parts are of type 'text', with a text",
                param=f"{at}.content[{index}]",
            )
        texts.append(part["text"])
    return "\n".join(texts)
