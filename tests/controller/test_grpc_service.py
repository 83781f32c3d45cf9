"""The endpoint seen from a raw channel: places freed, deadlines, refusals in detail, start and stop."""

from __future__ import annotations

import asyncio
import struct

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from controller.calls import InferCall, Reason
from controller.grpc_v2.echo_fleet import EchoFleet
from controller.grpc_v2.messages import (
    SERVICE,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
    message_class,
)
from controller.grpc_v2.server import start_grpc
from controller.ports import PortInUse
from tests.controller.grpc_fleet import serving, story_fleet
from vocabulary.errors import RuntimeFailure

TIMEOUT_S = 10.0


def request(model: str, **fields: object) -> ModelInferRequest:
    message = ModelInferRequest(model_name=model, **fields)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    message.raw_input_contents.append(struct.pack("<4f", 1, 2, 3, 4))
    return message


def infer(channel: aio.Channel, message: object, *, timeout_s: float = TIMEOUT_S) -> aio.UnaryUnaryCall:
    stub = channel.unary_unary(f"/{SERVICE}/ModelInfer", response_deserializer=ModelInferResponse.FromString)
    return stub(message if isinstance(message, bytes) else message.SerializeToString(), timeout=timeout_s)


def stream(channel: aio.Channel) -> aio.StreamStreamCall:
    path = f"/{SERVICE}/ModelStreamInfer"
    return channel.stream_stream(path, response_deserializer=ModelStreamInferResponse.FromString)()


async def until(fleet: EchoFleet, *, num_in_flight: int) -> None:
    """Return when so many calls wait in the fleet; the fleet tells of every change."""
    async with asyncio.timeout(TIMEOUT_S):  # not wait_for: in its task, the waiting begins a turn later
        while len(fleet.in_flight) != num_in_flight:
            await fleet.changed.wait()


async def failure(call: aio.UnaryUnaryCall) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.asyncio
async def test_cancelled_request_frees_its_place() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, aio.insecure_channel(address) as channel:
        call = infer(channel, request("stuck"))
        await until(fleet, num_in_flight=1)
        call.cancel()
        await until(fleet, num_in_flight=0)


@pytest.mark.asyncio
async def test_disconnected_client_frees_all_its_places() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address:
        channel = aio.insecure_channel(address)
        calls = [infer(channel, request("stuck")) for _ in range(3)]
        conversation = stream(channel)
        await conversation.write(request("stuck").SerializeToString())
        await until(fleet, num_in_flight=4)
        await channel.close()
        await until(fleet, num_in_flight=0)
        assert all(call.done() for call in calls)


@pytest.mark.asyncio
async def test_fleet_sees_the_smaller_of_deadline_and_timeout_parameter() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, aio.insecure_channel(address) as channel:
        message = request("stuck", id="7")
        message.parameters["timeout"].int64_param = 20_000_000  # µs
        message.parameters["slo_ms"].double_param = 250.0
        message.parameters["priority"].int64_param = 1
        message.parameters["session_id"].string_param = "s"
        calls = [infer(channel, message, timeout_s=1000.0), infer(channel, message, timeout_s=10.0)]
        calls.append(infer(channel, request("stuck"), timeout_s=None))
        await until(fleet, num_in_flight=3)
        by_parameter, by_deadline, unbounded = sorted(fleet.in_flight, key=order_of_timeout)
        assert 10.0 < by_deadline.timeout_s == 20.0
        assert 5.0 < by_parameter.timeout_s < 11.0  # gRPC rounds deadlines up on the wire
        assert unbounded.timeout_s is None and unbounded.slo_s is None
        assert (by_deadline.request_id, by_deadline.slo_s, by_deadline.priority) == ("7", 0.25, 1)
        assert by_deadline.parameters["session_id"] == "s"
        for call in calls:
            call.cancel()
        await until(fleet, num_in_flight=0)


def order_of_timeout(call: InferCall) -> float:
    return float("inf") if call.timeout_s is None else call.timeout_s


@pytest.mark.asyncio
async def test_passed_deadline_ends_the_call_and_frees_its_place() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, aio.insecure_channel(address) as channel:
        by_grpc = await failure(infer(channel, request("stuck"), timeout_s=0.2))
        message = request("stuck")
        message.parameters["timeout"].int64_param = 100_000
        by_parameter = await failure(infer(channel, message))
        assert by_grpc.code() == by_parameter.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until(fleet, num_in_flight=0)


@pytest.mark.asyncio
async def test_refusal_carries_reason_and_retry_hint() -> None:
    async with serving(story_fleet()) as address, aio.insecure_channel(address) as channel:
        late, busy = (
            await failure(infer(channel, request("late"))),
            await failure(infer(channel, request("busy"))),
        )
    assert late.code() == busy.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(late) == ("SLO_INFEASIBLE", "statmux", None)
    assert details_of(busy) == ("QUEUE_FULL", "statmux", 0.25)
    assert dict(late.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"
    assert dict(busy.trailing_metadata())["grpc-retry-pushback-ms"] == "250"


def details_of(error: aio.AioRpcError) -> tuple[str, str, float | None]:
    info, retry, retry_after_s = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), None
    for detail in rpc_status.from_call(error).details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() * 1e-9
    return info.reason, info.domain, retry_after_s


