"""The Python client against an endpoint in the same process: answers, typed errors, both flavours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from controller.grpc_v2.server import start_grpc
from controller.tenants import tenants_of
from statmux.client import (
    AsyncClient,
    Client,
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Rejected,
    Unavailable,
)
from tests.controller.grpc_fleet import EVERY_TYPE, serving, story_fleet
from vocabulary.errors import InvalidInput
from vocabulary.numpy_tensors import NUMPY_TYPES
from vocabulary.security import Security, TokenSpec
from vocabulary.tensors import TensorSpec

X = np.arange(8, dtype=np.float32).reshape(2, 4)
NOBODY = "127.0.0.1:1"  # a port that no process listens on


async def with_client(story: Callable[[Client], None]) -> None:
    """Run `story` with a blocking client in a thread; the endpoint has the loop."""
    async with serving(story_fleet()) as address:
        with Client(address) as client:
            await asyncio.to_thread(story, client)


@pytest.mark.asyncio
async def test_answer_carries_outputs_and_who_worked() -> None:
    def story(client: Client) -> None:
        result = client.infer("echo", {"x": X}, request_id="7")
        assert np.array_equal(result.outputs["x"], X)
        assert (result.model, result.version, result.request_id, result.group) == ("echo", "1", "7", "echo")
        assert result.queue_s == 0.0

    await with_client(story)


@pytest.mark.asyncio
async def test_lists_take_the_datatypes_of_the_model() -> None:
    def story(client: Client) -> None:
        assert client.infer("echo", {"x": [[1, 2, 3, 4]]}).outputs["x"].dtype == np.float32
        assert client.infer("text", {"text": ["a", "ü"]}).outputs["text"].tolist() == [b"a", "ü".encode()]
        with pytest.raises(InvalidInput, match="'x'"):
            client.infer("echo", {"x": [["a", "b", "c", "d"]]})

    await with_client(story)


@pytest.mark.asyncio
async def test_every_datatype_comes_back() -> None:
    inputs = {name: np.array([0, 1]).astype(dtype) for name, dtype in NUMPY_TYPES.items()}

    def story(client: Client) -> None:
        outputs = client.infer("every", inputs | {"BYTES": ["a", "b"], "BF16": [0.5, 2.0]}).outputs
        assert outputs.keys() == {spec.name for spec in EVERY_TYPE}
        assert all(np.array_equal(outputs[name], array) for name, array in inputs.items())
        assert outputs["BF16"].tolist() == [0.5, 2.0] and outputs["BYTES"].tolist() == [b"a", b"b"]

    await with_client(story)


@pytest.mark.asyncio
async def test_errors_are_typed_and_carry_reason_and_retry() -> None:
    def story(client: Client) -> None:
        late, busy = failure(client, "late", Rejected), failure(client, "busy", Rejected)
        assert (late.reason, late.retry_after_s) == ("SLO_INFEASIBLE", None)
        assert (busy.reason, busy.retry_after_s) == ("QUEUE_FULL", 0.25)
        assert "did you mean 'echo'" in failure(client, "ecko", NotFound).message
        assert "expected FP32 [-1, 4]" in failure(client, "echo", InvalidRequest, x=X[:, :2]).message
        failure(client, "stuck", DeadlineExceeded, timeout_s=0.1)
        client.unload("echo")
        assert failure(client, "echo", Unavailable).reason == "UNAVAILABLE"

    await with_client(story)


def failure(
    client: Client, model: str, kind: type[ClientError], *, x: np.ndarray = X, timeout_s: float = 10.0
) -> ClientError:
    with pytest.raises(kind) as caught:
        client.infer(model, {"x": x}, timeout_s=timeout_s)
    assert type(caught.value) is kind and caught.value.where == client.address
    return caught.value


@pytest.mark.asyncio
async def test_description_and_repository() -> None:
    def story(client: Client) -> None:
        assert client.is_live() and client.is_ready() and client.is_model_ready("echo")
        assert client.model_metadata("echo").inputs == (TensorSpec("x", "FP32", (-1, 4)),)
        client.unload("echo")
        assert not client.is_model_ready("echo")
        assert {entry.name: entry.state for entry in client.models()}["echo"] == "UNAVAILABLE"
        client.load("echo")
        assert client.is_model_ready("echo")
        with pytest.raises(NotFound):
            client.is_model_ready("nobody")

    await with_client(story)


def test_no_server_is_not_ready_and_unavailable() -> None:
    with Client(NOBODY) as client:
        assert not client.is_live() and not client.is_ready()
        failure(client, "echo", Unavailable)


@pytest.mark.asyncio
async def test_async_client_has_the_same_answers_and_errors() -> None:
    async with serving(story_fleet()) as address, AsyncClient(address) as client:
        results = await asyncio.gather(*(client.infer("echo", {"x": X + index}) for index in range(20)))
        assert all(np.array_equal(result.outputs["x"], X + index) for index, result in enumerate(results))
        assert (await client.infer("echo", {"x": [[1, 2, 3, 4]]})).outputs["x"].dtype == np.float32
        assert await client.is_live() and await client.is_ready()
        with pytest.raises(Rejected) as late:
            await client.infer("late", {"x": X}, slo_ms=100.0)
        assert late.value.reason == "SLO_INFEASIBLE"
        with pytest.raises(DeadlineExceeded):
            await client.infer("stuck", {"x": X}, timeout_s=0.1)
    async with AsyncClient(NOBODY) as client:
        assert not await client.is_ready()


@pytest.mark.asyncio
async def test_cancelled_call_of_the_async_client_frees_its_place() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, AsyncClient(address) as client:
        call = asyncio.create_task(client.infer("stuck", {"x": X}))
        while not fleet.in_flight:
            await fleet.changed.wait()
        call.cancel()
        while fleet.in_flight:
            await fleet.changed.wait()


@pytest.mark.asyncio
async def test_slo_and_priority_reach_the_fleet() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, AsyncClient(address) as client:
        call = asyncio.create_task(client.infer("stuck", {"x": X}, slo_ms=12.5, priority=1, timeout_s=9.0))
        while not fleet.in_flight:
            await fleet.changed.wait()
        seen = fleet.in_flight[0]
        assert (seen.slo_s, seen.priority) == (0.0125, 1) and 0.0 < seen.timeout_s < 10.0
        call.cancel()


@pytest.mark.asyncio
async def test_token_is_shown_with_every_call_and_its_lack_is_an_error_of_its_own() -> None:
    security = Security(auth="token", tokens=(TokenSpec("app", "app", secret_env="APP"),))
    tenants = tenants_of(security, folder=".", environment={"APP": "one"})

    def story(address: str) -> None:
        with Client(address) as stranger, Client(address, token="one") as client:
            assert stranger.is_live() and stranger.is_ready()
            failure(stranger, "echo", NotAllowed)
            assert np.array_equal(client.infer("echo", {"x": X}).outputs["x"], X)

    endpoint = await start_grpc(story_fleet(), port=0, tenants=tenants)
    address = f"127.0.0.1:{endpoint.port}"
    await asyncio.to_thread(story, address)
    async with AsyncClient(address, token="one") as client:
        assert (await client.models())[0].name == "echo"
    await endpoint.stop(0.0)
