"""The virtual shell: the machines that serve, on a clock that jumps from event to event."""

from __future__ import annotations

from typing import assert_never, final

import numpy as np

from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from simulator.agenda import Agenda
from simulator.engine import ProfileEngine
from vocabulary.catalog import Catalog
from vocabulary.deployment import Deployment, Policy
from vocabulary.messages import (
    Arrived,
    BatchFinished,
    ClusterCommand,
    Forward,
    GroupCommand,
    GroupEvent,
    GroupOpened,
    Reply,
    RunBatch,
    Settle,
    Settled,
    StageFreed,
    Withdraw,
)
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.trace import Trace


def simulate(placement: Placement, trace: Trace, *, deployment: Deployment) -> Outcomes:
    """Outcomes of every request of `trace` under `placement` and the policy of `deployment`, repeatable.

    The trace's models must be those of the deployment, in its order (`Trace.aligned_to`).
    """
    assert trace.models == deployment.model_names, "align the trace to the deployment first"
    catalog = deployment.catalog()
    slo_ns = [model.slo_ns(deployment.latency) for model in deployment.models]
    shell = _Shell(placement, trace, slo_ns=slo_ns, catalog=catalog, policy=deployment.policy)
    shell.run()
    return shell.outcomes()


@final
class _Shell:
    def __init__(
        self, placement: Placement, trace: Trace, *, slo_ns: list[int], catalog: Catalog, policy: Policy
    ) -> None:
        self._trace = trace
        self._slo_ns = slo_ns
        self._arrival_ns: list[int] = trace.arrival_ns.tolist()
        self._model_index: list[int] = trace.model_index.tolist()
        self._overhead_ns = catalog.latency.fixed_overhead_ns
        self._cluster = ClusterScheduler(placement, catalog=catalog, policy=policy)
        self._groups = [GroupScheduler(g, catalog=catalog, policy=policy) for g in placement.groups]
        self._engines = [ProfileEngine(group, catalog) for group in placement.groups]
        self._agenda: Agenda[tuple[int, GroupEvent]] = Agenda()
        self._next = 0
        self._settled_in_instant = False
        # Columns of the outcomes.
        self._group_index = np.full(len(trace), NO_GROUP, dtype=np.int32)
        self._finish_ns = np.zeros(len(trace), dtype=np.int64)
        self._fate = np.full(len(trace), FATE_CODE[Fate.NOT_PLACED], dtype=np.int8)
        self._good = np.zeros(len(trace), dtype=bool)
        for index in range(len(placement.groups)):
            self._cluster.observe(GroupOpened(index))

    def run(self) -> None:
        while self._next < len(self._arrival_ns) or len(self._agenda):
            self._instant(self._next_ns())

    def outcomes(self) -> Outcomes:
        return Outcomes(self._trace, self._group_index, self._finish_ns, self._fate, self._good)

    def _next_ns(self) -> int:
        times_ns = []
        if self._next < len(self._arrival_ns):
            times_ns.append(self._arrival_ns[self._next])
        if len(self._agenda):
            times_ns.append(self._agenda.next_ns)
        return min(times_ns)

    def _instant(self, now_ns: int) -> None:
        """Everything at `now_ns`: all events, then the cluster machine, then the groups, until nothing moves.

        The live shells keep the same order within an instant (`controller.server`, `workers.server`).
        """
        self._observe_arrivals(now_ns)
        while True:
            touched = set()
            for index, event in self._agenda.pop_instant(now_ns):
                self._groups[index].observe(event)
                touched.add(index)
            self._perform_cluster(self._cluster.decide(now_ns), touched)
            for index in sorted(touched):
                self._perform_group(index, self._groups[index].decide(now_ns), now_ns)
            more_events = len(self._agenda) and self._agenda.next_ns == now_ns
            if not more_events and not self._settled_in_instant:
                return
            self._settled_in_instant = False

    def _observe_arrivals(self, now_ns: int) -> None:
        arrival_ns = self._arrival_ns
        while self._next < len(arrival_ns) and arrival_ns[self._next] == now_ns:
            index = self._model_index[self._next]
            name = self._trace.models[index]
            self._cluster.observe(Arrived(Request(self._next, name, now_ns, self._slo_ns[index])))
            self._next += 1

    def _perform_cluster(self, commands: list[ClusterCommand], touched: set[int]) -> None:
        for command in commands:
            match command:
                case Forward(request, group_index):
                    self._group_index[request.id] = group_index
                    self._groups[group_index].observe(Arrived(request))
                    touched.add(group_index)
                case Reply(request_id, fate):
                    self._fate[request_id] = FATE_CODE[fate]
                case Withdraw():
                    raise AssertionError("nobody cancels in a trace")
                case _:
                    assert_never(command)

    def _perform_group(self, index: int, commands: list[GroupCommand], now_ns: int) -> None:
        for command in commands:
            match command:
                case RunBatch(batch):
                    run = self._engines[index].start(batch, now_ns)
                    self._agenda.add(run.stage_free_ns, (index, StageFreed()))
                    self._agenda.add(run.finish_ns, (index, BatchFinished(batch.id)))
                case Settle(request_ids, fate):
                    for request_id in request_ids:
                        self._settle(request_id, fate, now_ns)
                case _:
                    assert_never(command)

    def _settle(self, request_id: int, fate: Fate, now_ns: int) -> None:
        self._cluster.observe(Settled(request_id, fate, now_ns))
        self._settled_in_instant = True
        if fate is Fate.SERVED:
            finish_ns = now_ns + self._overhead_ns
            self._finish_ns[request_id] = finish_ns
            slo_ns = self._slo_ns[self._model_index[request_id]]
            self._good[request_id] = finish_ns - self._arrival_ns[request_id] <= slo_ns
