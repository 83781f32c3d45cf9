"""Calls for text become calls for tokens, and their tokens text."""

from __future__ import annotations

import asyncio

import pytest

from controller.calls import Reason, Refusal
from controller.text import (
    Refused,
    TextCall,
    TextEnded,
    TextFront,
    TextPiece,
    WholeAnswer,
    whole_answer,
)
from controller.text.front import tokens_of
from tests.controller.http.story import CODEC, EOS_ID, MAX_MODEL_LEN, story_fleet, story_texts
from tests.controller.scripted_fleet import OpenAnswer, ScriptedFleet
from vocabulary.sampling import LENGTH, STOP, SampledToken, Sampling

_TEXTS = story_texts()


def ids(text: str) -> tuple[int, ...]:
    return CODEC.encode(text, adds_special=False)


def call(model: str = "chat", prompt: str | tuple[int, ...] = "hi", **fields: object) -> TextCall:
    return TextCall("r1", model, prompt, **fields)


def front(fleet: ScriptedFleet) -> TextFront:
    return TextFront(fleet, _TEXTS)


async def written(asked: TextCall) -> WholeAnswer:
    outcome = await whole_answer(await front(story_fleet()).start(asked))
    assert isinstance(outcome, WholeAnswer), outcome
    return outcome


async def refusal_of(asked: TextCall) -> Refused:
    fleet = story_fleet()
    with pytest.raises(Refused) as caught:
        await front(fleet).start(asked)
    assert fleet.calls == []
    return caught.value


def spoken(answer: OpenAnswer, text: str) -> None:
    answer.say(*ids(text))


@pytest.mark.asyncio
async def test_text_becomes_tokens_and_tokens_text() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call(prompt="hé", salt="s", tenant="t", priority=1, ttft_s=0.5))
    whole = await whole_answer(answer)
    assert whole.samples[0].text == "Hello, wörld! 😀" and whole.samples[0].finish == STOP
    (asked,) = fleet.calls
    assert asked.prompt_ids == ids("hé")
    assert (asked.salt, asked.tenant, asked.priority, asked.ttft_s) == ("s", "t", 1, 0.5)
    assert whole.ended == TextEnded(len(ids("Hello, wörld! 😀")) + 1, "g0", 2, 0.0)


@pytest.mark.asyncio
async def test_without_a_length_an_answer_may_fill_the_context() -> None:
    fleet = story_fleet()
    await front(fleet).start(call(prompt="a" * 500))
    await front(fleet).start(call(prompt="a" * 500, max_tokens=3))
    assert [asked.max_tokens for asked in fleet.calls] == [MAX_MODEL_LEN - 500, 3]


@pytest.mark.asyncio
async def test_pieces_come_as_soon_as_they_are_characters() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck"))
    opened = await fleet.opened()
    news = aiter(answer)
    spoken(opened, "h")
    assert await anext(news) == TextPiece(0, "h", (SampledToken(0, 0, *ids("h")),))
    first, second = ids("é")
    opened.say(first)
    opened.say(second)
    piece = await anext(news)
    assert (piece.text, [token.token for token in piece.tokens]) == ("é", [first, second])
    opened.say(EOS_ID)
    assert (await anext(news)).finish == STOP
    opened.end(STOP)
    assert await anext(news) == TextEnded(4, "g0")


@pytest.mark.asyncio
async def test_an_answer_ends_before_its_stop_string_and_the_request_is_cancelled() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck", stop=("END",)))
    opened = await fleet.opened()
    spoken(opened, "one ENxt twoEND and more")
    whole = await whole_answer(answer)
    assert [sample.text for sample in whole.samples] == ["one ENxt two"]
    assert whole.samples[0].finish == STOP
    assert whole.ended.num_tokens == len("one ENxt twoEND")
    assert fleet.cancelled == [opened.call]


@pytest.mark.asyncio
async def test_the_stop_string_is_told_where_it_is_asked_for() -> None:
    whole = await written(call(stop=("wör",), includes_stop=True))
    assert whole.samples[0].text == "Hello, wör"


@pytest.mark.asyncio
async def test_one_sample_at_its_stop_string_does_not_end_the_others() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck", num_samples=2, stop=("x",)))
    opened = await fleet.opened()
    opened.say(*ids("ax"), sample=0)
    opened.say(*ids("bc"), sample=1)
    opened.say(*ids("zz"), sample=0)  # what is in flight when nobody wants it
    assert fleet.cancelled == []
    opened.say(*ids("dx"), sample=1)
    whole = await whole_answer(answer)
    assert [sample.text for sample in whole.samples] == ["a", "bcd"]
    assert whole.ended.num_tokens == 6
    assert fleet.cancelled == [opened.call]


@pytest.mark.asyncio
async def test_held_back_text_is_told_when_the_answer_ends() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck", stop=("END",), max_tokens=3))
    opened = await fleet.opened()
    spoken(opened, "aEN")
    opened.end(LENGTH)
    whole = await whole_answer(answer)
    assert (whole.samples[0].text, whole.samples[0].finish) == ("aEN", LENGTH)
    assert fleet.cancelled == []


