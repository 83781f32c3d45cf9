"""A fleet in virtual time that tests of the live page look at: bursty models, a host that dies, repeatable.

The whole live stack is real but for Ray: server, schedulers, emulated engines, metrics, journal.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec
import numpy as np

from controller.calls import InferCall
from controller.front.words import Totals
from controller.journal import AbstractJournal, Journal, RequestLine
from controller.journal.read import JournalFile
from controller.life.members import GroupState, Members
from controller.live.counts import counts_of
from controller.live.decisions import decisions_of
from controller.live.document import Now, document_of
from controller.live.places import Places
from controller.metrics import FleetMetrics
from controller.plan_facts import plan_facts
from controller.server import FleetServer
from controller.token_streams import GenerateCall
from controller.verbs.status import Situation, status_of
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo, Workload
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.plan import Plan
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tensors import Tensor
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

GB = 10**9
BEAT_S = 0.2
INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x01\x00\x00\x00"),)
# 22 Nov 2026, 03:12 UTC.
START_UNIX_S = 1795317120.0
PLANNED = {"chat-8b": 0.991, "summary": 0.994, "rank": 0.999, "embed": 0.999, "detect": 0.985, "speech": 0.97}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests come in bursts: gaps of a Gamma process."""

    rate_rps: float
    cv: float


TRAFFIC = {
    "chat-8b": Traffic(1.5, 1.5),
    "summary": Traffic(4.0, 2.0),
    "rank": Traffic(12.0, 1.3),
    "embed": Traffic(16.0, 1.3),
    "detect": Traffic(9.0, 2.0),
    "speech": Traffic(5.0, 1.2),
}
_CONFIGS = (ParallelConfig(1, 1), ParallelConfig(2, 1), ParallelConfig(1, 2), ParallelConfig(2, 2))
GROUPS = (
    Group("g0", ("gpu-0:0", "gpu-0:1", "gpu-0:2", "gpu-0:3"), ParallelConfig(2, 2), ("chat-8b",)),
    Group("g1", ("gpu-1:0", "gpu-1:1"), ParallelConfig(1, 2), ("summary", "rank", "embed")),
    Group("g2", ("gpu-1:2", "gpu-1:3"), ParallelConfig(1, 2), ("rank", "embed", "detect")),
    Group("g3", ("gpu-2:0",), ParallelConfig(1, 1), ("speech",)),
    Group("g4", ("gpu-2:1", "gpu-2:2"), ParallelConfig(2, 1), ("detect", "summary")),
)


