"""The live shells on a virtual clock while groups die and come back, replicas close, and callers leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter

from controller.calls import InferCall, InferReply, Refusal
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from simulator.faults import Fault, GroupJoins, GroupLeaves, Loss, ReplicaCloses, ReplicaOpens
from tests.virtual_loop import VirtualLoop
from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement
from vocabulary.tensors import Tensor
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S
from workers.emulated_engine import EmulatedEngine
from workers.frames import Frame
from workers.link import MemoryLink, memory_pair
from workers.server import GroupServer

INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x01\x00\x00\x00"),)


@dataclass(frozen=True)
class Answer:
    """Fate, or the reason of a refusal; the group and when, where it was served."""

    fate: str
    group: str = ""
    time_s: float = 0.0


@dataclass(frozen=True)
class Chaos:
    """cancels: (row of the trace, when its caller leaves)."""

    faults: tuple[Fault, ...] = ()
    cancels: tuple[tuple[int, float], ...] = ()


def serve(deployment: Deployment, placement: Placement, trace: Trace, chaos: Chaos) -> list[Answer | None]:
    """What every request was answered; None where its caller had left. Checks that nothing is left over."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_serve(loop, deployment, placement, trace, chaos))
    finally:
        loop.close()


@dataclass
class _Process:
    worker: GroupServer
    down: MemoryLink
    up: MemoryLink
    is_alive: bool = True


@dataclass
class _Fleet:
    loop: VirtualLoop
    deployment: Deployment
    front: FleetServer
    groups: dict[int, Group]
    next_index: int
    processes: dict[int, _Process] = field(default_factory=dict)

    def open(self, index: int) -> None:
        if index not in self.groups or index in self.processes:
            return
        group, loop, front = self.groups[index], self.loop, self.front
        catalog, policy = self.deployment.catalog(), self.deployment.policy
        engine = EmulatedEngine(group, catalog=catalog, loop=loop)
        machine = GroupScheduler(group, catalog=catalog, policy=policy)
        worker = GroupServer(machine, engine, loop=loop, soon=loop.soon(1 + index))

        def up_to_front(frame: Frame) -> None:
            if process.is_alive:
                front.receive(index, frame)

        def down_to_worker(frame: Frame) -> None:
            if process.is_alive:
                worker.receive(frame)

        down, up = memory_pair(up_to_front, down_to_worker)
        process = self.processes[index] = _Process(worker, down, up)
        worker.attach(up)
        front.open_group(index, down, engine.interfaces())

    def lose(self, index: int) -> None:
        if self._end(index):
            assert self.front.lose_group(index, "it was killed")

    def join(self, group: Group) -> None:
        self.groups[self.next_index] = group
        self.front.add_group(self.next_index, group)
        self.open(self.next_index)
        self.next_index += 1

    def leave(self, index: int) -> None:
        self._end(index)
        if self.groups.pop(index, None) is not None:
            self.front.remove_group(index)

    def open_replica(self, index: int, model: str) -> None:
        if index in self.processes and model in self.groups[index].models:
            self.front.open_replica(index, model)

    def close_replica(self, index: int, model: str) -> None:
        if index in self.processes and model in self.groups[index].models:
            self.front.close_replica(index, model)

    def _end(self, index: int) -> bool:
        """The process is gone: nobody hears what its timers still say."""
        process = self.processes.pop(index, None)
        if process is None:
            return False
        process.is_alive = False
        return True

    def happenings(self, fault: Fault) -> list[tuple[float, Callable[[], None]]]:
        """What it does to the fleet, and when."""
        match fault:
            case Loss(at_s, index, opens_s):
                return [(at_s, partial(self.lose, index)), (opens_s, partial(self.open, index))]
            case ReplicaOpens(at_s, index, model):
                return [(at_s, partial(self.open_replica, index, model))]
            case ReplicaCloses(at_s, index, model):
                return [(at_s, partial(self.close_replica, index, model))]
            case GroupJoins(at_s, group):
                return [(at_s, partial(self.join, group))]
            case GroupLeaves(at_s, index):
                return [(at_s, partial(self.leave, index))]
        raise AssertionError(f"{fault} is not played live")


async def _serve(
    loop: VirtualLoop, deployment: Deployment, placement: Placement, trace: Trace, chaos: Chaos
) -> list[Answer | None]:
    machine = ClusterScheduler(placement, catalog=deployment.catalog(), policy=deployment.policy)
    front = FleetServer(
        deployment,
        placement,
        machine,
        clock=loop.time,
        soon=loop.soon(0),
        metrics=FleetMetrics(deployment.model_names),
    )
    fleet = _Fleet(loop, deployment, front, dict(enumerate(placement.groups)), len(placement.groups))
    for index in fleet.groups:
        fleet.open(index)
    calls = _Calls(loop, front, trace)
    faults = sorted(chaos.faults, key=lambda fault: fault.at_s)
    _at_each_instant(loop, [timed for fault in faults for timed in fleet.happenings(fault)])
    _at_each_instant(
        loop, [(float(at_s), partial(calls.arrive, row)) for row, at_s in enumerate(trace.arrival_s)]
    )
    _at_each_instant(loop, [(at_s, partial(calls.leave, row)) for row, at_s in chaos.cancels])
    await calls.all_ended
    for _ in range(1000):
        await asyncio.sleep(1.0)
        if not machine.num_in_flight:  # cancelled requests ran on
            break
    assert machine.num_in_flight == front.num_pending == 0
    assert all(count == 1 for count in calls.num_ends.values()) and len(calls.num_ends) == len(trace)
    assert all(front.in_flight_of(index) == 0 for index in fleet.groups)
    return calls.answers


class _Calls:
    """Every call of the trace, and what became of it."""

    def __init__(self, loop: VirtualLoop, front: FleetServer, trace: Trace) -> None:
        self.answers: list[Answer | None] = [None] * len(trace)
        self.num_ends: Counter[int] = Counter()
        self.all_ended = loop.create_future()
        self._loop, self._front, self._trace = loop, front, trace
        self._futures: dict[int, asyncio.Future[InferReply | Refusal]] = {}

    def arrive(self, row: int) -> None:
        call = InferCall(str(row), self._trace.models[self._trace.model_index[row]], "", INPUT)
        future = self._futures[row] = self._front.infer(call)
        future.add_done_callback(lambda future: self._end(row, future))

    def leave(self, row: int) -> None:
        if row in self._futures:
            self._futures[row].cancel()

    def _end(self, row: int, future: asyncio.Future[InferReply | Refusal]) -> None:
        self.num_ends[row] += 1
        if not future.cancelled():
            answer = future.result()
            if isinstance(answer, InferReply):
                self.answers[row] = Answer("served", answer.group, self._loop.time())
            else:
                self.answers[row] = Answer(answer.reason.value)
        if len(self.num_ends) == len(self.answers) and not self.all_ended.done():
            self.all_ended.set_result(None)


def _at_each_instant(loop: VirtualLoop, timed: Iterable[tuple[float, Callable[[], None]]]) -> None:
    """One timer an instant: asyncio does not keep the order of timers of the same time."""

    def all_of(calls: Sequence[Callable[[], None]]) -> None:
        for call in calls:
            call()

    for at_s, together in groupby(sorted(timed, key=itemgetter(0)), key=itemgetter(0)):
        if at_s < NEVER_S:
            loop.call_at(at_s, all_of, [call for _, call in together])