@pytest.mark.asyncio
async def test_an_incomplete_character_at_the_end_is_told_as_one_that_is_none() -> None:
    whole = await written(call(max_tokens=len(ids("Hello, wö")) - 1))
    assert (whole.samples[0].text, whole.samples[0].finish) == ("Hello, w\ufffd", LENGTH)


@pytest.mark.asyncio
async def test_end_tokens_have_no_text_unless_they_are_asked_for() -> None:
    stop_id = ids("!")[0]
    silent = await written(call(sampling=Sampling(stop_token_ids=(stop_id,))))
    told = await written(call(sampling=Sampling(stop_token_ids=(stop_id,)), includes_stop=True))
    assert silent.samples[0].text == "Hello, wörld" and silent.samples[0].finish == STOP
    assert told.samples[0].text == "Hello, wörld!"
    whole = await written(call(includes_stop=True, skips_special=False))
    assert whole.samples[0].text.endswith("😀</s>")


@pytest.mark.asyncio
async def test_whoever_ignores_the_end_token_reads_on() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck", sampling=Sampling(ignores_eos=True), max_tokens=3))
    opened = await fleet.opened()
    opened.say(*ids("a"), EOS_ID, *ids("b"))
    opened.end(LENGTH)
    whole = await whole_answer(answer)
    assert (whole.samples[0].text, whole.samples[0].finish) == ("ab", LENGTH)


@pytest.mark.asyncio
async def test_a_refusal_ends_an_answer_at_any_time() -> None:
    outcome = await whole_answer(await front(story_fleet()).start(call("busy")))
    assert isinstance(outcome, Refusal) and outcome.reason is Reason.QUEUE_FULL
    answer = await front(story_fleet()).start(call("broken-off"))
    news = [one async for one in answer]
    assert "".join(one.text for one in news[:-1]) == "Hel"
    assert news[-1].reason is Reason.FAILED


@pytest.mark.asyncio
async def test_leaving_early_cancels_the_request() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck"))
    spoken(await fleet.opened(), "abc")
    async with answer:
        async for _ in answer:
            break
    assert len(fleet.cancelled) == 1


@pytest.mark.asyncio
async def test_an_answer_that_waits_can_be_ended_from_outside() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("stuck"))
    waiting = asyncio.create_task(whole_answer(answer))
    await fleet.opened()
    refusal = Refusal(Reason.DRAINING, "the server is shutting down")
    answer.refuse(refusal)
    assert await waiting == refusal
    assert len(fleet.cancelled) == 1


@pytest.mark.asyncio
async def test_a_model_without_a_tokenizer_takes_and_gives_tokens_only() -> None:
    fleet = story_fleet()
    answer = await front(fleet).start(call("tokens", prompt=(1, 2, 3)))
    whole = await whole_answer(answer)
    assert whole.samples[0].text == ""
    assert [token.token for token in whole.samples[0].tokens] == [*ids("abc"), EOS_ID]
    assert "no tokenizer.json" in str(await refusal_of(call("tokens")))
    assert "stop_token_ids" in str(await refusal_of(call("tokens", prompt=(1,), stop=("x",))))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fields", "words", "code"),
    [
        ({"prompt": "a" * 513}, "context is 512 tokens; the prompt has 513", "context_length_exceeded"),
        ({"prompt": "a" * 100_000}, "has 100000 characters", "context_length_exceeded"),
        ({"max_tokens": 511}, "the prompt has 2 and 511 tokens of answer", "context_length_exceeded"),
        ({"prompt": (1, 900)}, "token 900; the model's vocabulary is 0 to 257", None),
        ({"prompt": (-1,)}, "token -1", None),
        ({"prompt": ()}, "no tokens", None),
        ({"stop": ("",)}, "none of them empty", None),
        ({"stop": ("x",) * 17}, "at most 16", None),
        ({"model": "chta"}, "did you mean 'chat'", "model_not_found"),
        ({"model": "embedder"}, "does not generate", None),
        ({"model": "absent"}, "not ready: its groups are not open", None),
    ],
)
async def test_what_does_not_fit_the_model_never_reaches_the_fleet(
    fields: dict[str, object], words: str, code: str | None
) -> None:
    refused = await refusal_of(call(**fields))
    assert words in str(refused)
    assert code in (None, refused.code, refused.refusal.reason.value)


@pytest.mark.asyncio
async def test_the_fleet_counts_what_is_turned_away() -> None:
    fleet = story_fleet()
    with pytest.raises(Refused):
        await front(fleet).start(call(prompt="a" * 513))
    assert [model for model, _ in fleet.turned_down] == ["chat"]


@pytest.mark.asyncio
async def test_a_long_text_is_tokenised_on_a_thread_to_the_same_tokens() -> None:
    text = "é long text " * 1000
    assert await tokens_of(text, CODEC, adds_special=False) == ids(text)
