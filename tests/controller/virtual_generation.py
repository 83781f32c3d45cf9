"""A fleet of one emulated group with one model that generates, on a virtual clock, and calls to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from controller.calls import Refusal
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.token_streams import Ended, GenerateCall, TokenStream
from scheduling.cluster import ClusterScheduler
from scheduling.generation import GenerationScheduler
from scheduling.group import GroupScheduler
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.sampling import SampledToken, Sampling
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

STEP_S = 0.25
SETTINGS = GenerationSettings(num_pages=64, page_tokens=4, max_batched_tokens=64, max_sequences=8)


@dataclass(frozen=True, slots=True)
class VirtualFleet:
    """A step takes STEP_S, whatever it computes."""

    loop: VirtualLoop
    front: FleetServer
    metrics: FleetMetrics
    group: GroupScheduler

    @property
    def model(self) -> GenerationScheduler:
        return self.group.generation_schedulers["chat"]

    def call(self, prompt_ids: tuple[int, ...], max_tokens: int, **more: Any) -> TokenStream:
        return self.front.generate(GenerateCall("r", "chat", prompt_ids, max_tokens, **more))

    def value(self, name: str, **labels: str) -> float | None:
        """Of a metric."""
        return self.metrics.registry.get_sample_value(name, labels)


@dataclass(slots=True)
class Heard:
    """All that came of a call."""

    tokens: list[SampledToken]
    times_s: list[float]
    end: Ended | Refusal | None = None

    def of(self, sample: int) -> list[int]:
        return [one.token for one in self.tokens if one.sample == sample]


async def heard(fleet: VirtualFleet, stream: TokenStream) -> Heard:
    """Read the stream to its end."""
    found = Heard([], [])
    async for news in stream:
        if isinstance(news, tuple):
            found.tokens += news
            found.times_s.append(fleet.loop.time())
        else:
            found.end = news
    return found


def run(
    story: Callable[[VirtualFleet], Awaitable[None]],
    *,
    settings: GenerationSettings = SETTINGS,
    policy: Policy | None = None,
    slo: Slo | None = None,
) -> None:
    """Tell the story on a loop of its own."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(
            story(_fleet(loop, settings, policy or Policy(admission="none"), slo or Slo()))
        )
    finally:
        loop.close()


def _fleet(loop: VirtualLoop, settings: GenerationSettings, policy: Policy, slo: Slo) -> VirtualFleet:
    entry = ProfileEntry(ParallelConfig(), (1,), {}, {1: (0.1,)}, step_times=(StepTimes(STEP_S, 0.0, 0.0),))
    profile = profile_of("chat", "cpu", [entry], provenance=Provenance("imported"))
    model = ModelSpec("chat", profile=profile, slo=slo, engine="emulated", generation=settings)
    deployment = Deployment("virtual", Cluster((NodeClass("n", 1, "cpu", 1, 100),)), (model,), policy=policy)
    group = Group("g0", ("n-0:0",), ParallelConfig(), ("chat",))
    placement, catalog = Placement((group,)), deployment.catalog()
    limits = generation_limits(group, deployment)
    metrics = FleetMetrics(deployment.model_names)
    front = FleetServer(
        deployment,
        placement,
        ClusterScheduler(placement, catalog=catalog, policy=policy, limits=[limits]),
        clock=loop.time,
        soon=loop.soon(0),
        metrics=metrics,
        limits=[limits],
    )
    engine = EmulatedEngine(group, catalog=catalog, loop=loop, limits=limits)
    machine = GroupScheduler(group, catalog=catalog, policy=policy, limits=limits, tells_pages=True)
    worker = GroupServer(
        machine, engine, loop=loop, soon=loop.soon(1), page_tokens={"chat": settings.page_tokens}
    )
    down, up = memory_pair(lambda frame: front.receive(0, frame), worker.receive)
    worker.attach(up)
    front.open_group(0, down, engine.interfaces())
    metrics.watch(front)
    return VirtualFleet(loop, front, metrics, machine)


def greedy(**more: Any) -> Sampling:
    return Sampling(temperature=0.0, **more)