@pytest.mark.asyncio
async def test_bytes_that_are_no_request_are_refused_and_the_server_goes_on() -> None:
    async with serving(story_fleet()) as address, aio.insecure_channel(address) as channel:
        for nonsense in (b"\xff\xff\xff", b"\x0a\x05ab", b"\x1a\x02\xff\xfe", b""):
            error = await failure(infer(channel, nonsense))
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), nonsense
        assert (await infer(channel, request("echo", id="1"))).id == "1"


@pytest.mark.asyncio
async def test_very_long_name_is_refused_with_a_short_message() -> None:
    async with serving(story_fleet()) as address, aio.insecure_channel(address) as channel:
        error = await failure(infer(channel, request("m" * 100_000)))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert len(error.details()) < 400


@pytest.mark.asyncio
async def test_message_over_the_limit_is_refused_by_its_size() -> None:
    endpoint = await start_grpc(story_fleet(), port=0, max_message_bytes=1000)
    async with aio.insecure_channel(f"127.0.0.1:{endpoint.port}") as channel:
        error = await failure(infer(channel, request("echo", id="x" * 2000)))
    await endpoint.stop(0.0)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "1000" in error.details()


class BrokenFleet:
    def __init__(self) -> None:
        self._fleet = story_fleet()
        self.changed, self.models, self.is_ready = (
            self._fleet.changed,
            self._fleet.models,
            self._fleet.is_ready,
        )

    def infer(self, call: InferCall) -> asyncio.Future[object]:
        raise ZeroDivisionError("the secret")


@pytest.mark.asyncio
async def test_bug_in_the_fleet_is_internal_and_keeps_its_text_to_itself() -> None:
    async with serving(BrokenFleet()) as address, aio.insecure_channel(address) as channel:
        error = await failure(infer(channel, request("echo")))
    assert error.code() == grpc.StatusCode.INTERNAL and "secret" not in error.details()
    assert details_of(error)[0] == Reason.FAILED.name


@pytest.mark.asyncio
async def test_stream_answers_in_order_and_ends_with_the_client() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, aio.insecure_channel(address) as channel:
        conversation = stream(channel)
        for index in range(200):  # more than may wait at a time
            await conversation.write(
                request("echo" if index % 3 else "late", id=str(index)).SerializeToString()
            )
        await conversation.done_writing()
        replies = [reply async for reply in conversation]
    assert [reply.infer_response.id for reply in replies] == [str(index) for index in range(200)]
    assert all(bool(reply.error_message) == (index % 3 == 0) for index, reply in enumerate(replies))
    assert replies[0].infer_response.parameters["statmux_reason"].string_param == "SLO_INFEASIBLE"


@pytest.mark.asyncio
async def test_stop_ends_idle_streams_and_watchers_at_once_and_lets_calls_finish() -> None:
    fleet = story_fleet()
    endpoint = await start_grpc(fleet, port=0)
    async with aio.insecure_channel(f"127.0.0.1:{endpoint.port}") as channel:
        conversation = stream(channel)
        await conversation.write(request("echo").SerializeToString())
        assert not (await conversation.read()).error_message
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch", response_deserializer=health_pb2.HealthCheckResponse.FromString
        )(health_pb2.HealthCheckRequest().SerializeToString())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = infer(channel, request("stuck"))
        await until(fleet, num_in_flight=1)
        stopping = asyncio.create_task(endpoint.stop(grace_s=60.0))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.read() == aio.EOF
        with pytest.raises(aio.AioRpcError) as ended:
            await conversation.read()
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE and "shutting down" in ended.value.details()
        assert not stopping.done(), "the open call is still welcome"
        call.cancel()
        await asyncio.wait_for(stopping, TIMEOUT_S)


@pytest.mark.asyncio
async def test_draining_fleet_is_live_but_not_ready_and_watchers_hear_of_it() -> None:
    fleet = story_fleet()
    async with serving(fleet) as address, aio.insecure_channel(address) as channel:
        watches = [
            channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )(health_pb2.HealthCheckRequest().SerializeToString())
            for _ in range(2)
        ]
        assert [(await watch.read()).status for watch in watches] == [1, 1]
        watches[0].cancel()
        fleet.drain()
        assert (await watches[1].read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not (await ask(channel, "ServerReady")).ready
        assert (await ask(channel, "ServerLive")).live


async def ask(channel: aio.Channel, rpc: str) -> object:
    response_class = message_class(f"{rpc}Response")
    return await channel.unary_unary(f"/{SERVICE}/{rpc}", response_deserializer=response_class.FromString)(
        b""
    )


@pytest.mark.asyncio
async def test_port_in_use_is_named() -> None:
    async with serving(story_fleet()) as address:
        with pytest.raises(PortInUse, match=address):
            await start_grpc(story_fleet(), port=int(address.split(":")[1]))
    with pytest.raises(RuntimeFailure, match=r"cannot listen on 192\.0\.2\.1"):
        await start_grpc(story_fleet(), host="192.0.2.1", port=0)


@pytest.mark.asyncio
async def test_reflection_can_be_off() -> None:
    endpoint = await start_grpc(story_fleet(), port=0, reflection=False)
    async with aio.insecure_channel(f"127.0.0.1:{endpoint.port}") as channel:
        call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")()
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
    await endpoint.stop(0.0)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