def _model(name: str, work_s: float, weights: float, slo: Slo, *, factor: float = 1.0) -> ModelSpec:
    """work_s: on one device; two take 0.55 of it."""
    entries = []
    for config in _CONFIGS:
        stage_s = factor * work_s * (1.0 if config.tensor == 1 else 0.55) / config.pipeline
        entries.append(
            ProfileEntry(
                config,
                (int(weights / config.tensor / config.pipeline),) * config.pipeline,
                {},
                {1: (stage_s,) * config.pipeline},
                step_times=(StepTimes(stage_s, 2e-5, 1e-8),) * config.pipeline if slo.ttft_s else (),
                kv_bytes_per_token=(65_536 // config.pipeline,) * config.pipeline if slo.ttft_s else (),
            )
        )
    profile = profile_of(name, "h100", entries, provenance=Provenance("measured"))
    return ModelSpec(
        name,
        profile=profile,
        slo=slo,
        engine="emulated",
        workload=Workload(TRAFFIC[name].rate_rps, TRAFFIC[name].cv),
        generation=GenerationSettings(num_pages=8000, max_batched_tokens=512, max_sequences=32),
    )


def deployment(*, factor: float = 1.0) -> Deployment:
    """factor: how much longer than profiled every stage takes."""
    models = (
        _model("chat-8b", 0.06, 16 * GB, Slo(12.0, 0.98, 0.8, 0.08), factor=factor),
        _model("summary", 0.16, 12 * GB, Slo(1.2, 0.98), factor=factor),
        _model("rank", 0.035, 2 * GB, Slo(0.4, 0.98), factor=factor),
        _model("embed", 0.02, 1 * GB, Slo(0.4, 0.98), factor=factor),
        _model("detect", 0.07, 5 * GB, Slo(0.5, 0.97), factor=factor),
        _model("speech", 0.09, 9 * GB, Slo(0.9, 0.95), factor=factor),
    )
    cluster = Cluster((NodeClass("gpu", 3, "h100", 4, 18 * GB),), reserve=0.1)
    return Deployment("night-shift", cluster, models, policy=Policy(admission="slo"))


@final
class VirtualJournal(AbstractJournal):
    """Another journal, whose lines are as of the virtual clock."""

    def __init__(self, journal: Journal, loop: VirtualLoop) -> None:
        self._journal = journal
        self._loop = loop

    problem = property(lambda self: self._journal.problem)
    num_lost = property(lambda self: self._journal.num_lost)

    def request(self, line: RequestLine) -> None:
        arrival_s = START_UNIX_S + self._loop.time() - line.latency_s
        self._journal.request(msgspec.structs.replace(line, unix_s=arrival_s))

    def event(self, kind: str, *, group: str = "", model: str = "", **words: object) -> None:
        self._journal.event(kind, group=group, model=model, **words)

    def remember(self, key: str, document: object) -> Future[bool]:
        return self._journal.remember(key, document)

    def recall(self, key: str) -> Any:
        return self._journal.recall(key)

    def keep(self, *, requests: str, max_rows: int) -> None:
        self._journal.keep(requests=requests, max_rows=max_rows)

    def close(self) -> None:
        self._journal.close()


@final
class Story:
    """Between two calls of `advance` time stands still. Close it."""

    def __init__(self, folder: Path, *, seed: int = 7, factor: float = 1.06) -> None:
        self.loop = VirtualLoop()
        # Pages are answered on threads, and tests change what happens on another.
        self._turn = threading.Lock()
        self.deployment, real = deployment(), deployment(factor=factor)
        self.state = "ready"
        self.traffic = dict(TRAFFIC)
        self.placement = Placement(GROUPS)
        self.members = Members(self.placement)
        self.metrics = FleetMetrics(self.deployment.model_names)
        self.rng = np.random.default_rng(seed)
        self._path = folder / "journal.db"
        journal = Journal(self._path, unix_clock=lambda: START_UNIX_S + self.loop.time())
        journal.open()
        self.journal = VirtualJournal(journal, self.loop)
        self._places = Places()
        self._workers: list[GroupServer] = []
        self._is_lost: set[int] = set()
        self.server = self._server()
        self.metrics.watch(self.server)
        plan = Plan(
            self.placement,
            predicted={"models": {name: {"slo_attainment": one} for name, one in PLANNED.items()}},
            search={"algorithm": "auto"},
        )
        self.facts = plan_facts(plan, plan.placement)
        self.metrics.plan(self.facts)
        self.journal.event("started", resumed=False, router="earliest_finish")
        groups = {group.id: list(group.models) for group in GROUPS}
        self.journal.event("plan", why="serve", groups=groups)
        for index, group in enumerate(GROUPS):
            self._open(index, group, real)
        self.journal.event("converged")
        for name in self.traffic:
            self.loop.call_later(0.0, self._arrive, name)
        self.loop.call_later(BEAT_S, self._beat)

    def advance(self, seconds: float) -> None:
        """Let so much of virtual time go by."""
        with self._turn:
            self.loop.run_until_complete(self._sleep(seconds))

    def document(self, *, front_ends: tuple[Mapping[str, Any], ...] = ()) -> dict[str, Any]:
        """As the fleet would make it at this instant."""
        now_s = self.loop.time()
        status = status_of(
            self.deployment,
            self.facts,
            self.server,
            self.members,
            self.metrics,
            Situation(self.state, now_s, is_converged=not self._is_lost),
            addresses={"grpc": "127.0.0.1:8001", "metrics": "127.0.0.1:8002", "http": "127.0.0.1:8000"},
        )
        if front_ends:
            status["front_ends"] = list(front_ends)
        names = self.deployment.model_names
        now = Now(
            START_UNIX_S + now_s, START_UNIX_S, "0.1.0",
            {name: self.metrics.judged(name) for name in names}, {name: Totals() for name in names},
        )  # fmt: skip
        return document_of(
            status,
            self.deployment,
            counts_of(self.metrics.registry),
            now=now,
            nodes=self._places.of(self.deployment, GROUPS),
            decisions=decisions_of(JournalFile(self._path), since_unix_s=START_UNIX_S),
        )

    def lose(self, *group_ids: str, why: str) -> None:
        """The groups' workers die."""
        with self._turn:
            self.loop.run_until_complete(self._lose(group_ids, why))

    def close(self) -> None:
        self.journal.close()
        self.loop.run_until_complete(_cancelled())
        self.loop.close()

    def _server(self) -> FleetServer:
        limits = [generation_limits(group, self.deployment) for group in GROUPS]
        policy, catalog = self.deployment.policy, self.deployment.catalog()
        return FleetServer(
            self.deployment,
            self.placement,
            ClusterScheduler(self.placement, catalog=catalog, policy=policy, limits=limits),
            clock=self.loop.time,
            soon=self.loop.soon(0),
            metrics=self.metrics,
            limits=limits,
            journal=self.journal,
        )

    def _open(self, index: int, group: Group, real: Deployment) -> None:
        limits = generation_limits(group, self.deployment)
        engine = EmulatedEngine(group, catalog=real.catalog(), loop=self.loop, limits=limits)
        machine = GroupScheduler(
            group,
            catalog=self.deployment.catalog(),
            policy=self.deployment.policy,
            limits=limits,
            tells_pages=True,
        )
        worker = GroupServer(
            machine,
            engine,
            loop=self.loop,
            soon=self.loop.soon(1 + index),
            page_tokens={model: limits[model].page_tokens for model in limits},
        )
        down, up = memory_pair(lambda frame: self.server.receive(index, frame), worker.receive)
        worker.attach(up)
        self._workers.append(worker)
        self.server.open_group(index, down, engine.interfaces())
        member = self.members.of(group.id)
        assert member is not None
        member.state = GroupState.OPEN
        self.journal.event("open", group=group.id, models=list(group.models))

    def _arrive(self, name: str) -> None:
        traffic = self.traffic[name]
        shape = 1.0 / traffic.cv**2
        self.loop.call_later(
            float(self.rng.gamma(shape, 1.0 / (traffic.rate_rps * shape))), self._arrive, name
        )
        self.loop.create_task(self._ask(name))

    async def _ask(self, name: str) -> None:
        call_id = f"r{self.rng.integers(10**9)}"
        if self.deployment.model(name).generates and name in self.server.models():
            prompt = tuple(range(1, int(self.rng.integers(40, 160))))
            asked = GenerateCall(
                call_id, name, prompt, int(self.rng.integers(16, 64)), ttft_s=0.8, tpot_s=0.08
            )
            async for _ in self.server.generate(asked):
                pass
        else:
            await self.server.infer(InferCall(call_id, name, "", INPUT))

    def _beat(self) -> None:
        for index, worker in enumerate(self._workers):
            if index not in self._is_lost:
                worker.beat()
        self.loop.call_later(BEAT_S, self._beat)

    async def _lose(self, group_ids: tuple[str, ...], why: str) -> None:
        for group_id in group_ids:
            member = self.members.of(group_id)
            assert member is not None
            member.state, member.why, member.num_restarts = GroupState.LOST, why, 1
            self._is_lost.add(member.index)
            self.journal.event("group_lost", group=group_id, why=why)
            self.server.lose_group(member.index, why)

    async def _sleep(self, seconds: float) -> None:
        future = self.loop.create_future()
        self.loop.call_later(seconds, future.set_result, None)
        await future


async def _cancelled() -> None:
    """Whatever still runs on this loop."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
