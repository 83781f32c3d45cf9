"""/v1/completions as OpenAI's own client sees it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.controller.http.conftest import Served
from tests.controller.http.story import CODEC, EOS_ID
from tests.controller.scripted_fleet import ScriptedFleet

in_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def complete(served: Served, fleet: ScriptedFleet) -> Any:
    return served.client.completions.create


async def texts_of(stream: Any) -> dict[int, str]:
    texts: dict[int, str] = defaultdict(str)
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    return texts


@in_one_loop
async def test_a_prompt_is_completed(complete: Any, fleet: ScriptedFleet) -> None:
    answer = await complete(model="mirror", prompt="stressed")
    assert answer.object == "text_completion"
    assert [(one.index, one.text, one.finish_reason) for one in answer.choices] == [(0, "desserts", "stop")]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 9)
    assert fleet.calls[0].max_tokens == 16, "as at OpenAI, where nobody says how many"


@in_one_loop
async def test_an_answer_is_cut_at_its_largest_length(complete: Any) -> None:
    answer = await complete(model="mirror", prompt="stressed", max_tokens=3)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("des", "length")


@in_one_loop
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("echo", [False, True])
async def test_choices_are_the_samples_of_one_prompt_after_the_other(
    complete: Any, stream: bool, echo: bool
) -> None:
    prompts = ["abc", "dé", "x"]
    answer = await complete(model="mirror", prompt=prompts, n=2, echo=echo, stream=stream)
    texts = await texts_of(answer) if stream else {one.index: one.text for one in answer.choices}
    expected = [(prompt if echo else "") + prompt[::-1] for prompt in prompts for _ in range(2)]
    assert [texts[index] for index in range(6)] == expected


@in_one_loop
async def test_a_stream_is_the_answer_in_pieces(complete: Any) -> None:
    stream = await complete(
        model="mirror", prompt=["abc", "de"], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 5 + 4 + 3
    reasons = [one.finish_reason for chunk in chunks for one in chunk.choices if one.finish_reason]
    assert reasons == ["stop", "stop"]


@in_one_loop
async def test_prompts_may_be_token_ids(complete: Any, fleet: ScriptedFleet) -> None:
    ids = list(CODEC.encode("abc", adds_special=False))
    one = await complete(model="mirror", prompt=ids)
    two = await complete(model="mirror", prompt=[ids, ids[:2]], echo=True)
    assert one.choices[0].text == "cba"
    assert [choice.text for choice in two.choices] == ["abccba", "abba"]
    assert [len(call.prompt_ids) for call in fleet.calls] == [3, 3, 2]


@in_one_loop
async def test_a_model_without_a_tokenizer_answers_in_token_ids(complete: Any) -> None:
    answer = await complete(model="tokens", prompt=[1, 2, 3], logprobs=0)
    assert answer.choices[0].text == ""
    assert answer.choices[0].token_ids == [*CODEC.encode("abc", adds_special=False), EOS_ID]
    assert answer.choices[0].logprobs.tokens[0].startswith("token_id:")
    stream = await complete(model="tokens", prompt=[1, 2, 3], stream=True)
    told = [token async for chunk in stream for token in chunk.choices[0].token_ids]
    assert told == answer.choices[0].token_ids
    with pytest.raises(openai.BadRequestError, match=r"no tokenizer\.json") as caught:
        await complete(model="tokens", prompt="text")
    assert caught.value.param == "prompt"


@in_one_loop
@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_have_offsets_in_the_text(complete: Any, stream: bool) -> None:
    answer = await complete(model="mirror", prompt="abc", logprobs=1, stream=stream)
    found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    async for choice in _choices(answer, stream):
        for name, values in found.items():
            values += getattr(choice.logprobs, name)
    assert found["tokens"] == ["c", "b", "a"]
    assert found["text_offset"] == [0, 1, 2]
    assert found["token_logprobs"] == [-0.5] * 3
    assert found["top_logprobs"] == [{"c": -0.5}, {"b": -0.5}, {"a": -0.5}]


@in_one_loop
async def test_a_part_of_a_character_is_spelled_in_bytes(complete: Any) -> None:
    answer = await complete(model="mirror", prompt="é", logprobs=1)
    assert answer.choices[0].logprobs.tokens == ["bytes:\\xc3", "bytes:\\xa9"]
    assert answer.choices[0].text == "é"


async def _choices(answer: Any, stream: bool) -> AsyncIterator[Any]:
    if not stream:
        yield answer.choices[0]
        return
    async for chunk in answer:
        yield chunk.choices[0]


@in_one_loop
async def test_when_one_prompt_is_refused_none_is_answered(complete: Any, fleet: ScriptedFleet) -> None:
    with pytest.raises(openai.BadRequestError, match="context is 512 tokens"):
        await complete(model="stuck", prompt=["abc", "d" * 600])
    assert len(fleet.cancelled) == 1, "the first prompt had been asked already"


@in_one_loop
@pytest.mark.parametrize("prompt", [[], [[]], ["a", 1], [[1], "a"], [1.5], [True], ["a"] * 257])
async def test_what_is_no_prompt_is_refused_as_such(complete: Any, prompt: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await complete(model="mirror", prompt=prompt)
    assert caught.value.param == "prompt"
