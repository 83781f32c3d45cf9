"""A fleet whose calls are traced: two emulated groups, real endpoints and a collector, on the test's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
import httpx
import numpy as np

from controller.grpc_v2.messages import SERVICE, ModelInferRequest, ModelInferResponse
from controller.grpc_v2.server import start_grpc
from controller.http import start_http
from controller.http.v2 import v2_routes
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.tracing.opening import Tracing, open_tracing
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.controller.tracing.collector import Collector, collecting
from vocabulary.deployment import Deployment, ModelSpec, Policy
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from vocabulary.tracing import Tracing as Asked
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

STAGES_S = (0.004, 0.006)
STEP_S = 0.002
STEPS = tuple(StepTimes(STEP_S, 0.0, 0.0) for _ in STAGES_S)
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
_CONFIG = ParallelConfig(1, 2)


def traceparent(*, is_sampled: bool = True) -> str:
    return f"00-{TRACE_ID}-{PARENT_ID}-{int(is_sampled):02x}"


@dataclass(slots=True)
class TracedFleet:
    """echo takes STAGES_S, chat a STEP_S on each stage for every token; busy is on no group."""

    server: FleetServer
    collector: Collector
    tracing: Tracing
    grpc: grpc.aio.Channel
    http: httpx.AsyncClient
    metrics: FleetMetrics

    async def infer(self, metadata: Mapping[str, str] = {}, **fields: Any) -> object:
        """Over gRPC."""
        call = self.grpc.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelInferResponse.FromString,
        )
        return await call(message(**fields), metadata=tuple(metadata.items()))

    async def told(self) -> Collector:
        """Once all traces are sent; there are no more afterwards."""
        await self.tracing.close()
        return self.collector


def message(model: str = "echo", request_id: str = "r-1") -> object:
    request = ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="INPUT0", datatype="INT32", shape=[2])
    request.raw_input_contents.append(np.array([3, 4], np.int32).tobytes())
    return request


def v2_body() -> dict[str, Any]:
    return {"id": "r-2", "inputs": [{"name": "INPUT0", "datatype": "INT32", "shape": [2], "data": [3, 4]}]}


@asynccontextmanager
async def traced_fleet(**tracing: Any) -> AsyncIterator[TracedFleet]:
    """tracing: of `vocabulary.tracing.Tracing`; every request is traced unless they say otherwise."""
    with collecting() as collector:
        asked = Asked(**{"otlp_endpoint": collector.endpoint, "sample_ratio": 1.0, **tracing})
        deployment, placement = _deployment(asked)
        opened = open_tracing(deployment)
        metrics = FleetMetrics(deployment.model_names)
        opened.start(metrics.registry)
        server = _served(deployment, placement, opened, metrics)
        grpc_endpoint = await start_grpc(server, port=0, tracer=opened.tracer)
        http_endpoint = await start_http(server, {}, port=0, routing=[v2_routes], tracer=opened.tracer)
        try:
            async with (
                grpc.aio.insecure_channel(f"127.0.0.1:{grpc_endpoint.port}") as channel,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_endpoint.port}") as client,
            ):
                yield TracedFleet(server, collector, opened, channel, client, metrics)
        finally:
            await grpc_endpoint.stop(0.0)
            await http_endpoint.stop(0.0)
            await opened.close()


def _served(
    deployment: Deployment, placement: Placement, tracing: Tracing, metrics: FleetMetrics
) -> FleetServer:
    loop, catalog, policy = asyncio.get_running_loop(), deployment.catalog(), deployment.policy
    limits = [generation_limits(group, deployment) for group in placement.groups]
    server = FleetServer(
        deployment,
        placement,
        ClusterScheduler(placement, catalog=catalog, policy=policy, limits=limits),
        clock=loop.time,
        soon=loop.call_soon,
        metrics=metrics,
        limits=limits,
        tracer=tracing.tracer,
    )
    for index, group in enumerate(placement.groups):
        engine = EmulatedEngine(group, catalog=catalog, loop=loop, limits=limits[index])
        machine = GroupScheduler(
            group, catalog=catalog, policy=policy, limits=limits[index], tells_pages=True
        )
        pages = {model: one.page_tokens for model, one in limits[index].items()}
        worker = GroupServer(machine, engine, loop=loop, soon=loop.call_soon, page_tokens=pages)
        down, up = memory_pair(lambda frame, index=index: server.receive(index, frame), worker.receive)
        worker.attach(up)
        server.open_group(index, down, engine.interfaces())
    return server


def _deployment(tracing: Asked) -> tuple[Deployment, Placement]:
    settings = GenerationSettings(num_pages=64, page_tokens=4)
    models = (
        ModelSpec("echo", profile=_profile("echo"), engine="emulated"),
        ModelSpec("chat", profile=_profile("chat", *STEPS), engine="emulated", generation=settings),
        ModelSpec("busy", profile=_profile("busy"), engine="emulated"),
    )
    groups = tuple(
        Group(f"g{index}", (f"n-0:{2 * index}", f"n-0:{2 * index + 1}"), _CONFIG, (name,))
        for index, name in enumerate(("echo", "chat"))
    )
    cluster = Cluster((NodeClass("n", 1, "cpu", 4, 100),))
    policy = Policy(admission="none")
    return Deployment("traced", cluster, models, policy=policy, tracing=tracing), Placement(groups)


def _profile(name: str, *step_times: StepTimes) -> Profile:
    entry = ProfileEntry(_CONFIG, (1, 1), {}, {1: STAGES_S}, step_times=step_times)
    return profile_of(name, "cpu", [entry], provenance=Provenance("imported"))
