"""Versions of a model over gRPC: split, asked for by name, changed and rolled back while they serve."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest
from grpc import aio

from controller.grpc_v2.messages import SERVICE, ModelInferRequest, ModelInferResponse, message_class
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.controller.grpc_fleet import serving
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.versions import Split
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

PROFILE = profile_of(
    "chat", "cpu", [ProfileEntry(ParallelConfig(), (1,), {}, {1: (1e-4,)})], provenance=Provenance("imported")
)
MODELS = tuple(ModelSpec(f"chat@{version}", profile=PROFILE, engine="emulated") for version in ("v1", "v2"))
SPLIT = Split("chat", (("v1", 80.0), ("v2", 20.0)), aliases=("talk",))
FLEET = Deployment("f", Cluster((NodeClass("n", 1, "cpu", 2, 100),)), MODELS, splits=(SPLIT,))
PLACEMENT = Placement((
    Group("g0", ("n-0:0",), ParallelConfig(), ("chat@v1",)),
    Group("g1", ("n-0:1",), ParallelConfig(), ("chat@v2",)),
))  # fmt: skip


@asynccontextmanager
async def served() -> AsyncIterator[tuple[FleetServer, aio.Channel]]:
    loop = asyncio.get_running_loop()
    catalog, policy = FLEET.catalog(), FLEET.policy
    front = FleetServer(
        FLEET, PLACEMENT, ClusterScheduler(PLACEMENT, catalog=catalog, policy=policy), clock=time.monotonic,
        soon=loop.call_soon, metrics=FleetMetrics(FLEET.model_names),
    )  # fmt: skip
    for index, group in enumerate(PLACEMENT.groups):
        engine = EmulatedEngine(group, catalog=catalog, loop=loop)
        worker = GroupServer(
            GroupScheduler(group, catalog=catalog, policy=policy), engine, loop=loop, soon=loop.call_soon
        )
        down, up = memory_pair(lambda frame, index=index: front.receive(index, frame), worker.receive)
        worker.attach(up)
        front.open_group(index, down, engine.interfaces())
    async with serving(front) as address, aio.insecure_channel(address) as channel:
        yield front, channel


async def ask(channel: aio.Channel, model: str, *, request_id: str = "", version: str = "") -> object:
    message = ModelInferRequest(model_name=model, model_version=version, id=request_id)
    message.inputs.add(name="INPUT0", datatype="INT32", shape=[1])
    message.raw_input_contents.append(b"\1\0\0\0")
    stub = channel.unary_unary(f"/{SERVICE}/ModelInfer", response_deserializer=ModelInferResponse.FromString)
    return await stub(message.SerializeToString(), timeout=10.0)


async def told(channel: aio.Channel, rpc: str, **fields: object) -> object:
    stub = channel.unary_unary(
        f"/{SERVICE}/{rpc}", response_deserializer=message_class(f"{rpc}Response").FromString
    )
    return await stub(message_class(f"{rpc}Request")(**fields).SerializeToString(), timeout=10.0)


async def versions_of(channel: aio.Channel, count: int) -> list[str]:
    replies = [await ask(channel, "chat", request_id=f"r{number}") for number in range(count)]
    assert {reply.model_name for reply in replies} == {"chat"}
    return [reply.model_version for reply in replies]


@pytest.mark.asyncio
async def test_calls_are_split_by_their_ids_and_a_version_that_is_named_answers():
    async with served() as (front, channel):
        found = await versions_of(channel, 100)
        assert found == [SPLIT.version_of(f"r{number}") for number in range(100)]
        assert 5 <= Counter(found)["v2"] <= 40
        for number in range(20):
            assert (await ask(channel, "talk", version="v2", request_id=str(number))).model_version == "v2"
        assert (await ask(channel, "chat@v2")).model_version == "v2"
        assert front.statistics("chat@v2").num_served == Counter(found)["v2"] + 21
        with pytest.raises(aio.AioRpcError) as refused:
            await ask(channel, "chat", version="v3")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert "it has v1, v2" in refused.value.details()


@pytest.mark.asyncio
async def test_a_split_changes_at_once_and_back():
    async with served() as (front, channel):
        before = await versions_of(channel, 40)
        all_new = replace(SPLIT, shares=(("v1", 0.0), ("v2", 100.0)))
        front.adopt(replace(FLEET, splits=(all_new,)))
        assert set(await versions_of(channel, 20)) == {"v2"}
        front.adopt(FLEET)
        assert await versions_of(channel, 40) == before


@pytest.mark.asyncio
async def test_calls_go_to_the_other_version_while_one_is_not_there():
    async with served() as (front, channel):
        front.close_replica(1, "chat@v2")
        assert set(await versions_of(channel, 30)) == {"v1"}
        assert not (await told(channel, "ModelReady", name="chat", version="v2")).ready
        assert (await told(channel, "ModelReady", name="chat")).ready
        front.open_replica(1, "chat@v2")
        assert set(await versions_of(channel, 30)) == {"v1", "v2"}


@pytest.mark.asyncio
async def test_what_is_told_of_a_model_is_told_of_its_versions():
    async with served() as (_, channel):
        metadata = await told(channel, "ModelMetadata", name="chat")
        assert (metadata.name, list(metadata.versions)) == ("chat", ["v1", "v2"])
        index = await told(channel, "RepositoryIndex")
        assert [(one.name, one.version, one.state) for one in index.models] == [
            ("chat", "v1", "READY"), ("chat", "v2", "READY"),
        ]  # fmt: skip
        await ask(channel, "chat", version="v2")
        statistics = await told(channel, "ModelStatistics", name="chat")
        counts = {one.version: one.inference_count for one in statistics.model_stats}
        assert counts == {"v1": 0, "v2": 1}
