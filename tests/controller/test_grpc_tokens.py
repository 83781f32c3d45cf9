"""With tokens, every call over gRPC needs one, but for those that ask whether the server lives."""

from __future__ import annotations

import struct

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from controller.grpc_v2.echo_fleet import EchoFleet
from controller.grpc_v2.messages import SERVICE, ModelInferRequest, ModelStreamInferResponse, message_class
from controller.grpc_v2.server import start_grpc
from controller.tenants import tenants_of
from tests.controller.grpc_fleet import story_fleet
from vocabulary.security import Security, TokenSpec

TOKENS = (
    TokenSpec("app", "search", secret_env="APP"),
    TokenSpec("gate", "g", secret_env="G", is_trusted=True),
)
TENANTS = tenants_of(
    Security(auth="token", tokens=TOKENS), folder=".", environment={"APP": "one", "G": "two"}
)
APP, GATE = ("authorization", "Bearer one"), ("authorization", "Bearer two")
TIMEOUT_S = 10.0
GUARDED = (
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
)


def request(model: str) -> bytes:
    message = ModelInferRequest(model_name=model)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    message.raw_input_contents.append(struct.pack("<4f", 1, 2, 3, 4))
    return message.SerializeToString()


async def tenants_seen(fleet: EchoFleet, address: str, *calls: tuple[tuple[str, str], ...]) -> list[str]:
    """The tenants that the fleet sees of calls with these headers, which it does not answer."""
    async with aio.insecure_channel(address) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        open_calls = []
        for number, headers in enumerate(calls):
            open_calls.append(infer(request("stuck"), timeout=TIMEOUT_S, metadata=headers))
            while len(fleet.in_flight) <= number:
                await fleet.changed.wait()
        return [call.tenant for call in fleet.in_flight]


async def code_of(call: aio.UnaryUnaryCall) -> grpc.StatusCode:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code()


@pytest.mark.asyncio
async def test_every_rpc_but_liveness_readiness_and_health_asks_for_a_token() -> None:
    endpoint = await start_grpc(story_fleet(), port=0, tenants=TENANTS)
    async with aio.insecure_channel(f"127.0.0.1:{endpoint.port}") as channel:
        for rpc in (*GUARDED, "ModelInfer", "RepositoryModelLoad", "RepositoryModelUnload"):
            call = channel.unary_unary(f"/{SERVICE}/{rpc}")
            assert await code_of(call(b"", timeout=TIMEOUT_S)) is grpc.StatusCode.UNAUTHENTICATED, rpc
            wrong = call(b"", timeout=TIMEOUT_S, metadata=(("authorization", "Bearer three"),))
            assert await code_of(wrong) is grpc.StatusCode.UNAUTHENTICATED, rpc
        stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")()
        with pytest.raises(aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
        for rpc in ("ServerLive", "ServerReady"):
            response = message_class(f"{rpc}Response").FromString
            reply = await channel.unary_unary(f"/{SERVICE}/{rpc}", response_deserializer=response)(b"")
            assert reply.live if rpc == "ServerLive" else reply.ready
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
        )
        assert (await check(b"")).status == health_pb2.HealthCheckResponse.SERVING
    await endpoint.stop(0.0)


@pytest.mark.asyncio
async def test_call_with_a_token_is_answered_and_is_its_tenants() -> None:
    fleet = story_fleet()
    endpoint = await start_grpc(fleet, port=0, tenants=TENANTS)
    other = ("x-statmux-tenant", "other")
    seen = await tenants_seen(
        fleet, f"127.0.0.1:{endpoint.port}", (APP,), (APP, other), (GATE,), (GATE, other)
    )
    assert seen == ["search", "search", "g", "other"]
    async with aio.insecure_channel(f"127.0.0.1:{endpoint.port}") as channel:
        ready = message_class("ModelReadyRequest")(name="echo").SerializeToString()
        reply = await channel.unary_unary(f"/{SERVICE}/ModelReady")(ready, metadata=(APP,))
        assert message_class("ModelReadyResponse").FromString(reply).ready
        stream = channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer", response_deserializer=ModelStreamInferResponse.FromString
        )(metadata=(APP,))
        await stream.write(request("echo"))
        assert not (await stream.read()).error_message
    await endpoint.stop(0.0)


@pytest.mark.asyncio
async def test_without_tokens_the_header_names_the_tenant_only_if_the_file_trusts_it() -> None:
    for is_trusted, expected in ((False, ["", ""]), (True, ["", "other"])):
        fleet = story_fleet()
        known = tenants_of(Security(trust_tenant_header=is_trusted), folder=".", environment={})
        endpoint = await start_grpc(fleet, port=0, tenants=known)
        header = ("x-llm-d-inference-fairness-id", "other")
        assert await tenants_seen(fleet, f"127.0.0.1:{endpoint.port}", (), (header,)) == expected
        await endpoint.stop(0.0)
