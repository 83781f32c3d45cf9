"""/v1/chat/completions as OpenAI's own client sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from tests.controller.http.conftest import Served
from tests.controller.http.story import CODEC, EOS_ID
from tests.controller.scripted_fleet import ScriptedFleet

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
SAID = "Hello, wörld! 😀"
in_one_loop = pytest.mark.asyncio(loop_scope="module")
PROMPT = "<s>[user] hi\n[assistant] "


@pytest.fixture
def chats(served: Served, fleet: ScriptedFleet) -> Any:
    return served.client.chat.completions.create


async def collected(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


def text_of(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


@in_one_loop
async def test_a_chat_is_answered(chats: Any, fleet: ScriptedFleet) -> None:
    answer = await chats(model="chat", messages=HELLO)
    (choice,) = answer.choices
    assert (answer.object, answer.model) == ("chat.completion", "chat")
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", SAID, "stop")
    assert CODEC.decode(fleet.calls[0].prompt_ids, skips_special=False) == PROMPT
    assert answer.usage.prompt_tokens == len(fleet.calls[0].prompt_ids)
    assert answer.usage.completion_tokens == len(SAID.encode()) + 1
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


@in_one_loop
async def test_a_stream_begins_with_the_role_and_ends_with_the_reason(chats: Any) -> None:
    chunks = await collected(await chats(model="chat", messages=HELLO, stream=True))
    first, last = chunks[0].choices[0], chunks[-1].choices[0]
    assert (first.delta.role, first.delta.content, first.finish_reason) == ("assistant", "", None)
    assert (last.delta.role, last.finish_reason) == (None, "stop")
    assert text_of(chunks) == SAID
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])
    assert {(chunk.object, chunk.id) for chunk in chunks} == {("chat.completion.chunk", chunks[0].id)}
    assert all(chunk.usage is None for chunk in chunks)


@in_one_loop
async def test_usage_is_the_last_chunk_of_a_stream_that_asks_for_it(chats: Any) -> None:
    options = {"include_usage": True}
    chunks = await collected(await chats(model="chat", messages=HELLO, stream=True, stream_options=options))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == len(SAID.encode()) + 1
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in chunks[:-1])


@in_one_loop
@pytest.mark.parametrize("stream", [False, True])
async def test_several_samples_are_several_choices(chats: Any, stream: bool) -> None:
    answer = await chats(model="chat", messages=HELLO, n=3, stream=stream)
    if stream:
        chunks = await collected(answer)
        assert [text_of(chunks, index) for index in range(3)] == [SAID] * 3
        roles = [choice.index for chunk in chunks for choice in chunk.choices if choice.delta.role]
        assert roles == [0, 1, 2]
    else:
        assert [(one.index, one.message.content) for one in answer.choices] == [(i, SAID) for i in range(3)]


@in_one_loop
@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_come_with_the_bytes_of_each_token(chats: Any, stream: bool) -> None:
    answer = await chats(model="chat", messages=HELLO, logprobs=True, top_logprobs=2, stream=stream)
    if stream:
        choices = [chunk.choices[0] for chunk in await collected(answer)]
        tokens = [token for one in choices if one.logprobs for token in one.logprobs.content]
    else:
        tokens = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens) == SAID.encode()
    assert all(token.logprob == -0.5 and len(token.top_logprobs) == 2 for token in tokens)
    assert [best.token for best in tokens[0].top_logprobs] == ["H", "I"]
    assert tokens[-1].token == "\ufffd", "part of a character has bytes, but no text"


@in_one_loop
@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_ends_the_answer_and_the_request(
    chats: Any, fleet: ScriptedFleet, stream: bool
) -> None:
    answer = await chats(model="chat", messages=HELLO, stop=["nope", ", wö"], stream=stream)
    text = text_of(await collected(answer)) if stream else answer.choices[0].message.content
    assert text == "Hello"


@in_one_loop
async def test_a_stop_string_cancels_what_still_runs(chats: Any, fleet: ScriptedFleet) -> None:
    asking = asyncio.ensure_future(chats(model="stuck", messages=HELLO, stop="END", stream=True))
    opened = await fleet.opened()
    opened.say(*CODEC.encode("all of it END and more", adds_special=False))
    assert text_of(await collected(await asking)) == "all of it "
    assert fleet.cancelled == [opened.call]


@in_one_loop
async def test_every_parameter_reaches_the_fleet(chats: Any, fleet: ScriptedFleet) -> None:
    await chats(
        model="chat",
        messages=[{"role": "system", "content": "s"}, *HELLO],
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.25,
        presence_penalty=1.5,
        frequency_penalty=-0.5,
        seed=-7,
        user="somebody",
        extra_body={
            "top_k": 4,
            "min_p": 0.125,
            "repetition_penalty": 1.25,
            "ignore_eos": True,
            "stop_token_ids": [3, 4],
            "cache_salt": "mine",
            "priority": 1,
            "store": False,
            "response_format": {"type": "text"},
            "logit_bias": {},
            "tools": None,
        },
        extra_headers={
            "x-llm-d-slo-ttft-ms": "250",
            "x-slo-ttft-ms": "9999",
            "x-slo-tpot-ms": "20",
            "x-statmux-slo-latency-ms": "1500",
            "x-statmux-timeout-ms": "3000",
            "x-request-id": "mine-7",
        },
    )
    (call,) = fleet.calls
    sampling = call.sampling
    assert call.max_tokens == 7 and call.request_id == "mine-7" and call.protocol == "openai"
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.5, 0.25, -7)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1.5, -0.5)
    assert (sampling.top_k, sampling.min_p, sampling.repetition_penalty) == (4, 0.125, 1.25)
    assert sampling.ignores_eos and sampling.stop_token_ids == (3, 4) and sampling.num_logprobs is None
    assert (call.salt, call.priority, call.ttft_s, call.tpot_s) == ("mine", 1, 0.25, 0.02)
    assert (call.slo_s, call.timeout_s) == (1.5, 3.0)


@in_one_loop
async def test_calls_without_a_seed_differ(chats: Any, fleet: ScriptedFleet) -> None:
    for _ in range(2):
        await chats(model="chat", messages=HELLO)
    assert fleet.calls[0].sampling.seed != fleet.calls[1].sampling.seed


@in_one_loop
async def test_contents_may_be_text_parts_and_messages_what_a_client_was_given(
    chats: Any, fleet: ScriptedFleet
) -> None:
    answer = await chats(model="chat", messages=HELLO)
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    said = answer.choices[0].message
    await chats(model="chat", messages=[{"role": "user", "content": parts}, said.model_dump(), *HELLO])
    prompt = CODEC.decode(fleet.calls[-1].prompt_ids, skips_special=False)
    assert prompt == f"<s>[user] a\nb\n[assistant] {SAID}\n[user] hi\n[assistant] "


@in_one_loop
async def test_token_ids_come_where_they_are_asked_for(chats: Any) -> None:
    answer = await chats(model="chat", messages=HELLO, extra_body={"return_token_ids": True})
    said = CODEC.encode(SAID, adds_special=False)
    assert answer.choices[0].token_ids == [*said, EOS_ID]


@in_one_loop
async def test_an_error_after_the_first_byte_is_an_event(chats: Any) -> None:
    stream = await chats(model="broken-off", messages=HELLO, stream=True)
    told = ""
    with pytest.raises(openai.APIError, match="the group that ran the request failed"):
        async for chunk in stream:
            told += text_of([chunk])
    assert told == "Hel"
