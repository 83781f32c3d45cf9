"""OpenAI's own client, sync and async: python openai_client.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import openai

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
SAID = "Hello, wörld! 😀"


def main(address: str) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none") as client:
        chat(client)
        complete(client)
        embed(client)
        refusals(client)
    asyncio.run(all_at_once(address))


def chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=HELLO)
    assert answer.choices[0].message.content == SAID, answer
    stream = client.chat.completions.create(model="chat", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == SAID
    with client.chat.completions.stream(model="chat", messages=HELLO) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.content == SAID and final.choices[0].finish_reason == "stop", final
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=HELLO)
    assert raw.headers["x-request-id"], raw.headers


def complete(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="mirror", prompt=["abc", "de"])
    assert [choice.text for choice in answer.choices] == ["cba", "ed"], answer
    stream = client.completions.create(model="mirror", prompt="abc", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "cba"


def embed(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="embedder", input=["ab", "c"])
    assert [one.embedding for one in answer.data] == [[2.0, 97.0, 98.0, 1.0], [1.0, 99.0, 99.0, 1.0]], answer


def refusals(client: openai.OpenAI) -> None:
    expect(openai.NotFoundError, client, model="nobody")
    expect(openai.RateLimitError, client, model="late")
    expect(openai.RateLimitError, client, model="busy")
    expect(openai.InternalServerError, client, model="down")
    expect(openai.BadRequestError, client, model="chat", temperature=3)
    expect(openai.BadRequestError, client, model="chat", response_format={"type": "json_object"})


def expect(kind: type[openai.APIStatusError], client: openai.OpenAI, **fields: Any) -> None:
    try:
        client.chat.completions.create(messages=HELLO, **fields)
    except kind as error:
        assert error.body["message"], error.body
    else:
        raise AssertionError(f"expected {kind.__name__} for {fields}")


async def all_at_once(address: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
        prompts = [f"prompt {index}" for index in range(32)]
        answers = await asyncio.gather(*(streamed(client, prompt) for prompt in prompts))
        assert answers == [prompt[::-1] for prompt in prompts], answers


async def streamed(client: openai.AsyncOpenAI, prompt: str) -> str:
    stream = await client.completions.create(model="mirror", prompt=prompt, stream=True)
    return "".join([chunk.choices[0].text async for chunk in stream])


if __name__ == "__main__":
    main(sys.argv[1])
