"""What a token is for: scopes, models, and how much of its calls' own wishes counts; over every protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import openai
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from prometheus_client import CollectorRegistry

from controller.calls import Reason
from controller.grpc_v2.server import start_grpc
from controller.http import start_http
from controller.http.admin import admin_routes
from controller.http.v2 import v2_routes
from controller.security.metrics_endpoint import open_metrics
from controller.tenants import Tenants, tenants_of
from statmux.client import AsyncClient, NotAllowed, NotFound, Rejected
from tests.controller.http.story import story_fleet, story_texts
from tests.controller.scripted_fleet import ScriptedFleet
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.limits import DEFAULT_LIMITS, Limits
from vocabulary.security import Clamp, Security, TokenSpec

SECRETS = {"APP": "app-secret", "CHAT": "chat-secret", "OPS": "ops-secret", "SLOW": "slow-secret"}
TOKENS = (
    TokenSpec("app", "app", secret_env="APP"),
    TokenSpec("chat", "chat", secret_env="CHAT", models=("chat", "embedder")),
    TokenSpec("ops", "ops", secret_env="OPS", scopes=("admin",)),
    TokenSpec("slow", "slow", secret_env="SLOW", clamp=Clamp(min_slo_s=0.5, max_priority=3)),
)
MUTE = TokenSpec("mute", "mute", secret_env="SLOW", clamp=Clamp(may_set_slo=False))
TEXTS = np.array([b"hello"], dtype=object)


@dataclass(frozen=True, slots=True)
class Served:
    fleet: ScriptedFleet
    grpc: str
    http: str


def tenants(*tokens: TokenSpec) -> Tenants:
    return tenants_of(Security("token", tokens or TOKENS), folder=".", environment=SECRETS)


@asynccontextmanager
async def serving(
    known: Tenants, *, host: str = "127.0.0.1", limits: Limits = DEFAULT_LIMITS, verbs: Mapping[str, Any] = {}
) -> AsyncIterator[Served]:
    fleet = story_fleet()
    shared = {"host": host, "port": 0, "tenants": known, "limits": limits}
    over_grpc = await start_grpc(fleet, texts=story_texts(), **shared)
    over_http = await start_http(
        fleet, story_texts(), routing=[v2_routes, admin_routes(lambda: verbs)], **shared
    )
    try:
        yield Served(fleet, f"127.0.0.1:{over_grpc.port}", f"http://127.0.0.1:{over_http.port}")
    finally:
        await over_http.stop(0.0)
        await over_grpc.stop(0.0)


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRETS[name.upper()]}"}


@pytest.mark.asyncio
async def test_over_grpc_loading_is_for_admins_and_inference_for_others() -> None:
    async with serving(tenants()) as served:
        async with AsyncClient(served.grpc, token=SECRETS["APP"]) as app:
            assert (await app.infer("embedder", {"text_input": TEXTS})).model == "embedder"
            for change in (app.load, app.unload):
                with pytest.raises(NotAllowed, match="token app has not the scope admin") as caught:
                    await change("embedder")
                assert caught.value.reason == Reason.PERMISSION_DENIED.name
        async with AsyncClient(served.grpc, token=SECRETS["OPS"]) as ops:
            await ops.load("embedder")
            assert await ops.is_model_ready("embedder")
            with pytest.raises(NotAllowed, match="token ops has not the scope infer"):
                await ops.infer("embedder", {"text_input": TEXTS})
        for token in (None, "nobody's"):
            async with AsyncClient(served.grpc, token=token) as nobody:
                assert await nobody.is_live() and await nobody.is_ready()
                with pytest.raises(NotAllowed) as caught:
                    await nobody.models()
                assert caught.value.reason == Reason.UNAUTHENTICATED.name


@pytest.mark.asyncio
async def test_a_stream_over_grpc_needs_the_scope_and_sees_the_tokens_models() -> None:
    async with serving(tenants()) as served:
        for name, words in (("ops", "scope infer"), ("chat", "unknown model 'mirror'"), ("app", "")):
            async with triton_aio.InferenceServerClient(served.grpc) as client:
                answers = client.stream_infer(_one(_text_request("mirror")), headers=bearer(name))
                if name == "ops":
                    with pytest.raises(grpc.aio.AioRpcError, match=words):
                        await anext(answers)
                    continue
                _, error = await anext(answers)
                assert (words in str(error)) if words else error is None


@pytest.mark.asyncio
async def test_models_that_a_token_is_not_for_are_not_there() -> None:
    async with serving(tenants()) as served:
        async with AsyncClient(served.grpc, token=SECRETS["CHAT"]) as ours:
            assert {entry.name for entry in await ours.models()} == {"chat", "embedder"}
            for ask in (ours.model_metadata("mirror"), ours.is_model_ready("mirror")):
                with pytest.raises(NotFound, match=r"unknown model 'mirror'; known models: chat, embedder$"):
                    await ask
        async with httpx2.AsyncClient(base_url=served.http, headers=bearer("chat")) as rest:
            assert [one["id"] for one in (await rest.get("/v1/models")).json()["data"]] == [
                "chat",
                "embedder",
            ]
            index = (await rest.post("/v2/repository/index")).json()
            assert [one["name"] for one in index] == ["chat", "embedder"]
            stats = (await rest.get("/v2/models/stats")).json()["model_stats"]
            assert [one["name"] for one in stats] == ["chat", "embedder"]
            for path in ("/v1/models/mirror", "/v2/models/mirror", "/v2/models/mirror/stats"):
                told = await rest.get(path)
                assert told.status_code == 404 and "known models: chat, embedder" in told.text, told.text
            generated = await rest.post("/v2/models/mirror/generate", json={"text_input": "a"})
            assert generated.status_code == 404
        async with openai.AsyncOpenAI(base_url=f"{served.http}/v1", api_key=SECRETS["CHAT"]) as client:
            assert (await client.completions.create(model="chat", prompt="a")).choices[0].text
            for stream in (False, True):
                with pytest.raises(openai.NotFoundError, match="known models: chat, embedder"):
                    await client.completions.create(model="mirror", prompt="a", stream=stream)
        assert {call.model for call in served.fleet.calls} == {"chat"}


@pytest.mark.asyncio
async def test_over_http_scopes_hold_on_every_route() -> None:
    asks = (
        ("POST", "/v1/completions", {"model": "chat", "prompt": "a"}, "app"),
        (
            "POST",
            "/v1/chat/completions",
            {"model": "chat", "messages": [{"role": "user", "content": "a"}]},
            "app",
        ),
        ("POST", "/v1/embeddings", {"model": "embedder", "input": "a"}, "app"),
        ("POST", "/v2/models/chat/generate", {"text_input": "a"}, "app"),
        ("POST", "/v2/models/chat/generate_stream", {"text_input": "a"}, "app"),
        ("POST", "/v2/models/embedder/infer", _v2_body(), "app"),
        ("POST", "/v2/repository/models/chat/load", {}, "ops"),
        ("POST", "/v2/repository/models/chat/unload", {}, "ops"),
        ("GET", "/admin/v1/status", None, "ops"),
        ("POST", "/admin/v1/drain", {"target": "g0"}, "ops"),
    )
    async with serving(tenants()) as served, httpx2.AsyncClient(base_url=served.http) as rest:
        for method, path, body, allowed in asks:
            other = "ops" if allowed == "app" else "app"
            assert (await rest.request(method, path, json=body)).status_code == 401, path
            refused = await rest.request(method, path, json=body, headers=bearer(other))
            assert refused.status_code == 403 and "has not the scope" in refused.text, path
            given = await rest.request(method, path, json=body, headers=bearer(allowed))
            assert given.status_code not in (401, 403, 404), (path, given.text)
        with pytest.raises(openai.PermissionDeniedError, match="has not the scope infer"):
            async with openai.AsyncOpenAI(base_url=f"{served.http}/v1", api_key=SECRETS["OPS"]) as client:
                await client.completions.create(model="chat", prompt="a")
        for path in ("/livez", "/readyz", "/health", "/version", "/v2/health/live", "/v2/health/ready"):
            assert (await rest.get(path)).status_code == 200, path


@pytest.mark.asyncio
async def test_who_has_no_token_does_not_learn_names_from_readiness() -> None:
    async with serving(tenants()) as served, httpx2.AsyncClient(base_url=served.http) as rest:
        served.fleet.is_draining = True
        told = await rest.get("/readyz")
        assert (told.status_code, told.json()) == (503, {"status": "not ready"})


@pytest.mark.asyncio
async def test_wishes_of_a_call_count_as_much_as_its_token_says() -> None:
    headers = {"x-llm-d-slo-ttft-ms": "10", "x-llm-d-slo-tpot-ms": "5", "x-statmux-slo-latency-ms": "900"}
    body = {"model": "chat", "prompt": "a", "priority": 1}
    for known, name, expected in (
        (tenants(), "app", (0.9, 0.01, 0.005, 1)),
        (tenants(), "slow", (0.9, 0.5, 0.005, 3)),
        (tenants(MUTE), "slow", (None, None, None, 1)),
    ):
        async with serving(known) as served, httpx2.AsyncClient(base_url=served.http) as rest:
            answer = await rest.post("/v1/completions", json=body, headers=headers | bearer(name))
            assert answer.status_code == 200
            (call,) = served.fleet.calls
            assert (call.slo_s, call.ttft_s, call.tpot_s, call.priority) == expected
            async with AsyncClient(served.grpc, token=SECRETS[name.upper()]) as client:
                await client.infer("embedder", {"text_input": TEXTS}, slo_ms=100, priority=2)
            (one_shot,) = served.fleet.one_shot
            assert one_shot.slo_s == {"app": 0.1, "slow": 0.5}.get(name if expected[0] else "")
            assert one_shot.priority == (3 if expected[3] == 3 else 2)


@pytest.mark.asyncio
async def test_admin_routes_answer_with_the_verbs_of_the_control_socket() -> None:
    asked: list[Mapping[str, Any]] = []

    async def status(request: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"state": "ready"}

    async def drain(request: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(request)
        if request["target"] == "nowhere":
            raise InvalidInput("no node or group 'nowhere'", hint="see status")
        raise Infeasible("two models would have no place")

    verbs = {"status": status, "drain": drain, "load": status, "stop": status}
    async with (
        serving(tenants(), verbs=verbs) as served,
        httpx2.AsyncClient(base_url=f"{served.http}/admin/v1", headers=bearer("ops")) as rest,
    ):
        assert (await rest.get("/status?watch=1")).json() == {"state": "ready"}
        assert (await rest.post("/models/chat/load")).status_code == 200
        assert asked == [{"watch": "1", "verb": "status"}, {"model": "chat", "verb": "load"}]
        told = await rest.post("/drain", json={"target": "nowhere"})
        assert told.status_code == 400 and told.json()["error"]["code"] == "InvalidInput"
        assert "no node or group 'nowhere' (see status)" in told.text
        assert (await rest.post("/drain", json={"target": "g0"})).status_code == 409
        assert (await rest.post("/drain", json={})).status_code == 400
        assert (await rest.post("/drain", json=[1])).status_code == 400
        assert (await rest.get("/plan")).status_code == 503, "the fleet has no such verb yet"
        for path in ("/stop", "/apply", "/nothing"):
            assert (await rest.post(path, json={})).status_code == 404, path


@pytest.mark.asyncio
@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("0.0.0.0", 403)])
async def test_without_tokens_looking_after_a_fleet_is_for_its_own_machine(host: str, status: int) -> None:
    async def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    everybody = tenants_of(Security(), folder=".", environment={})
    async with (
        serving(everybody, host=host, verbs={"status": answer}) as served,
        httpx2.AsyncClient(base_url=served.http) as rest,
        AsyncClient(served.grpc) as client,
    ):
        assert (await rest.get("/admin/v1/status")).status_code == status
        assert (await rest.post("/v2/repository/models/chat/load")).status_code == status
        assert (await rest.post("/v1/completions", json={"model": "chat", "prompt": "a"})).status_code == 200
        if status == 200:
            await client.load("chat")
        else:
            with pytest.raises(NotAllowed, match="from other machines this call needs a token"):
                await client.load("chat")


@pytest.mark.asyncio
async def test_a_tenant_has_so_many_open_requests_and_leaves_room_for_others() -> None:
    limits = Limits(max_tenant_requests=2)
    async with serving(tenants(), limits=limits) as served, asyncio.TaskGroup() as tasks:
        app = openai.AsyncOpenAI(base_url=f"{served.http}/v1", api_key=SECRETS["APP"], max_retries=0)
        held = [
            tasks.create_task(app.completions.create(model="stuck", prompt="a", max_tokens=1))
            for _ in range(2)
        ]
        await served.fleet.opened(2)
        with pytest.raises(openai.RateLimitError, match="tenant 'app' has 2 requests open here"):
            await app.completions.create(model="chat", prompt="a")
        slow = openai.AsyncOpenAI(base_url=f"{served.http}/v1", api_key=SECRETS["SLOW"], max_retries=0)
        assert (await slow.completions.create(model="chat", prompt="a")).choices
        for answer in served.fleet.open:
            answer.end()
        await asyncio.gather(*held)
        assert (await app.completions.create(model="chat", prompt="a")).choices, "places come back"
        await app.close()
        await slow.close()


@pytest.mark.asyncio
async def test_a_tenants_places_are_counted_over_grpc_too() -> None:
    async with (
        serving(tenants(), limits=Limits(max_tenant_requests=1)) as served,
        AsyncClient(served.grpc, token=SECRETS["APP"]) as client,
        asyncio.TaskGroup() as tasks,
    ):
        text = {"text_input": TEXTS}
        held = tasks.create_task(client.infer("stuck", text))
        opened = await served.fleet.opened()
        for model in ("embedder", "chat"):
            with pytest.raises(Rejected, match="tenant 'app' has 1 requests open here") as caught:
                await client.infer(model, text)
            assert caught.value.reason == Reason.QUEUE_FULL.name
        opened.end()
        await held
        assert (await client.infer("embedder", text)).outputs


@pytest.mark.parametrize(("host", "names"), [("127.0.0.1", "app ops slow"), ("0.0.0.0", "ops")])
def test_metrics_beyond_this_machine_are_for_scrapers_with_a_token(host: str, names: str) -> None:
    running = open_metrics(CollectorRegistry(), host=host, port=0, tenants=tenants())
    try:
        for name in ("app", "ops", "slow"):
            told = httpx2.get(f"http://127.0.0.1:{running.port}/metrics", headers=bearer(name))
            assert (told.status_code == 200) == (name in names), name
        without = httpx2.get(f"http://127.0.0.1:{running.port}/metrics")
        assert without.status_code == (200 if host == "127.0.0.1" else 401)
    finally:
        running.close()


def test_a_secret_in_a_file_that_changes_counts_within_a_second(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "secret"
    path.write_text("old\n")
    token = TokenSpec("app", "app", secret_file="secret")
    known = tenants_of(Security("token", (token,)), folder=str(tmp_path), environment={})
    known._clock = lambda: now[0]
    known._look_s = 1.0
    path.write_text("newer\n")
    assert known.of({"authorization": "Bearer old"}.get) == "app", "looked at not long ago"
    now[0] = 2.0
    assert known.of({"authorization": "Bearer newer"}.get) == "app"
    assert known.of({"authorization": "Bearer old"}.get).reason is Reason.UNAUTHENTICATED
    path.unlink()
    now[0] = 4.0
    assert known.of({"authorization": "Bearer newer"}.get) == "app", "a file that is gone changes nothing"
    assert not known.read_again()


def _v2_body() -> dict[str, Any]:
    return {"inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}


def _text_request(model: str) -> dict[str, Any]:
    tensor = triton.InferInput("text_input", [1], "BYTES")
    tensor.set_data_from_numpy(TEXTS)
    return {"model_name": model, "inputs": [tensor]}


async def _one(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request
