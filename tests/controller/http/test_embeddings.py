"""/v1/embeddings as OpenAI's own client sees it."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from controller.calls import Reason, Refusal
from tests.controller.http.conftest import Served
from tests.controller.http.story import EMBEDDING, serving
from tests.controller.scripted_fleet import ScriptedFleet

in_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def embed(served: Served, fleet: ScriptedFleet) -> Any:
    return served.client.embeddings.create


@in_one_loop
@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_texts_become_vectors(embed: Any, fleet: ScriptedFleet, form: str | None) -> None:
    options = {} if form is None else {"encoding_format": form}
    answer = await embed(model="embedder", input=["ab", "é"], **options)
    if form == "base64":
        assert all(isinstance(one.embedding, str) for one in answer.data)
    else:
        assert [one.embedding for one in answer.data] == [[2.0, 97.0, 98.0, 1.0], [2.0, 195.0, 169.0, 1.0]]
    assert [one.index for one in answer.data] == [0, 1]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)
    assert [(call.protocol, call.tensors[0].shape) for call in fleet.one_shot] == [("openai", (1,))] * 2


@in_one_loop
async def test_one_text_is_a_list_of_one(embed: Any) -> None:
    answer = await embed(model="embedder", input="abc")
    assert [one.embedding[0] for one in answer.data] == [3.0]


@in_one_loop
async def test_objectives_in_headers_reach_the_fleet(embed: Any, fleet: ScriptedFleet) -> None:
    headers = {"x-statmux-slo-latency-ms": "40", "x-statmux-timeout-ms": "2000"}
    await embed(model="embedder", input="abc", extra_headers=headers)
    assert (fleet.one_shot[0].slo_s, fleet.one_shot[0].timeout_s) == (0.04, 2.0)


@in_one_loop
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [1, 2, 3]}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": "a", "dimensions": 2}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "model": "chat"}, "model"),
        ({"input": "a", "extra_body": {"inputs": 1}}, "inputs"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_by_name(
    embed: Any, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await embed(**({"model": "embedder"} | fields))
    assert caught.value.param == param


@in_one_loop
async def test_a_refusal_of_the_fleet_has_its_status() -> None:
    refusal = Refusal(Reason.QUEUE_FULL, "the queue is full", retry_after_s=0.5)
    fleet = ScriptedFleet([EMBEDDING], scripts={}, replies=lambda call: refusal)
    async with serving(fleet) as address:
        client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.RateLimitError, match="the queue is full") as caught:
            await client.embeddings.create(model="embedder", input="a")
        await client.close()
    assert caught.value.response.headers["retry-after-ms"] == "500"
