"""v2 over REST seen from a plain HTTP client: bodies, statuses, tokens, text, who leaves."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from controller.fleet import Fleet
from controller.http.server import start_http
from controller.http.v2 import v2_routes
from controller.tenants import ONE_TENANT, Tenants, tenants_of
from tests.controller import grpc_fleet
from tests.controller.http.story import story_fleet, story_texts
from vocabulary.security import Security, TokenSpec

HELLO = "Hello, wörld! 😀"
ROW = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
LENGTH = "inference-header-content-length"


@asynccontextmanager
async def client_of(fleet: Fleet, *, tenants: Tenants = ONE_TENANT) -> AsyncIterator[httpx.AsyncClient]:
    running = await start_http(fleet, story_texts(), port=0, tenants=tenants, routing=[v2_routes])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=10.0) as client:
        yield client
    await running.stop(0.0)


async def infer(
    client: httpx.AsyncClient, *inputs: dict, model: str = "echo", **body: object
) -> httpx.Response:
    return await client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **body})


def events_of(text: str) -> list[dict]:
    return [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n") if event]


@pytest.mark.asyncio
async def test_tensors_come_and_go_as_json_flat_or_nested() -> None:
    async with client_of(grpc_fleet.story_fleet()) as client:
        flat = await infer(client, ROW, id="7")
        nested = await infer(client, ROW | {"data": [[1, 2, 3, 4]]})
        words = {"name": "text", "shape": [3], "datatype": "BYTES", "data": ["a\x00", "", "ü"]}
        said = await infer(client, words, model="text")
    assert flat.status_code == 200 and flat.json()["id"] == "7"
    (output,) = flat.json()["outputs"]
    assert output == {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}
    assert flat.json()["parameters"]["statmux_group"] == "echo"
    assert nested.json()["outputs"] == flat.json()["outputs"] and "id" not in nested.json()
    assert said.json()["outputs"][0]["data"] == ["a\x00", "", "ü"]


@pytest.mark.asyncio
async def test_binary_tensors_follow_the_json_that_describes_them() -> None:
    raw = struct.pack("<4f", 1, 2, 3, 4)
    described = {key: ROW[key] for key in ("name", "shape", "datatype")} | {
        "parameters": {"binary_data_size": 16}
    }
    head = json.dumps(
        {"inputs": [described], "outputs": [{"name": "x", "parameters": {"binary_data": True}}]}
    )
    async with client_of(grpc_fleet.story_fleet()) as client:
        reply = await client.post(
            "/v2/models/echo/infer", content=head.encode() + raw, headers={LENGTH: str(len(head))}
        )
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers[LENGTH])
    assert reply.content[length:] == raw
    assert json.loads(reply.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 16}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"", {}, "is not an inference request"),
        (b"[1]", {}, "Expected `object`, got `array`"),
        (b'{"inputs": [], "input": 1}', {}, "unknown field `input`"),
        (b'{"inputs": [{"name": 1, "shape": [1], "datatype": "FP32"}]}', {}, "$.inputs[0].name"),
        (b'{"inputs": [], "parameters": {"a": [1]}}', {}, "$.parameters[...]"),
        ({"inputs": [ROW | {"datatype": "FP31"}]}, {}, "unknown datatype 'FP31'; it is one of BOOL"),
        ({"inputs": [ROW | {"data": [1, 2, 3]}]}, {}, "input 'x': shape [1, 4] takes 4 elements, got 3"),
        ({"inputs": [ROW | {"data": [[1, 2], [3]]}]}, {}, "input 'x'"),
        ({"inputs": [ROW | {"data": ["1", "2", "3", "4"]}]}, {}, "strings cannot become FP32"),
        ({"inputs": [ROW | {"datatype": "INT8", "data": [1, 2, 3, 400]}]}, {}, "values do not fit INT8"),
        ({"inputs": [ROW | {"data": None}]}, {}, "send data, a list"),
        ({"inputs": [ROW | {"shape": [2**70, 4]}]}, {}, "out of range"),
        ({"inputs": [ROW], "parameters": {"a": 2**70}}, {}, "parameter 'a'"),
        ({"inputs": [ROW | {"parameters": {"binary_data_size": 16}}]}, {}, "0 of 0 binary bytes are left"),
        ({"inputs": [ROW]}, {LENGTH: "9999"}, "expected a number up to"),
        ({"inputs": [ROW]}, {LENGTH: "-1"}, "expected a number up to"),
        (b'{"inputs": []}xx', {LENGTH: "14"}, "2 binary bytes follow the JSON, and the inputs take 0"),
        (
            {"inputs": [ROW | {"shape": [1, 3], "data": [1, 2, 3]}]},
            {},
            "expected FP32 [-1, 4], got FP32 [1, 3]",
        ),
        ({"inputs": [ROW]}, {"x-statmux-slo-latency-ms": "soon"}, "header x-statmux-slo-latency-ms"),
    ],
)
async def test_what_is_wrong_with_a_body_is_told(body: bytes | dict, headers: dict, words: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client_of(grpc_fleet.story_fleet()) as client:
        reply = await client.post("/v2/models/echo/infer", content=content, headers=headers)
        assert (await infer(client, ROW)).status_code == 200, "the server goes on"
    assert reply.status_code == 400 and words in reply.json()["error"], reply.text


@pytest.mark.asyncio
async def test_version_may_be_in_the_path() -> None:
    async with client_of(grpc_fleet.story_fleet()) as client:
        for version, status in (("1", 200), ("9", 404)):
            path = f"/v2/models/echo/versions/{version}"
            assert (await client.get(path)).status_code == status
            assert (await client.post(f"{path}/infer", json={"inputs": [ROW]})).status_code == status
        assert (await client.get("/v2/models/echo/versions/9/ready")).status_code == 503


@pytest.mark.asyncio
async def test_refusals_have_their_status_and_say_whether_to_retry() -> None:
    async with client_of(grpc_fleet.story_fleet()) as client:
        late, busy = await infer(client, ROW, model="late"), await infer(client, ROW, model="busy")
        unknown = await infer(client, ROW, model="ecko")
        nowhere, wrong = await client.get("/v2/model/echo"), await client.get("/v2/models/echo/infer")
    assert late.status_code == busy.status_code == 429
    assert late.headers["x-should-retry"] == "false" and "retry-after" not in late.headers
    assert busy.headers["retry-after-ms"] == "250" and busy.headers["retry-after"] == "1"
    assert unknown.status_code == 404 and "did you mean 'echo'" in unknown.json()["error"]
    assert nowhere.status_code == wrong.status_code == 404
    assert "no path of the v2 protocol" in nowhere.json()["error"]


@pytest.mark.asyncio
async def test_fleet_that_drains_is_live_and_not_ready() -> None:
    fleet = grpc_fleet.story_fleet()
    async with client_of(fleet) as client:
        before = await client.get("/v2/health/ready")
        fleet.drain()
        after, live = await client.get("/v2/health/ready"), await client.get("/v2/health/live")
    assert (before.status_code, before.json()) == (200, {"ready": True})
    assert (after.status_code, after.json()) == (503, {"ready": False})
    assert (live.status_code, live.json()) == (200, {"live": True})


@pytest.mark.asyncio
async def test_headers_say_what_parameters_do_not_and_who_leaves_frees_his_place() -> None:
    fleet = grpc_fleet.story_fleet()
    headers = {"x-statmux-slo-latency-ms": "250", "x-statmux-timeout-ms": "9000"}
    async with client_of(fleet) as client:
        body = json.dumps({"inputs": [ROW], "parameters": {"priority": 1, "session_id": "s"}})
        asking = asyncio.create_task(client.post("/v2/models/stuck/infer", content=body, headers=headers))
        while not fleet.in_flight:
            await fleet.changed.wait()
        (call,) = fleet.in_flight
        asking.cancel()
        while fleet.in_flight:
            await fleet.changed.wait()
    assert (call.slo_s, call.timeout_s, call.priority, call.protocol) == (0.25, 9.0, 1, "http_v2")
    assert call.parameters["session_id"] == "s"


@pytest.mark.asyncio
async def test_every_path_but_health_asks_for_a_token() -> None:
    security = Security(auth="token", tokens=(TokenSpec("app", "search", secret_env="APP"),))
    tenants = tenants_of(security, folder=".", environment={"APP": "one"})
    fleet = story_fleet()
    paths = ("/v2", "/v2/models/chat", "/v2/models/chat/ready", "/v2/models/stats", "/v2/nowhere")
    async with client_of(fleet, tenants=tenants) as client:
        for path in paths:
            refused = await client.get(path)
            assert refused.status_code == 401 and "token" in refused.json()["error"], path
            assert refused.headers["www-authenticate"] == "Bearer"
        for rest in ("models/chat/generate", "repository/index", "repository/models/chat/unload"):
            assert (await client.post(f"/v2/{rest}", json={"text_input": "hi"})).status_code == 401
        assert (await client.get("/v2/health/live")).status_code == 200
        assert (await client.get("/v2/health/ready")).status_code == 200
        client.headers["authorization"] = "Bearer one"
        assert (await client.post("/v2/models/chat/generate", json={"text_input": "hi"})).status_code == 200
    assert [call.tenant for call in fleet.calls] == ["search"]


@pytest.mark.asyncio
async def test_text_comes_as_a_tensor() -> None:
    prompt = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["hi"]}
    async with client_of(story_fleet()) as client:
        reply = await infer(client, prompt, model="chat", outputs=[{"name": "text_output"}])
        streamed = await infer(client, prompt, model="chat", parameters={"stream": True})
        config = (await client.get("/v2/models/chat/config")).json()
    assert reply.json()["outputs"] == [
        {"name": "text_output", "datatype": "BYTES", "shape": [1], "data": [HELLO]}
    ]
    assert reply.json()["parameters"]["finish_reason"] == "stop"
    assert streamed.status_code == 400 and "'stream'" in streamed.json()["error"]
    assert config["model_transaction_policy"] == {"decoupled": True}


@pytest.mark.asyncio
async def test_generate_takes_and_gives_one_object() -> None:
    fleet = story_fleet()
    body = {
        "id": "7",
        "text_input": "hi",
        "max_tokens": 5,
        "parameters": {"temperature": 0, "stop": ["x", "y"]},
    }
    async with client_of(fleet) as client:
        reply = (await client.post("/v2/models/chat/generate", json=body)).json()
        tokens = (
            await client.post("/v2/models/tokens/generate", json={"input_ids": [1, 2], "logprobs": 1})
        ).json()
    assert (reply["id"], reply["text_output"], reply["finish_reason"]) == ("7", "Hello", "length")
    assert (reply["num_input_tokens"], reply["num_output_tokens"], reply["model_name"]) == (2, 5, "chat")
    assert fleet.calls[0].sampling.is_greedy and fleet.calls[0].protocol == "http_v2"
    assert fleet.calls[1].prompt_ids == (1, 2)
    assert len(tokens["output_ids"]) == len(tokens["top_ids"]) == 4 and len(tokens["top_ids"][0]) == 1


@pytest.mark.asyncio
async def test_generate_stream_sends_events_and_its_errors_as_events_once_it_has_begun() -> None:
    async with client_of(story_fleet()) as client:
        reply = await client.post("/v2/models/chat/generate_stream", json={"text_input": "hi"})
        broken = await client.post("/v2/models/broken-off/generate_stream", json={"text_input": "hi"})
        busy = await client.post("/v2/models/busy/generate_stream", json={"text_input": "hi"})
    events = events_of(reply.text)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "".join(event["text_output"] for event in events) == HELLO and len(events) > 3
    assert [event["triton_final_response"] for event in events] == [False] * (len(events) - 1) + [True]
    assert [event.get("text_output") for event in events_of(broken.text)] == ["H", "e", "l", None]
    assert "failed" in events_of(broken.text)[-1]["error"]
    assert busy.status_code == 429 and "64 requests wait" in busy.json()["error"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "body", "status", "words"),
    [
        ("chat", {"text_input": 1}, 400, "text_input is one string"),
        ("chat", {"input_ids": [1.5]}, 400, "input_ids is a list of token ids"),
        ("chat", {"text_input": "a", "temprature": 1}, 400, "did you mean 'temperature'"),
        ("chat", {"text_input": "a", "seed": 1, "parameters": {"seed": 2}}, 400, "'seed' is given twice"),
        ("chat", {"text_input": "a", "parameters": [1]}, 400, "are JSON objects"),
        ("chat", {"text_input": "a", "stream": True}, 400, "'stream'"),
        ("chat", [1], 400, "not a JSON object"),
        ("embedder", {"text_input": "a"}, 400, "does not generate"),
        ("nobody", {"text_input": "a"}, 404, "unknown model 'nobody'"),
    ],
)
async def test_what_is_wrong_with_generate_is_told(model: str, body: object, status: int, words: str) -> None:
    async with client_of(story_fleet()) as client:
        reply = await client.post(f"/v2/models/{model}/generate", json=body)
    assert reply.status_code == status and words in reply.json()["error"], reply.text


@pytest.mark.asyncio
async def test_client_that_leaves_a_stream_frees_its_pages() -> None:
    fleet = story_fleet()
    async with client_of(fleet) as client:
        asking = client.build_request("POST", "/v2/models/stuck/generate_stream", json={"text_input": "hi"})
        sending = asyncio.create_task(client.send(asking, stream=True))
        answer = await fleet.opened()
        answer.say(65)
        reply = await sending
        await reply.aclose()
        await fleet.until(lambda: fleet.cancelled == [answer.call])
