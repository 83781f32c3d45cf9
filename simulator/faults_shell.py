"""The virtual shell of a fleet that things happen to: groups are lost, freeze, are slow, come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never, final

import numpy as np

from scheduling.cluster import ClusterScheduler
from simulator.agenda import Agenda
from simulator.arrivals import Arrivals
from simulator.faults_process import Process
from simulator.generation.arrivals import TokenRequests
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import (
    Arrived,
    BatchFinished,
    Begun,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupAdded,
    GroupCommand,
    GroupEvent,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
    Reply,
    RunBatch,
    Settle,
    Settled,
    StageFreed,
    TellFirstToken,
    Withdraw,
)
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.placement import Group, Placement
from vocabulary.request import Fate, Request
from vocabulary.token_outcomes import keeps_tpot, keeps_ttft
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S, TIME_TOLERANCE_S


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
        self._trace, self._limits = trace, list(limits)
        self._slos = tuple(model.slo for model in deployment.models)
        self._slo_s = [model.slo_s(deployment.latency) for model in deployment.models]
        self._overhead_s = self._catalog.latency.fixed_overhead_s
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
        self._group_index = np.full(len(trace), NO_GROUP, dtype=np.int32)
        self._finish_s = np.zeros(len(trace))
        self._fate = np.full(len(trace), FATE_CODE[Fate.NOT_PLACED], dtype=np.int8)
        self._first_token_s = np.full(len(trace), np.nan)
        self._statistics: dict[str, GenerationStatistics] = {}
        self._asked: TokenRequests | None = None
        if trace.tokens is not None and any(limits):
            self._asked = TokenRequests(
                trace.tokens, deployment.models, slo_s=self._slo_s, tenants=trace.tenants
            )
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
        served = self._fate == FATE_CODE[Fate.SERVED]
        latest_s = np.array(self._slo_s)[self._trace.model_index] + TIME_TOLERANCE_S
        good = served & (self._finish_s - self._trace.arrival_s <= latest_s)
        found = Outcomes(self._trace, self._group_index, self._finish_s, self._fate, good)
        if self._asked is None:
            return found
        for process in self._processes.values():
            self._count(process)
        found = replace(
            found, first_token_s=self._first_token_s, slos=self._slos, generation=self._statistics
        )
        return replace(found, good=good & keeps_ttft(found) & keeps_tpot(found))

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
                self._perform_cluster(self._cluster.decide(now_s), touched)
            for index in sorted(touched):
                process = self._processes[index]
                self._perform_group(process, process.decide(now_s), now_s)
            if self._agenda.next_s != now_s and not self._is_heard:
                return
            touched = set[int]()

    def _observe_arrivals(self, now_s: float) -> None:
        arrivals = self._arrivals
        while arrivals.next_s == now_s:
            row, index = arrivals.row, arrivals.model_index
            if self._asked is None:
                request = Request(row, self._trace.models[index], now_s, self._slo_s[index])
            else:
                request = self._asked.request(row, index, now_s)
            self._tell(Arrived(request))
            arrivals.advance()

    def _perform_cluster(self, commands: list[ClusterCommand], touched: set[int]) -> None:
        for command in commands:
            match command:
                case Forward(request, group_index):
                    self._group_index[request.id] = group_index
                    self._processes[group_index].observe(Arrived(request))
                    touched.add(group_index)
                case Reply(request_id, fate):
                    self._fate[request_id] = FATE_CODE[fate]
                case Withdraw():
                    raise AssertionError("nobody cancels in a trace")
                case _:
                    assert_never(command)

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
                    self._first_token_s[list(request_ids)] = now_s + self._overhead_s
                case _:
                    assert_never(command)

    def _settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        self._tell(Settled(request_id, fate, now_s))
        if fate is Fate.SERVED:
            self._finish_s[request_id] = now_s + self._overhead_s

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
