"""What goes wrong has a status, a body and headers that OpenAI's clients act upon."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_params

from controller.calls import Reason, Refusal
from controller.http.chat_request import CHAT_UNSUPPORTED, ChatRequest
from controller.http.completion_request import COMPLETION_UNSUPPORTED, CompletionRequest
from controller.http.embedding_request import EMBEDDING_UNSUPPORTED, EmbeddingRequest
from controller.http.errors import STATUS, error_response, retry_headers
from controller.text.refused import Refused
from tests.controller.http.conftest import Served
from tests.controller.scripted_fleet import ScriptedFleet

HELLO: list[Any] = [{"role": "user", "content": "hi"}]


in_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def client(served: Served, fleet: ScriptedFleet) -> openai.AsyncOpenAI:
    return served.client


async def refusal_of(client: openai.AsyncOpenAI, **fields: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(**({"model": "chat", "messages": HELLO} | fields))
    return caught.value


@in_one_loop
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "status", "kind", "attempts"),
    [
        ("late", 429, "rate_limit_error", 1),
        ("busy", 429, "rate_limit_error", 3),
        ("down", 503, "overloaded_error", 3),
    ],
)
async def test_who_is_refused_asks_again_only_where_that_can_help(
    client: Any, fleet: ScriptedFleet, model: str, status: int, kind: str, attempts: int, stream: bool
) -> None:
    error = await refusal_of(client, model=model, stream=stream)
    assert error.status_code == status
    assert error.body["type"] == kind
    assert len(fleet.calls) == attempts


@in_one_loop
async def test_a_full_queue_says_when_to_ask_again(client: Any) -> None:
    error = await refusal_of(client, model="busy")
    headers = error.response.headers
    assert (headers["retry-after-ms"], headers["retry-after"]) == ("20", "1")
    assert error.code == "queue_full" and "64 requests wait" in error.message


@in_one_loop
async def test_an_unknown_model_is_not_found_and_the_nearest_is_named(client: Any) -> None:
    error = await refusal_of(client, model="chatt")
    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "did you mean 'chat'" in error.message


@in_one_loop
async def test_what_no_model_takes_is_counted_once_and_what_the_fleet_refused_is_not_again(
    client: Any, fleet: ScriptedFleet
) -> None:
    asked = ({"extra_body": {"temprature": 1}}, {"model": "nobody"}, {"messages": []}, {"max_tokens": 5000})
    for fields in asked:
        await refusal_of(client, **fields)
    assert [(model, told.reason) for model, told in fleet.turned_down] == [
        ("", Reason.INVALID_PARAMETER),
        ("", Reason.UNKNOWN_MODEL),
        ("", Reason.INVALID_PARAMETER),
        ("chat", Reason.CONTEXT_LENGTH_EXCEEDED),
    ]
    await refusal_of(client, model="late")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody")
    assert len(fleet.turned_down) == len(asked)


@in_one_loop
async def test_a_prompt_that_is_too_long_has_openais_code(client: Any, fleet: ScriptedFleet) -> None:
    error = await refusal_of(client, max_tokens=5000)
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "context_length_exceeded"
    assert fleet.calls == [] and len(fleet.turned_down) == 1


@in_one_loop
@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"temperature": 2.5}, "temperature", "<= 2.0"),
        ({"temperature": "hot"}, "temperature", "Expected `float`"),
        ({"top_p": 1.5}, "top_p", "<= 1.0"),
        ({"max_tokens": 0}, "max_tokens", ">= 1"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 129}, "n", "<= 128"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "<= 20"),
        ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
        ({"stop": [1]}, "stop[0]", "Expected `str`"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", "send one"),
        ({"messages": []}, "messages", "empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "not supported"),
        ({"messages": [{"role": "user"}]}, "messages[0]", "missing required field `content`"),
        ({"messages": [{"role": "user", "content": "x", "contents": 1}]}, "messages[0].contents", "unknown"),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": "x", "tool_calls": [{}]}]},
            "messages[1].tool_calls",
            "not supported",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0]",
            "image_url",
        ),
        ({"extra_body": {"temprature": 1}}, "temprature", "did you mean 'temperature'"),
        ({"extra_headers": {"x-slo-ttft-ms": "soon"}}, "x-slo-ttft-ms", "milliseconds above 0"),
        ({"extra_headers": {"x-statmux-timeout-ms": "0"}}, "x-statmux-timeout-ms", "milliseconds above 0"),
        ({"model": "embedder"}, "model", "does not generate"),
        ({"model": "plain"}, "messages", "no chat template"),
        ({"model": "tokens"}, "messages", "no tokenizer.json"),
        ({"extra_body": {"chat_template_kwargs": {"messages": 1}}}, "chat_template_kwargs", "cannot be set"),
    ],
)
async def test_what_is_wrong_is_named(client: Any, fields: dict[str, Any], param: str, words: str) -> None:
    error = await refusal_of(client, **fields)
    assert isinstance(error, openai.BadRequestError), error
    assert error.param == param
    assert words in error.message
    assert error.body["type"] == "invalid_request_error"


_ASKING: dict[str, Any] = {
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "logit_bias": {"5": 1},
    "audio": {"voice": "alloy", "format": "wav"},
    "modalities": ["text", "audio"],
    "store": True,
    "best_of": 2,
    "metadata": {"a": "b"},
}


@in_one_loop
async def test_what_a_chat_does_not_support_is_refused_by_its_name(client: Any) -> None:
    for name in CHAT_UNSUPPORTED:
        error = await refusal_of(client, extra_body={name: _ASKING.get(name, "something")})
        assert (error.status_code, error.param, error.code) == (400, name, "unsupported_parameter")
        assert name in error.message


@in_one_loop
async def test_what_a_completion_does_not_support_is_refused_by_its_name(client: Any) -> None:
    for name in COMPLETION_UNSUPPORTED:
        asking = {name: _ASKING.get(name, "something")}
        with pytest.raises(openai.BadRequestError) as caught:
            await client.completions.create(model="chat", prompt="x", extra_body=asking)
        assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


@in_one_loop
async def test_values_that_ask_for_nothing_are_taken(client: Any, fleet: ScriptedFleet) -> None:
    neutral = [(name, value) for name, values in CHAT_UNSUPPORTED.items() for value in values]
    for name, value in neutral:
        await client.chat.completions.create(
            model="chat", messages=HELLO, max_tokens=1, extra_body={name: value}
        )
    assert len(fleet.calls) == len(neutral) > 10


def test_every_parameter_of_openais_client_is_known() -> None:
    kinds = (
        (chat_params.CompletionCreateParamsStreaming, ChatRequest, CHAT_UNSUPPORTED),
        (completion_create_params.CompletionCreateParamsStreaming, CompletionRequest, COMPLETION_UNSUPPORTED),
        (embedding_create_params.EmbeddingCreateParams, EmbeddingRequest, EMBEDDING_UNSUPPORTED),
    )
    for theirs, ours, unsupported in kinds:
        names = theirs.__required_keys__ | theirs.__optional_keys__
        assert names - {*ours.__struct_fields__, *unsupported} == set(), theirs


def test_every_reason_has_a_status_and_a_body() -> None:
    for reason in Reason:
        response = error_response(Refused(reason, "why"))
        assert response.status_code == STATUS[reason]
        assert b'"message":"why"' in response.body


@pytest.mark.parametrize(
    "reason", [Reason.SLO_INFEASIBLE, Reason.DEADLINE_EXCEEDED, Reason.NOT_LOADED, Reason.UNSUPPORTED]
)
def test_where_asking_again_only_adds_load_the_client_is_told_so(reason: Reason) -> None:
    assert retry_headers(Refusal(reason, "why", retry_after_s=1.0)) == {"x-should-retry": "false"}
