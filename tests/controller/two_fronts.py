"""Two front ends over two emulated groups, on any loop: what they count, and what a scrape of each says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from prometheus_client import Metric

from controller.calls import InferCall, InferReply, Refusal
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.token_streams import Ended, GenerateCall
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from vocabulary.deployment import Deployment, MetricsEndpoint, ModelSpec, Policy, Slo
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.sampling import Sampling
from vocabulary.tensors import Tensor
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer, Soon

NUM_FRONTS = 2
WEIGHT_BYTES, DEVICE_BYTES = 10, 1000
# Of all stages of g0, and of the one of g1.
ENCODE_S, STEP_S = 0.02, 0.004
NUM_PAGES, PAGE_TOKENS = 16, 4
_PAIR, _LONE = ParallelConfig(1, 2), ParallelConfig()
# n-1:1 is in no group.
PLACEMENT = Placement(
    (
        Group("g0", ("n-0:0", "n-0:1"), _PAIR, ("encode", "chat")),
        Group("g1", ("n-1:0",), _LONE, ("encode",)),
    )
)
_INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x01\x00\x00\x00"),)
SLO_S = 0.1


def deployment(*, compat: tuple[str, ...] = ()) -> Deployment:
    """encode: 2 stages of 10 ms on g0, one of 20 ms on g1, to be answered in 100 ms. chat: on g0."""
    cluster = Cluster((NodeClass("n", 2, "cpu", 2, DEVICE_BYTES),))
    settings = GenerationSettings(num_pages=NUM_PAGES, page_tokens=PAGE_TOKENS, max_batched_tokens=32)
    objectives = Slo(5.0, ttft_s=1.0, tpot_s=0.5)
    models = (
        _model("encode", slo=Slo(SLO_S, attainment=0.9)),
        replace(_model("chat", slo=objectives, generates=True), generation=settings),
    )
    return Deployment(
        "watched",
        cluster,
        models,
        policy=Policy(admission="slo"),
        metrics=MetricsEndpoint(compat=compat),
        front_ends=NUM_FRONTS,
    )


def _model(name: str, *, slo: Slo, generates: bool = False) -> ModelSpec:
    entries = [
        ProfileEntry(
            config,
            (WEIGHT_BYTES,) * config.pipeline,
            {},
            {1: (ENCODE_S / config.pipeline,) * config.pipeline},
            step_times=(StepTimes(STEP_S / config.pipeline, 0.0, 0.0),) * config.pipeline * generates,
            kv_bytes_per_token=(1,) * config.pipeline * generates,
        )
        for config in (_PAIR, _LONE)
    ]
    profile = profile_of(name, "cpu", entries, provenance=Provenance("imported"))
    return ModelSpec(name, profile=profile, slo=slo, engine="emulated")


class TwoFronts:
    """`fronts` and `metrics` by number. soon: of rank 0 for front ends, 1 and 2 for groups."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, soon: Callable[[int], Soon], *, compat: tuple[str, ...] = ()
    ) -> None:
        self._loop = loop
        self._served = served = deployment(compat=compat)
        self._limits = tuple(generation_limits(group, served) for group in PLACEMENT.groups)
        self.metrics = tuple(FleetMetrics(served.model_names) for _ in range(NUM_FRONTS))
        self.fronts = tuple(self._front(number, soon(0)) for number in range(NUM_FRONTS))
        self.workers = tuple(self._worker(index, soon(1 + index)) for index in range(len(PLACEMENT.groups)))
        for metrics, front in zip(self.metrics, self.fronts, strict=True):
            metrics.watch(front)
        for index in range(len(self.workers)):
            self.open(index)

    def _front(self, number: int, soon: Soon) -> FleetServer:
        served = self._served
        machine = ClusterScheduler(
            PLACEMENT, catalog=served.catalog(), policy=served.policy, limits=self._limits
        )
        return FleetServer(
            served,
            PLACEMENT,
            machine,
            clock=self._loop.time,
            soon=soon,
            metrics=self.metrics[number],
            limits=self._limits,
            front=number,
            hears_others=True,
        )

    def _worker(self, index: int, soon: Soon) -> GroupServer:
        group, limits = PLACEMENT.groups[index], self._limits[index]
        catalog = self._served.catalog()
        engine = EmulatedEngine(group, catalog=catalog, loop=self._loop, limits=limits)
        machine = GroupScheduler(
            group, catalog=catalog, policy=self._served.policy, limits=limits, tells_pages=True
        )
        pages = {model: one.page_tokens for model, one in limits.items()}
        return GroupServer(machine, engine, loop=self._loop, soon=soon, page_tokens=pages)

    def open(self, index: int) -> None:
        """The group's links to all front ends."""
        worker = self.workers[index]
        interfaces = worker._engine.interfaces()
        for number, front in enumerate(self.fronts):

            def to_front(frame, front=front) -> None:
                front.receive(index, frame)

            def to_worker(frame, number=number) -> None:
                worker.receive(frame, front=number)

            down, up = memory_pair(to_front, to_worker)
            worker.attach(up, front=number)
            front.open_group(index, down, interfaces)

    def lose(self, index: int) -> None:
        """Every front end hears that the group is gone, and the group that they are."""
        for number, front in enumerate(self.fronts):
            front.lose_group(index, "a test says so")
            gone = self.workers[index].fronts[number]
            assert gone is not None
            self.workers[index].detach(gone.link)

    def beat(self) -> None:
        for worker in self.workers:
            worker.beat()

    async def encode(self, front: int = 0, *, call_id: str = "id-of-a-call") -> InferReply | Refusal:
        return await self.fronts[front].infer(InferCall(call_id, "encode", "", _INPUT))

    async def chat(
        self, front: int = 0, *, prompt: tuple[int, ...] = (7,) * 12, num_tokens: int = 8
    ) -> Ended | Refusal:
        call = GenerateCall("id-of-a-call", "chat", prompt, num_tokens, sampling=Sampling(ignores_eos=True))
        async for news in self.fronts[front].generate(call):
            if isinstance(news, Ended | Refusal):
                return news
        raise AssertionError("a stream ends with its end")

    def value(self, name: str, front: int = 0, **labels: str) -> float | None:
        """Of a sample."""
        return self.metrics[front].registry.get_sample_value(name, labels)

    def scraped(self, front: int = 0) -> Mapping[str, Metric]:
        """Families by name."""
        return {family.name: family for family in self.metrics[front].registry.collect()}
