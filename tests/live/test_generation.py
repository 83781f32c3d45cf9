"""A model that generates beside an encoder on one pipeline, through real processes and real clients."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import openai
import pytest
import pytest_asyncio

from statmux.client import Client
from tests.live.fleet_files import CHAT_LENGTH, CHAT_PAGES
from tests.live.fleet_process import ServedFleet

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio]
_RANDOM = np.random.default_rng(1)
PROMPTS = [_RANDOM.integers(0, 256, size=length).tolist() for length in (3, 21, 40, 9, 33, 17)]
ANSWER = 20
_IDS = {"ignore_eos": True, "return_token_ids": True}


@pytest_asyncio.fixture
async def remote(mixed: ServedFleet) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://{mixed.ask('status')['endpoints']['http']}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


async def answer(remote: openai.AsyncOpenAI, prompt: list[int]) -> list[int]:
    """Token ids, greedy."""
    done = await remote.completions.create(
        model="chat", prompt=prompt, max_tokens=ANSWER, temperature=0, extra_body=_IDS
    )
    return done.choices[0].token_ids  # type: ignore[attr-defined]


def _posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=60) as reply:
        return json.load(reply)


def metric(fleet: ServedFleet, name: str) -> float:
    """Of chat, over all its labels."""
    url = f"http://{fleet.ask('status')['endpoints']['metrics']}/metrics"
    with urllib.request.urlopen(url, timeout=60) as page:
        lines = page.read().decode().splitlines()
    mine = (line for line in lines if line.startswith(f"{name}{{") and 'model="chat"' in line)
    return sum(float(line.rpartition(" ")[2]) for line in mine)


async def test_an_answer_is_the_same_alone_and_beside_others_that_take_its_pages(
    mixed: ServedFleet, remote: openai.AsyncOpenAI
) -> None:
    alone = [await answer(remote, prompt) for prompt in PROMPTS]
    assert [len(one) for one in alone] == [ANSWER] * len(PROMPTS)
    preempted = metric(mixed, "statmux_preemptions_total")
    together = await asyncio.gather(*(answer(remote, prompt) for prompt in PROMPTS * 2))
    assert together == alone * 2
    # Heartbeats tell of them.
    mixed.until(lambda: metric(mixed, "statmux_preemptions_total") > preempted)
    assert mixed.group("g2")["num_recompiles"] == 0


async def test_an_encoder_answers_while_a_model_generates_on_its_group(
    mixed: ServedFleet, remote: openai.AsyncOpenAI, client: Client
) -> None:
    ids = np.array([[5, 6, 7]], np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    before = await asyncio.to_thread(client.infer, "bert", inputs)
    during = []
    # How many it takes until one goes to the group that is busy with answers is the machine's speed.
    while {result.group for result in during} != {"g0", "g2"}:
        generating = asyncio.gather(*(answer(remote, prompt) for prompt in PROMPTS))
        during += await asyncio.gather(*(asyncio.to_thread(client.infer, "bert", inputs) for _ in range(12)))
        await generating
    for result in during:
        np.testing.assert_allclose(
            result.outputs["last_hidden_state"], before.outputs["last_hidden_state"], atol=1e-4
        )


async def test_a_client_that_leaves_frees_its_pages(mixed: ServedFleet, remote: openai.AsyncOpenAI) -> None:
    stream = await remote.completions.create(
        model="chat",
        prompt=[1, 2, 3],
        max_tokens=CHAT_LENGTH - 3,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    async for _ in stream:
        break
    await stream.close()
    mixed.until(lambda: mixed.group("g2")["running"] == 0)
    assert mixed.ask("status")["num_pending"] == 0


async def test_equal_seeds_draw_equal_answers_and_samples_differ(remote: openai.AsyncOpenAI) -> None:
    def drawn(seed: int):
        return remote.completions.create(
            model="chat", prompt=[4, 5, 6], max_tokens=8, temperature=1, seed=seed, n=2,
            extra_body=_IDS,
        )  # fmt: skip

    first, again, other = [
        [choice.token_ids for choice in one.choices]  # type: ignore[attr-defined]
        for one in await asyncio.gather(drawn(1), drawn(1), drawn(2))
    ]
    assert first == again != other
    assert first[0] != first[1]


async def test_text_goes_in_and_out_of_every_protocol_alike(
    mixed: ServedFleet, remote: openai.AsyncOpenAI
) -> None:
    said: list[Any] = [{"role": "user", "content": "def "}, {"role": "assistant", "content": "f("}]
    asked: dict[str, Any] = {"model": "chat", "max_tokens": ANSWER, "temperature": 0}
    whole = await remote.chat.completions.create(messages=said, **asked)
    text = whole.choices[0].message.content
    assert text and whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (len("def f("), ANSWER)
    stream = await remote.chat.completions.create(messages=said, stream=True, **asked)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == text
    completed = await remote.completions.create(prompt="def f(", **asked)
    assert completed.choices[0].text == text
    body = {"text_input": "def f(", "max_tokens": ANSWER, "temperature": 0}
    url = f"http://{mixed.ask('status')['endpoints']['http']}/v2/models/chat/generate"
    assert (await asyncio.to_thread(_posted, url, body))["text_output"] == text
    stop = text[3]
    stopped = await remote.completions.create(prompt="def f(", stop=stop, **asked)
    assert stopped.choices[0].text == text[: text.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"
    mixed.until(lambda: mixed.group("g2")["running"] == 0)


async def test_a_prompt_that_is_too_long_and_an_unknown_model_are_refused(
    remote: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await remote.completions.create(model="chat", prompt=[1] * CHAT_LENGTH, max_tokens=8)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        await remote.completions.create(model="nobody", prompt=[1], max_tokens=8)


async def test_pages_are_the_deployments(mixed: ServedFleet, remote: openai.AsyncOpenAI) -> None:
    listed = {one.id: one async for one in remote.models.list()}
    assert listed["chat"].max_model_len == CHAT_LENGTH  # type: ignore[attr-defined]
    assert 0 <= metric(mixed, "statmux_kv_cache_usage_ratio") <= 1
    assert CHAT_PAGES * 8 < 4 * CHAT_LENGTH
