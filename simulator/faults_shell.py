"""The virtual shell of a fleet that things happen to: groups are lost, freeze, are slow, come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never, final

from scheduling.cluster import ClusterScheduler
from simulator.agenda import Agenda
from simulator.arrivals import Arrivals
from simulator.columns import Columns
from simulator.faults_process import Process
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import (
    Arrived,
    BatchFinished,
    Begun,
    ClusterEvent,
    GroupAdded,
    GroupCommand,
    GroupEvent,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
    RunBatch,
    Settle,
    Settled,
    StageFreed,
    TellFirstToken,
)
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Group, Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S


@final
class FaultyShell:
    """`at` says what happens when; in an instant that comes first, the rest as in `simulator.simulate`."""

    def __init__(
        self,
        placement: Placement,
        trace: Trace,
        *,
        deployment: Deployment,
        limits: Sequence[Mapping[str, GenerationLimits]],
    ) -> None:
        """limits: for each group that ever is, by index."""
        self._catalog, self._policy = deployment.catalog(), deployment.policy
        self._limits = list(limits)
        self._arrivals = Arrivals(trace)
        num_groups = len(placement.groups)
        self._cluster = ClusterScheduler(
            placement, catalog=self._catalog, policy=self._policy, limits=limits[:num_groups]
        )
        self._groups = dict(enumerate(placement.groups))
        self._processes: dict[int, Process] = {}
        self._slowness: dict[int, float] = {}
        self._agenda: Agenda[tuple[Process, GroupEvent]] = Agenda()
        self._happenings: Agenda[tuple[Callable[..., None], tuple[Any, ...]]] = Agenda()
        self._is_heard = True
        self._thawed: set[int] = set()
        self._columns = Columns(trace, deployment, has_tokens=any(limits))
        self._statistics: dict[str, GenerationStatistics] = {}
        for index in range(num_groups):
            self.open(index)

    # What happens to the fleet.

    def at(self, time_s: float, happening: Callable[..., None], *words: Any) -> None:
        """One of the methods below is called then."""
        if time_s < NEVER_S:
            self._happenings.add(time_s, (happening, words))

    def open(self, index: int) -> None:
        """The group has a new process, and takes requests of its models."""
        if index in self._groups and index not in self._processes:
            self._processes[index] = Process(
                index,
                self._groups[index],
                catalog=self._catalog,
                policy=self._policy,
                limits=self._limits[index],
                slowness=self._slowness.get(index, 1.0),
            )
            self._tell(GroupOpened(index))

    def lose(self, index: int) -> None:
        """Its process is gone; nothing happens if it was."""
        if self._end(index):
            self._tell(GroupLost(index))

    def freeze(self, index: int) -> None:
        if index in self._processes:
            self._processes[index].freeze()

    def thaw(self, index: int) -> None:
        if index in self._processes:
            self._processes[index].thaw()
            self._thawed.add(index)

    def slow(self, index: int, factor: float) -> None:
        """Whichever process it has, now or later."""
        self._slowness[index] = factor
        if index in self._processes:
            self._processes[index].slow(factor)

    def open_replica(self, index: int, model: str, limits: GenerationLimits | None) -> None:
        """limits: where the model is new there, and generates."""
        group = self._groups.get(index)
        if group is None:
            return
        if model not in group.models:
            self._groups[index] = replace(group, models=(*group.models, model))
            if limits is not None:
                self._limits[index] = {**self._limits[index], model: limits}
            if index in self._processes:
                self._processes[index].add_model(model, catalog=self._catalog, limits=limits)
        self._tell(ReplicaOpened(index, model, self._limits[index].get(model)))

    def close_replica(self, index: int, model: str) -> None:
        self._tell(ReplicaClosed(index, model))

    def join(self, index: int, group: Group) -> None:
        self._groups[index] = group
        self._tell(GroupAdded(index, group, self._limits[index]))
        self.open(index)

    def leave(self, index: int) -> None:
        self._end(index)
        self._groups.pop(index, None)
        self._tell(GroupRemoved(index))

    # The simulation.

    def run(self) -> None:
        agenda, arrivals, happenings = self._agenda, self._arrivals, self._happenings
        while (now_s := min(arrivals.next_s, agenda.next_s, happenings.next_s)) < NEVER_S:
            self._instant(now_s)

    def outcomes(self) -> Outcomes:
        assert self._cluster.num_in_flight == 0, "a group that stalls for ever is never lost"
        for process in self._processes.values():
            self._count(process)
        return self._columns.outcomes(self._statistics)

    def _instant(self, now_s: float) -> None:
        for happening, words in self._happenings.pop_instant(now_s):
            happening(*words)
        self._observe_arrivals(now_s)
        touched = self._thawed
        self._thawed = set[int]()
        while True:
            for process, event in self._agenda.pop_instant(now_s):
                if self._processes.get(process.index) is process:
                    process.observe(event)
                    touched.add(process.index)
            if self._is_heard:
                self._is_heard = False
                self._columns.perform(self._cluster.decide(now_s), self._give, touched)
            for index in sorted(touched):
                process = self._processes[index]
                self._perform_group(process, process.decide(now_s), now_s)
            if self._agenda.next_s != now_s and not self._is_heard:
                return
            touched = set[int]()

    def _observe_arrivals(self, now_s: float) -> None:
        arrivals = self._arrivals
        while arrivals.next_s == now_s:
            request = self._columns.request(arrivals.row, arrivals.model_index, now_s)
            self._tell(Arrived(request))
            arrivals.advance()

    def _give(self, index: int, arrived: Arrived) -> None:
        self._processes[index].observe(arrived)

    def _perform_group(self, process: Process, commands: list[GroupCommand], now_s: float) -> None:
        for command in commands:
            match command:
                case RunBatch(batch):
                    run = process.start(batch, now_s)
                    self._agenda.add(run.stage_free_s, (process, StageFreed()))
                    self._agenda.add(run.finish_s, (process, BatchFinished(batch.id)))
                    self._tell(Begun(tuple([request.id for request in batch.requests])))
                case Settle(request_ids, fate):
                    for request_id in request_ids:
                        self._settle(request_id, fate, now_s)
                case TellFirstToken(request_ids):
                    self._columns.tell_first_token(request_ids, now_s)
                case _:
                    assert_never(command)

    def _settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        self._tell(Settled(request_id, fate, now_s))
        self._columns.settle(request_id, fate, now_s)

    def _tell(self, event: ClusterEvent) -> None:
        self._cluster.observe(event)
        self._is_heard = True

    def _end(self, index: int) -> bool:
        process = self._processes.pop(index, None)
        if process is None:
            return False
        self._thawed.discard(index)
        self._count(process)
        return True

    def _count(self, process: Process) -> None:
        for model, statistics in process.machine.generation_statistics.items():
            self._statistics.setdefault(model, GenerationStatistics()).add(statistics)
