"""What traces cost a request: on the thread that serves, and on the one that makes and sends spans.

    python -m benchmarks.tracing --requests 3000

A server and an emulated group of two stages that take no time share one loop; the collector is a process of
its own. CPU times of threads, the least of some rounds in turn, so that what else runs here counts little.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import grpc
import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from benchmarks.tables import markdown, table
from controller.calls import InferCall, InferReply
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.tracing.opening import open_tracing
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from vocabulary.deployment import Deployment, ModelSpec, Policy
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.numpy_tensors import tensor_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tracing import Tracing
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

ROUNDS = 5
# In flight at once, as a busy front end has them.
BURST = 50
NOBODY = "http://127.0.0.1:9"
_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"
_CONFIG = ParallelConfig(1, 2)
_INPUT = (tensor_of("INPUT0", np.array([3, 4], np.int32)),)


@dataclass(frozen=True, slots=True)
class Case:
    """headers: of each request. endpoint: of the collector; None: no traces."""

    name: str
    endpoint: str | None
    sample_ratio: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one request: CPU on the serving thread, and on all others of the process. num_dropped: spans."""

    serve_s: float
    others_s: float
    num_sent: int
    num_dropped: int


class _Collector(TraceServiceServicer):
    def Export(self, request: object, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        return ExportTraceServiceResponse()


def _collect(pipe: Connection) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(_Collector(), server)
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    pipe.recv()


@contextmanager
def collector() -> Iterator[str]:
    """The endpoint of one in another process."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_collect, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}"
    finally:
        process.kill()
        process.join()


def measure(case: Case, num_requests: int) -> Costs:
    return asyncio.run(_measure(case, num_requests))


async def _measure(case: Case, num_requests: int) -> Costs:
    asked = Tracing(case.endpoint, case.sample_ratio, max_waiting_traces=num_requests, export_timeout_s=1.0)
    if case.endpoint == NOBODY:
        asked = Tracing(case.endpoint, case.sample_ratio, max_waiting_traces=1, export_timeout_s=1.0)
    deployment, placement = _deployment(asked)
    tracing, metrics = open_tracing(deployment), FleetMetrics(deployment.model_names)
    tracing.start(metrics.registry)
    server, tracer = _served(deployment, placement, metrics, tracing.tracer), tracing.tracer

    async def ask(number: int) -> None:
        if tracer.is_on:
            tracer.receive(case.headers.get)
        answer = await server.infer(InferCall(str(number), "m", "", _INPUT))
        assert isinstance(answer, InferReply), answer

    await ask(0)
    process_s, begin_s = time.process_time(), time.thread_time()
    for start in range(0, num_requests, BURST):
        await asyncio.gather(
            *(
                asyncio.get_running_loop().create_task(ask(start + index), context=contextvars.Context())
                for index in range(BURST)
            )
        )
    serve_s = time.thread_time() - begin_s
    await tracing.close()
    others_s = time.process_time() - process_s - serve_s
    value = metrics.registry.get_sample_value
    sent, dropped = (int(value(f"statmux_spans_{name}_total") or 0) for name in ("sent", "dropped"))
    return Costs(serve_s / num_requests, others_s / num_requests, sent, dropped)


def _served(
    deployment: Deployment, placement: Placement, metrics: FleetMetrics, tracer: object
) -> FleetServer:
    loop, catalog, policy = asyncio.get_running_loop(), deployment.catalog(), deployment.policy
    server = FleetServer(
        deployment,
        placement,
        ClusterScheduler(placement, catalog=catalog, policy=policy),
        clock=loop.time,
        soon=loop.call_soon,
        metrics=metrics,
        tracer=tracer,
    )
    (group,) = placement.groups
    engine = EmulatedEngine(group, catalog=catalog, loop=loop)
    worker = GroupServer(
        GroupScheduler(group, catalog=catalog, policy=policy), engine, loop=loop, soon=loop.call_soon
    )
    down, up = memory_pair(lambda frame: server.receive(0, frame), worker.receive)
    worker.attach(up)
    server.open_group(0, down, engine.interfaces())
    return server


def _deployment(tracing: Tracing) -> tuple[Deployment, Placement]:
    entry = ProfileEntry(_CONFIG, (1, 1), {}, {1: (0.0, 0.0)})
    profile = profile_of("m", "cpu", [entry], provenance=Provenance("imported"))
    model = ModelSpec("m", profile=profile, engine="emulated")
    cluster = Cluster((NodeClass("n", 1, "cpu", 2, 100),))
    deployment = Deployment("traced", cluster, (model,), policy=Policy(admission="none"), tracing=tracing)
    return deployment, Placement((Group("g0", ("n-0:0", "n-0:1"), _CONFIG, ("m",)),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    num_requests = parser.parse_args().requests
    with collector() as endpoint:
        cases = (
            Case("no traces", None),
            Case("the caller says no", endpoint, 1.0, {"traceparent": f"{_PARENT}0"}),
            Case("its lot says no", endpoint, 0.0),
            Case("traced", endpoint, 1.0, {"traceparent": f"{_PARENT}1"}),
            Case("traced, nobody collects", NOBODY, 1.0, {"traceparent": f"{_PARENT}1"}),
        )
        rounds = [[measure(case, num_requests) for case in cases] for _ in range(ROUNDS)]
    rows = []
    for number, case in enumerate(cases):
        found = [each[number] for each in rounds]
        serve_s, others_s = min(one.serve_s for one in found), min(one.others_s for one in found)
        spans = f"{found[-1].num_sent} sent, {found[-1].num_dropped} dropped"
        rows.append((case.name, f"{serve_s * 1e6:.1f} us", f"{others_s * 1e6:.1f} us", spans))
    headings = ("requests", "serving thread", "other threads", "spans")
    print(
        markdown(
            table(headings, rows, title=f"CPU of a request, of {num_requests} in each of {ROUNDS} rounds")
        )
    )


if __name__ == "__main__":
    main()
