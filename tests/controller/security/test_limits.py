"""What one client may take: beyond each limit a real client is refused in words, and others go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import httpx2
import numpy as np
import openai
import pytest
from grpc import aio

from controller.grpc_v2.messages import ModelInferRequest
from controller.grpc_v2.server import start_grpc
from controller.http import start_http
from controller.http.v2 import v2_routes
from controller.security.json_depth import is_deeper
from statmux.client import AsyncClient, ClientError, InvalidRequest
from tests.controller.grpc_fleet import story_fleet as echo_fleet
from tests.controller.http.story import story_fleet, story_texts
from tests.controller.http.test_server import Client, connected
from tests.controller.scripted_fleet import TIMEOUT_S
from vocabulary.limits import Limits

X = np.ones((2, 4), np.float32)
PATH = "/inference.GRPCInferenceService/ModelInfer"


@asynccontextmanager
async def over_http(**limits: float) -> AsyncIterator[str]:
    """The address of an endpoint that must be well at the end."""
    running = await start_http(
        story_fleet(), story_texts(), port=0, routing=[v2_routes], limits=Limits(**limits)
    )
    address = f"http://127.0.0.1:{running.port}"
    try:
        yield address
        async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT_S) as rest:
            answer = await rest.post("/v1/completions", json={"model": "mirror", "prompt": "abc"})
            assert answer.json()["choices"][0]["text"] == "cba"
    finally:
        await running.stop(0.0)


@asynccontextmanager
async def over_grpc(*, stuck: bool = False, **limits: float) -> AsyncIterator[str]:
    """The same of gRPC."""
    running = await start_grpc(
        echo_fleet(), port=0, limits=Limits(**limits), max_message_bytes=2**20, texts={}
    )
    address = f"127.0.0.1:{running.port}"
    try:
        yield address
        async with AsyncClient(address) as client:
            assert np.array_equal((await client.infer("echo", {"x": X})).outputs["x"], X)
    finally:
        await running.stop(0.0)


async def refusal_of(address: str, path: str, body: object) -> dict:
    async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT_S) as rest:
        answer = await rest.post(path, json=body)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


async def refused_over_grpc(address: str, request: ModelInferRequest) -> str:
    async with aio.insecure_channel(address) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(PATH)(request.SerializeToString(), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value
    return caught.value.details()


@pytest.mark.asyncio
async def test_connections_beyond_the_limit_are_told_and_closed() -> None:
    async with over_http(max_connections=2) as address, AsyncExitStack() as stack:
        for _ in range(2):
            client = await stack.enter_async_context(connected(address))
            client.get("/livez")
            assert await client.body() == {"status": "ok"}
        async with connected(address) as third:
            status, headers = await third.head()
            assert (status, headers["connection"]) == (503, "close")
            told = json.loads(await third.rest())["error"]
            assert told["code"] == "too_many_connections" and "2 connections are open" in told["message"]
        await stack.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("begun", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: b\r\n"])
async def test_headers_that_do_not_come_end_the_connection(begun: bytes) -> None:
    async with over_http(header_timeout_s=0.1) as address, connected(address) as client:
        client.writer.write(begun)
        status, headers = await client.head()
        assert (status, headers["connection"]) == (408, "close")
        assert "headers took longer than 0.1 s" in (await client.rest()).decode()


@pytest.mark.asyncio
async def test_headers_that_drip_have_no_more_time_than_others() -> None:
    async with over_http(header_timeout_s=0.2) as address, connected(address) as client:
        client.writer.write(b"GET /livez HTTP/1.1\r\n")
        dripping = asyncio.create_task(drip(client))
        assert (await client.head())[0] == 408
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


@pytest.mark.asyncio
async def test_second_request_of_a_connection_has_its_own_time_for_headers() -> None:
    # The first one is answered in time, also where others use the machine.
    async with over_http(header_timeout_s=1.0) as address, connected(address) as client:
        client.get("/livez")
        assert await client.body() == {"status": "ok"}
        client.writer.write(b"GET /livez HTTP/1.1\r\n")
        assert (await client.head())[0] == 408


@pytest.mark.asyncio
async def test_body_that_does_not_come_is_refused() -> None:
    async with over_http(body_timeout_s=0.1) as address, connected(address) as client:
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
        client.writer.write(head + b'{"model": "chat"')
        status, headers = await client.head()
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(await client.rest())["error"]["code"] == "request_timeout"


@pytest.mark.asyncio
async def test_connection_without_a_request_ends() -> None:
    async with over_http(idle_timeout_s=1.0) as address, connected(address) as client:
        client.get("/livez")
        assert await client.body() == {"status": "ok"}
        assert await client.rest() == b""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("completions", {"model": "chat", "prompt": "a" * 101}, "prompt has 101 characters; at most 100"),
        (
            "chat/completions",
            {"model": "chat", "messages": [{"role": "user", "content": "a" * 51}] * 2},
            "messages has 102 characters; at most 100",
        ),
        (
            "chat/completions",
            {"model": "chat", "messages": [{"role": "user", "content": "a"}] * 4},
            "4 messages; at most 3",
        ),
        (
            "chat/completions",
            {
                "model": "chat",
                "messages": [{"role": "user", "content": "a"}],
                "chat_template_kwargs": {"a": [[[[[[[[1]]]]]]]]},
            },
            "nests more than 8 deep",
        ),
        ("completions", {"model": "chat", "prompt": "a", "stop": ["a"] * 17}, "at most 16 strings"),
        ("completions", {"model": "chat", "prompt": "a", "stop": "a" * 1025}, "has 1025 characters"),
        ("completions", {"model": "chat", "prompt": "a", "stop_token_ids": [1] * 1025}, "1025 tokens"),
        ("completions", {"model": "chat", "prompt": "a", "logit_bias": {"1": 5}}, "not supported here"),
        ("completions", {"model": "chat", "prompt": ["a"] * 257}, "1 to 256"),
        ("completions", {"model": "chat", "prompt": "a", "n": 129}, "<= 128"),
        ("embeddings", {"model": "embedder", "input": ["a"] * 2049}, "1 to 2048"),
        ("embeddings", {"model": "embedder", "input": "a" * 101}, "input has 101 characters; at most 100"),
    ],
)
async def test_requests_that_ask_for_too_much_are_refused_in_words(path: str, body: dict, words: str) -> None:
    async with over_http(max_prompt_chars=100, max_messages=3, max_json_depth=8) as address:
        assert words in (await refusal_of(address, f"/v1/{path}", body))["message"]


@pytest.mark.asyncio
async def test_limits_hold_for_openais_client_too() -> None:
    async with (
        over_http(max_prompt_chars=100) as address,
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client,
    ):
        with pytest.raises(openai.BadRequestError, match="at most 100 are taken") as caught:
            await client.completions.create(model="chat", prompt="a" * 101, stream=True)
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"[[1], [2, [3]]]", 3),
        (b'{"a": [{"b": "[[[["}]}', 3),
        (b'{"a": "\\"[[[", "b": [1]}', 2),
        (b'"' + b"[" * 50, 0),
        (b"[" * 50, 50),
        (b'"\\', 0),
        (b"]]]][[", 0),
        (b"", 0),
    ],
)
def test_depth_of_json_is_that_outside_its_strings(text: bytes, depth: int) -> None:
    assert not is_deeper(text, max(depth, 1))
    assert depth == 0 or is_deeper(text, depth - 1)


@pytest.mark.asyncio
async def test_tensors_beyond_the_limits_are_refused_whatever_the_model() -> None:
    async with over_grpc(max_tensors=3, max_rank=4, max_elements=1000) as address:
        for shape, words in (([1] * 5, "5 dimensions; at most 4"), ([500, 3], "1500 elements; at most 1000")):
            request = ModelInferRequest(model_name="echo")
            request.inputs.add(name="x", datatype="FP32", shape=shape)
            assert words in await refused_over_grpc(address, request)
        request = ModelInferRequest(model_name="nobody")
        for _ in range(4):
            request.inputs.add(name="x")
        assert "4 tensors; at most 3" in await refused_over_grpc(address, request)
        for request_id in ("a" * 1025, "a" * 2000):
            with pytest.raises(InvalidRequest, match="the id has"):
                async with AsyncClient(address) as client:
                    await client.infer("echo", {"x": X}, request_id="first")
                    await client.infer("echo", {"x": X}, request_id=request_id)


@pytest.mark.asyncio
async def test_rest_has_the_limits_of_grpc() -> None:
    async with over_http(max_rank=4, max_tensors=3) as address:
        item = {"name": "text_input", "datatype": "BYTES", "shape": [1] * 5, "data": ["a"]}
        async with httpx2.AsyncClient(base_url=address) as rest:
            for inputs, words in (([item], "5 dimensions"), ([item | {"shape": [1]}] * 4, "4 tensors")):
                answer = await rest.post("/v2/models/embedder/infer", json={"inputs": inputs})
                assert answer.status_code == 400 and words in answer.json()["error"]


@pytest.mark.asyncio
async def test_messages_beyond_the_limit_are_refused_by_grpc_itself() -> None:
    async with over_grpc() as address, AsyncClient(address) as client:
        with pytest.raises(ClientError, match="larger than max"):
            await client.infer("echo", {"x": np.ones((2**17, 4), np.float32)})


@pytest.mark.asyncio
async def test_metadata_beyond_the_limit_is_refused() -> None:
    async with over_grpc(max_header_bytes=2048) as address, aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        with pytest.raises(aio.AioRpcError) as caught:
            await call(b"", metadata=(("x-long", "a" * 4096),), timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_grpc_connections_beyond_the_limit_are_not_taken() -> None:
    async with over_grpc(max_connections=3) as address:
        async with AsyncExitStack() as stack:
            first = [await stack.enter_async_context(AsyncClient(address)) for _ in range(3)]
            assert all([await client.is_live() for client in first])
            late = await stack.enter_async_context(AsyncClient(address))
            assert not await late.is_live(timeout_s=1.0)
            assert all([await client.is_live() for client in first])
        # Places come back when connections end; grpc closes them a moment later.
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                async with AsyncClient(address) as again:
                    if await again.is_live(timeout_s=1.0):
                        return


@pytest.mark.asyncio
async def test_calls_of_one_connection_beyond_the_limit_wait() -> None:
    running = await start_grpc(fleet := echo_fleet(), port=0, limits=Limits(max_streams=2))
    request = ModelInferRequest(model_name="stuck")
    request.inputs.add(name="x", datatype="FP32", shape=[2, 4])
    request.raw_input_contents.append(X.tobytes())
    message = request.SerializeToString()
    async with aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        calls = [channel.unary_unary(PATH)(message, timeout=TIMEOUT_S) for _ in range(3)]
        async with asyncio.timeout(TIMEOUT_S):
            while len(fleet.in_flight) < 2:
                await fleet.changed.wait()
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        with pytest.raises(aio.AioRpcError) as caught:
            await live(b"", timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED and len(fleet.in_flight) == 2
        for call in calls:
            call.cancel()
        async with asyncio.timeout(TIMEOUT_S):
            while fleet.in_flight:
                await fleet.changed.wait()
        assert await live(b"", timeout=TIMEOUT_S)
    await running.stop(0.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("begun", [b"", b"PRI * HTTP/2.0\r\n"])
async def test_grpc_connection_that_never_becomes_one_ends(begun: bytes) -> None:
    async with over_grpc(header_timeout_s=0.2) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(begun)
        async with asyncio.timeout(TIMEOUT_S):
            await reader.read()
        writer.close()


async def drip(client: Client) -> None:
    """A header without end: a byte for each turn of the loop."""
    client.writer.write(b"x-drip: ")
    while not client.writer.is_closing():
        client.writer.write(b"a")
        await asyncio.sleep(0.01)
