"""The first call for a model that is loaded on demand is checked and answered as every other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import grpc
import pytest
from grpc import aio

from controller.calls import InferCall, Reason
from controller.grpc_v2.messages import SERVICE, ModelInferRequest, ModelInferResponse
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.controller.grpc_fleet import serving
from tests.controller.test_versions_served import PROFILE
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.elasticity import OnDemand
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

RARE = ModelSpec("rare", profile=PROFILE, engine="emulated", on_demand=OnDemand(True))
FLEET = Deployment("f", Cluster((NodeClass("n", 1, "cpu", 1, 100),)), (RARE,))
GROUP = Group("g0", ("n-0:0",), ParallelConfig(), ("rare",))


class Loading:
    """A demand that loads at once, or never."""

    def __init__(self, wait_s: float | None, load: Callable[[], None] | None) -> None:
        self.wait_s = wait_s
        self.load = load
        self.num_asked = 0

    def asked(self, model: str) -> float | None:
        self.num_asked += 1
        if self.load is not None and self.num_asked == 1:
            asyncio.get_running_loop().call_soon(self.load)
        return self.wait_s


def server(demand: Loading) -> FleetServer:
    nothing = Placement(())
    return FleetServer(
        FLEET, nothing, ClusterScheduler(nothing, catalog=FLEET.catalog(), policy=FLEET.policy),
        clock=time.monotonic, soon=asyncio.get_running_loop().call_soon,
        metrics=FleetMetrics(FLEET.model_names), demand=demand,
    )  # fmt: skip


def loaded(front: FleetServer) -> None:
    loop = asyncio.get_running_loop()
    engine = EmulatedEngine(GROUP, catalog=FLEET.catalog(), loop=loop)
    machine = GroupScheduler(GROUP, catalog=FLEET.catalog(), policy=FLEET.policy)
    worker = GroupServer(machine, engine, loop=loop, soon=loop.call_soon)
    down, up = memory_pair(lambda frame: front.receive(0, frame), worker.receive)
    worker.attach(up)
    front.add_group(0, GROUP)
    front.open_group(0, down, engine.interfaces())


async def ask(front: FleetServer, *, datatype: str = "INT32") -> object:
    message = ModelInferRequest(model_name="rare")
    message.inputs.add(name="INPUT0", datatype=datatype, shape=[1])
    message.raw_input_contents.append(b"\7\0\0\0")
    async with serving(front) as address, aio.insecure_channel(address) as channel:
        stub = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", response_deserializer=ModelInferResponse.FromString
        )
        return await stub(message.SerializeToString(), timeout=10.0)


@pytest.mark.asyncio
async def test_the_first_call_is_answered_with_what_it_asked():
    demand = Loading(5.0, None)
    front = server(demand)
    demand.load = lambda: loaded(front)
    reply = await ask(front)
    assert list(reply.raw_output_contents) == [b"\7\0\0\0"]
    assert demand.num_asked == 1


@pytest.mark.asyncio
async def test_a_call_that_waits_when_the_fleet_stops_is_answered_once():
    call = InferCall("", "rare", "", ())
    front = server(Loading(0.01, None))
    answer = front.infer(call)
    front.abandon()
    assert (await answer).reason is Reason.DRAINING
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    await asyncio.sleep(0.05)  # its time is up
    assert errors == []


@pytest.mark.asyncio
async def test_a_first_call_that_does_not_fit_is_told_so():
    demand = Loading(5.0, None)
    front = server(demand)
    demand.load = lambda: loaded(front)
    with pytest.raises(aio.AioRpcError) as refused:
        await ask(front, datatype="BYTES")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.asyncio
@pytest.mark.parametrize("wait_s", [None, 0.01])
async def test_a_model_that_cannot_be_loaded_or_not_in_time_is_refused(wait_s: float | None):
    with pytest.raises(aio.AioRpcError) as refused:
        await ask(server(Loading(wait_s, None)))
    assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND)


@pytest.mark.asyncio
async def test_calls_that_wait_for_a_model_whose_load_was_given_up_are_refused_at_once():
    front = server(Loading(600.0, None))
    unchecked = asyncio.create_task(front.awaited("rare"))
    answer = front.infer(InferCall("", "rare", "", ()))
    await asyncio.sleep(0)
    front.give_up(["rare"])
    async with asyncio.timeout(10.0):
        assert (await answer).reason is Reason.UNAVAILABLE
        await unchecked
