"""The endpoint as a server: ports, limits, clients that go away, the end."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from controller.grpc_v2.echo_fleet import EchoFleet
from controller.http import start_http
from controller.ports import PortInUse
from controller.tenants import tenants_of
from tests.controller.http.story import CODEC, EMBEDDING, serving, story_fleet, story_texts
from tests.controller.scripted_fleet import TIMEOUT_S
from vocabulary.errors import RuntimeFailure
from vocabulary.security import Security, TokenSpec

CHAT = {"model": "stuck", "messages": [{"role": "user", "content": "hi"}]}


class Client:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def post(self, path: str, body: object, **headers: str) -> None:
        raw = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(raw)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)

    def get(self, path: str) -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(TIMEOUT_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        return int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.read()

    async def body(self) -> Any:
        _, headers = await self.head()
        return json.loads(await self.reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_before_the_first_token_cancels_its_request(
    path: str, stream: bool
) -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        async with connected(address) as client:
            body = CHAT if "chat" in path else {"model": "stuck", "prompt": "hi"}
            client.post(path, body | {"stream": stream})
            opened = await fleet.opened()
        await fleet.until(lambda: fleet.cancelled == [opened.call])


@pytest.mark.asyncio
async def test_a_client_that_goes_away_in_the_middle_of_a_stream_cancels_its_request() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        async with connected(address) as client:
            client.post("/v1/chat/completions", CHAT | {"stream": True})
            opened = await fleet.opened()
            opened.say(*CODEC.encode("a", adds_special=False))
            assert b'"content":"a"' in await client.until(b'"content":"a"')
        await fleet.until(lambda: fleet.cancelled == [opened.call])


@pytest.mark.asyncio
async def test_a_client_that_goes_away_cancels_every_prompt_of_its_request() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        async with connected(address) as client:
            client.post("/v1/completions", {"model": "stuck", "prompt": ["a", "b", "c"], "stream": True})
            (await fleet.opened(3)).say(*CODEC.encode("a", adds_special=False))
            await client.until(b'"text":"a"')
        await fleet.until(lambda: len(fleet.cancelled) == 3)


@pytest.mark.asyncio
async def test_openais_client_cancels_by_leaving_its_stream() -> None:
    fleet = story_fleet()
    async with (
        serving(fleet) as address,
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client,
    ):
        asking = asyncio.ensure_future(client.chat.completions.create(**CHAT, stream=True))
        opened = await fleet.opened()
        opened.say(*CODEC.encode("a", adds_special=False))
        async with await asking as stream:
            async for _ in stream:
                break
        await fleet.until(lambda: fleet.cancelled == [opened.call])


@pytest.mark.asyncio
async def test_a_client_that_goes_away_cancels_its_embedding() -> None:
    fleet = EchoFleet([EMBEDDING], stuck=frozenset({"embedder"}))
    async with serving(fleet) as address, asyncio.timeout(TIMEOUT_S):
        async with connected(address) as client:
            client.post("/v1/embeddings", {"model": "embedder", "input": "a"})
            while not fleet.in_flight:
                await fleet.changed.wait()
        while fleet.in_flight:
            await fleet.changed.wait()


@pytest.mark.asyncio
async def test_an_embedding_that_takes_longer_than_the_client_waits_is_given_up() -> None:
    fleet = EchoFleet([EMBEDDING], stuck=frozenset({"embedder"}))
    async with serving(fleet) as address, connected(address) as client:
        client.post(
            "/v1/embeddings", {"model": "embedder", "input": ["a", "b", "c"]}, x_statmux_timeout_ms="1"
        )
        status, headers = await client.head()
    assert (status, headers["x-should-retry"]) == (504, "false")
    assert fleet.in_flight == []


@pytest.mark.asyncio
async def test_a_stream_is_server_sent_events_to_the_byte() -> None:
    async with serving(story_fleet()) as address, connected(address) as client:
        prompt = {"model": "mirror", "prompt": "é", "stream": True}
        client.post("/v1/completions", prompt, connection="close", x_request_id="r-7")
        status, headers = await client.head()
        raw = await client.rest()
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert (headers["x-request-id"], headers["cache-control"]) == ("r-7", "no-cache")
    assert "content-length" not in headers
    events = [line for line in raw.split(b"\r\n") if line.startswith(b"data: ")]
    assert all(event.endswith(b"\n\n") for event in events)
    assert events[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "é"
    assert {chunk["id"] for chunk in chunks} == {"cmpl-r-7"}


@pytest.mark.asyncio
async def test_an_error_after_the_first_byte_is_the_last_event() -> None:
    async with serving(story_fleet()) as address, connected(address) as client:
        body = CHAT | {"model": "broken-off", "stream": True}
        client.post("/v1/chat/completions", body, connection="close")
        assert (await client.head())[0] == 200
        raw = await client.rest()
    last = [line for line in raw.split(b"\r\n") if line.startswith(b"data: ")][-1]
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "failed")
    assert b"[DONE]" not in raw


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"", "empty"),
        (b"[1]", "not a JSON object"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "nests more than 64 deep"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(body: bytes, words: str) -> None:
    async with serving(story_fleet()) as address, connected(address) as client:
        head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        client.writer.write(head.encode() + body)
        assert words in (await client.body())["error"]["message"]


@pytest.mark.asyncio
async def test_a_body_beyond_the_limit_is_refused_before_it_is_whole() -> None:
    fleet = story_fleet()
    async with serving(fleet, max_body_bytes=1000) as address, connected(address) as client:
        client.writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n")
        client.writer.write(b"x" * 2000)
        status, headers = await client.head()
    assert (status, headers["connection"]) == (413, "close")
    assert fleet.calls == []


@pytest.mark.asyncio
async def test_headers_beyond_the_limit_end_the_connection() -> None:
    async with serving(story_fleet()) as address, connected(address) as client:
        client.writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n")
        client.writer.write(b"".join(b"x-%d: %s\r\n" % (index, b"a" * 1000) for index in range(70)))
        # What it had not read when it closed may reset the connection before the 400 is read.
        with suppress(ConnectionResetError, asyncio.IncompleteReadError):
            assert (await client.head())[0] == 400


@pytest.mark.asyncio
async def test_health_models_and_version() -> None:
    fleet = story_fleet()
    async with (
        serving(fleet) as address,
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
        connected(address) as raw,
    ):
        listed = {model.id: model async for model in client.models.list()}
        assert listed.keys() == fleet.models().keys()
        assert (listed["chat"].object, listed["chat"].max_model_len) == ("model", 512)
        assert (await client.models.retrieve("chat")).id == "chat"
        with pytest.raises(openai.NotFoundError, match="did you mean 'chat'"):
            await client.models.retrieve("chatt")
        for path in ("/livez", "/readyz", "/health"):
            raw.get(path)
            assert await raw.body() == {"status": "ok"}
        raw.get("/version")
        assert (await raw.body())["name"] == "statmux"
        fleet.is_draining = True
        raw.get("/readyz")
        assert (await raw.body())["models"] == {"absent": "its groups are not open"}
        raw.get("/livez")
        assert (await raw.body()) == {"status": "ok"}


@pytest.mark.asyncio
async def test_unknown_paths_and_methods_have_error_bodies_too() -> None:
    async with serving(story_fleet()) as address, connected(address) as client:
        client.get("/v1/nothing")
        assert "is no path" in (await client.body())["error"]["message"]
        client.get("/v1/completions")
        status, headers = await client.head()
        assert (status, headers["allow"]) == (405, "POST")


@pytest.mark.asyncio
async def test_a_token_is_asked_for_except_of_probes(tmp_path: Path) -> None:
    security = Security(auth="token", tokens=(TokenSpec("team", tenant="team-a", secret_env="SECRET"),))
    tenants = tenants_of(security, folder=str(tmp_path), environment={"SECRET": "s3cret"})
    fleet = story_fleet()
    async with serving(fleet, tenants=tenants) as address, connected(address) as raw:
        for key, is_known in (("s3cret", True), ("guess", False)):
            async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=key) as client:
                ask = client.completions.create(model="mirror", prompt="ab")
                if is_known:
                    assert (await ask).choices[0].text == "ba"
                else:
                    with pytest.raises(openai.AuthenticationError) as caught:
                        await ask
                    assert caught.value.response.headers["www-authenticate"] == "Bearer"
                    assert caught.value.body["type"] == "authentication_error"
        raw.get("/readyz")
        assert await raw.body() == {"status": "ok"}
    assert [call.tenant for call in fleet.calls] == ["team-a"]


@pytest.mark.asyncio
async def test_a_port_in_use_is_told_as_such() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        port = int(address.rsplit(":", 1)[1])
        with pytest.raises(PortInUse, match=f"another process listens on 127.0.0.1:{port}") as caught:
            await start_http(fleet, {}, port=port)
        assert "endpoints.http.port" in caught.value.hint
    with pytest.raises(RuntimeFailure, match="cannot listen"):
        await start_http(fleet, {}, host="203.0.113.1", port=0)


@pytest.mark.asyncio
async def test_no_signal_is_caught() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    async with serving(story_fleet()):
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.asyncio
async def test_a_server_that_stops_lets_open_answers_finish() -> None:
    fleet = story_fleet()
    running = await start_http(fleet, story_texts(), port=0)
    async with connected(f"http://127.0.0.1:{running.port}") as client:
        client.post("/v1/chat/completions", CHAT)
        opened = await fleet.opened()
        stopping = asyncio.create_task(running.stop(TIMEOUT_S))
        await asyncio.sleep(0)
        opened.say(*CODEC.encode("done", adds_special=False))
        opened.end("stop")
        assert (await client.body())["choices"][0]["message"]["content"] == "done"
        await stopping
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", running.port)


@pytest.mark.asyncio
@pytest.mark.parametrize("has_begun", [False, True])
async def test_what_does_not_finish_in_time_ends_in_words(has_begun: bool) -> None:
    fleet = story_fleet()
    running = await start_http(fleet, story_texts(), port=0)
    async with connected(f"http://127.0.0.1:{running.port}") as client:
        client.post("/v1/chat/completions", CHAT | {"stream": True})
        opened = await fleet.opened()
        if has_begun:
            opened.say(*CODEC.encode("a", adds_special=False))
            await client.until(b'"content":"a"')
        await running.stop(0.0)
        raw = await client.rest()
    assert b"the server is shutting down" in raw
    assert raw.startswith(b"HTTP/1.1 503") is not has_begun
    assert fleet.cancelled == [opened.call]
    await running.stop(0.0)  # a second time is none
