"""A fleet's server while its groups come, change, are lost and go, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from controller.calls import InferCall, InferReply, ModelState, Reason, Refusal
from controller.journal import NoJournal, RequestLine
from controller.metrics import FleetMetrics
from controller.server import MAX_FRONTS, FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import Deployment, ModelSpec, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tensors import Tensor
from workers.emulated_engine import EmulatedEngine
from workers.frames import Run
from workers.link import memory_pair
from workers.server import GroupServer

CONFIG = ParallelConfig(1, 1)
INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x01\x00\x00\x00"),)
TAKES_S = 0.1


def deployment(*names: str) -> Deployment:
    entry = ProfileEntry(CONFIG, (1,), {}, {1: (TAKES_S,)})
    models = tuple(
        ModelSpec(
            name,
            profile=profile_of(name, "cpu", [entry], provenance=Provenance("measured")),
            slo=Slo(1.0),
            engine="emulated",
        )
        for name in names
    )
    return Deployment("virtual", Cluster((NodeClass("n", 1, "cpu", 8, 100),)), models)


def group(name: str, device: int, *models: str) -> Group:
    return Group(name, (f"n-0:{device}",), CONFIG, models)


@dataclass
class PatientDemand:
    """Everything may be loaded on demand."""

    wait_s: float
    asked_for: list[str] = field(default_factory=list)

    def asked(self, model: str) -> float | None:
        self.asked_for.append(model)
        return self.wait_s


class Lines(NoJournal):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[RequestLine] = []

    def request(self, line: RequestLine) -> None:
        self.lines.append(line)


class Virtual:
    """A server, and emulated workers joined by memory links."""

    def __init__(self, loop: VirtualLoop, *groups: Group, demand: PatientDemand | None = None) -> None:
        self.loop = loop
        self.deployment = deployment("a", "b")
        self.journal = Lines()
        placement = Placement(groups)
        catalog = self.deployment.catalog()
        self.front = FleetServer(
            self.deployment,
            placement,
            ClusterScheduler(placement, catalog=catalog, policy=self.deployment.policy),
            clock=loop.time,
            soon=loop.soon(0),
            metrics=FleetMetrics(self.deployment.model_names),
            front=3,
            demand=demand,
            journal=self.journal,
        )
        self.runs: list[int] = []
        for index, _ in enumerate(groups):
            self.open(index)

    def open(self, index: int) -> None:
        one = self.front.groups[index]
        catalog, policy = self.deployment.catalog(), self.deployment.policy
        engine = EmulatedEngine(one, catalog=catalog, loop=self.loop)
        machine = GroupScheduler(one, catalog=catalog, policy=policy)
        worker = GroupServer(machine, engine, loop=self.loop, soon=self.loop.soon(1 + index))

        def receive(frame) -> None:
            if isinstance(frame.header, Run):
                self.runs.append(frame.header.request_id)
            worker.receive(frame)

        down, up = memory_pair(lambda frame: self.front.receive(index, frame), receive)
        worker.attach(up)
        self.front.open_group(index, down, engine.interfaces())

    def ask(self, model: str, name: str = "") -> asyncio.Future[InferReply | Refusal]:
        return self.front.infer(InferCall(name or model, model, "", INPUT))


def told(story: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.close()


def test_a_group_that_comes_later_takes_requests_and_one_that_goes_takes_none():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a"))
        fleet.front.add_group(1, group("g1", 1, "a"))
        fleet.open(1)
        both = await asyncio.gather(fleet.ask("a"), fleet.ask("a"))
        assert {answer.group for answer in both} == {"g0", "g1"}
        fleet.front.remove_group(0)
        both = await asyncio.gather(fleet.ask("a"), fleet.ask("a"))
        assert {answer.group for answer in both} == {"g1"}
        assert [one.id for one in fleet.front.placement.groups] == ["g1"]

    told(story)


def test_a_request_whose_group_is_lost_before_it_began_is_answered_by_another():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a"), group("g1", 1, "a"))
        four = [fleet.ask("a", f"r{number}") for number in range(4)]
        await asyncio.sleep(TAKES_S / 2)
        fleet.front.lose_group(0, "killed")
        answers = await asyncio.gather(*four)
        begun, *others = answers
        assert isinstance(begun, Refusal) and begun.reason is Reason.LOST
        assert [answer.group for answer in others] == ["g1"] * 3
        tries = {line.request_id: line.num_tries for line in fleet.journal.lines}
        assert tries == {"r0": 1, "r1": 1, "r2": 2, "r3": 1}
        assert fleet.front.num_pending == 0

    told(story)


def test_a_closed_replica_answers_what_it_has_and_takes_nothing_new():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a", "b"))
        first = fleet.ask("a")
        await asyncio.sleep(TAKES_S / 2)
        fleet.front.close_replica(0, "a")
        refused, served, other = await asyncio.gather(fleet.ask("a"), first, fleet.ask("b"))
        assert refused.reason is Reason.UNAVAILABLE and served.group == other.group == "g0"
        assert fleet.front.in_flight_of(0, "a") == 0
        fleet.front.open_replica(0, "a")
        assert (await fleet.ask("a")).group == "g0"

    told(story)


def test_a_model_that_is_new_to_a_fleet_costs_it_no_readiness_while_it_loads():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a"))
        assert fleet.front.is_ready()
        fleet.front.add_group(1, group("g1", 1, "b"))
        assert fleet.front.is_ready()
        assert fleet.front.models()["b"].state is ModelState.LOADING
        fleet.open(1)
        fleet.front.lose_group(1, "killed")
        assert not fleet.front.is_ready()

    told(story)


def test_calls_of_a_model_that_loads_on_demand_wait_for_it_and_their_objectives_with_them():
    async def story(loop: VirtualLoop) -> None:
        demand = PatientDemand(wait_s=60.0)
        fleet = Virtual(loop, group("g0", 0, "a"), demand=demand)
        waiting, gone = fleet.ask("b"), fleet.ask("b", "gone")
        await asyncio.sleep(30.0)
        gone.cancel()
        fleet.front.add_group(1, group("g1", 1, "b"))
        fleet.open(1)
        answer = await waiting
        assert isinstance(answer, InferReply), answer
        await asyncio.sleep(1.0)
        assert demand.asked_for == ["b", "b"] and fleet.front.num_pending == 0

    told(story)


def test_nobody_waits_longer_for_a_load_than_told():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a"), demand=PatientDemand(wait_s=5.0))
        answer = await fleet.ask("b")
        assert isinstance(answer, Refusal) and answer.reason is Reason.UNAVAILABLE
        assert loop.time() == 5.0

    told(story)


def test_ids_of_requests_are_those_of_one_front_end_only():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a"))
        await asyncio.gather(fleet.ask("a"), fleet.ask("a"))
        assert fleet.runs == [3, 3 + MAX_FRONTS]

    told(story)


def test_a_line_says_where_a_request_went_and_why_it_was_refused():
    async def story(loop: VirtualLoop) -> None:
        fleet = Virtual(loop, group("g0", 0, "a"))
        await asyncio.gather(*(fleet.ask("a", f"r{number}") for number in range(11)))
        served, refused = fleet.journal.lines[-1], fleet.journal.lines[0]
        assert (served.group, served.fate, round(served.latency_s, 6)) == ("g0", "served", 1.0)
        assert served.predicted_latency_s == served.latency_s and served.slo_s == 1.0
        assert (refused.request_id, refused.fate, refused.num_tries) == ("r10", "slo_infeasible", 0)

    told(story)
