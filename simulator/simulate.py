"""The virtual shell: the machines that serve, on a clock that jumps from event to event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never, final

from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from simulator.agenda import Agenda
from simulator.arrivals import Arrivals
from simulator.columns import Columns
from simulator.engine import ProfileEngine
from simulator.generation.arrivals import limits_of_groups
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import (
    Arrived,
    BatchFinished,
    GroupCommand,
    GroupEvent,
    GroupOpened,
    RunBatch,
    Settle,
    Settled,
    StageFreed,
    TellFirstToken,
)
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S


def simulate(
    placement: Placement, trace: Trace, *, deployment: Deployment, opens_s: Sequence[float] | None = None
) -> Outcomes:
    """Outcomes of every request of `trace` under `placement` and the policy of `deployment`, repeatable.

    opens_s: when each group opens [groups]; all at the start without it. Until then nothing is sent to it.
    The trace's models must be those of the deployment, in its order (`Trace.aligned_to`). Raises InvalidInput
    or Infeasible when the trace asks for tokens and a model cannot generate, or has no memory for it.
    """
    assert trace.models == deployment.model_names, "align the trace to the deployment first"
    limits = limits_of_groups(placement, trace, deployment=deployment)
    shell = _Shell(placement, trace, deployment=deployment, limits=limits, opens_s=opens_s)
    shell.run()
    return shell.outcomes()


@final
class _Shell:
    def __init__(
        self,
        placement: Placement,
        trace: Trace,
        *,
        deployment: Deployment,
        limits: Sequence[Mapping[str, GenerationLimits]],
        opens_s: Sequence[float] | None,
    ) -> None:
        catalog, policy = deployment.catalog(), deployment.policy
        self._arrivals = Arrivals(trace)
        self._cluster = ClusterScheduler(placement, catalog=catalog, policy=policy, limits=limits)
        self._groups = [
            GroupScheduler(group, catalog=catalog, policy=policy, limits=one)
            for group, one in zip(placement.groups, limits, strict=True)
        ]
        self._engines = [ProfileEngine(group, catalog) for group in placement.groups]
        self._agenda: Agenda[tuple[int, GroupEvent]] = Agenda()
        self._cluster_heard = True
        self._columns = Columns(trace, deployment, has_tokens=any(limits))
        self._openings: Agenda[int] = Agenda()
        for index in range(len(placement.groups)):
            if opens_s is None or opens_s[index] <= 0.0:
                self._cluster.observe(GroupOpened(index))
            else:
                self._openings.add(opens_s[index], index)

    def run(self) -> None:
        agenda, arrivals = self._agenda, self._arrivals
        while (now_s := min(arrivals.next_s, agenda.next_s)) < NEVER_S:
            if self._openings.next_s <= now_s:
                self._open(now_s)
            self._instant(now_s)

    def outcomes(self) -> Outcomes:
        return self._columns.outcomes(self._generation())

    def _generation(self) -> Mapping[str, GenerationStatistics]:
        """Totals of each model over the groups that hold it."""
        totals: dict[str, GenerationStatistics] = {}
        for group in self._groups:
            for model, statistics in group.generation_statistics.items():
                totals.setdefault(model, GenerationStatistics()).add(statistics)
        return totals

    def _open(self, now_s: float) -> None:
        """Groups that have opened since the last instant: nothing happens between instants."""
        while self._openings.next_s <= now_s:
            for index in self._openings.pop_instant(self._openings.next_s):
                self._cluster.observe(GroupOpened(index))

    def _instant(self, now_s: float) -> None:
        """Everything at `now_s`: all events, then the cluster machine, then the groups, until nothing moves.

        The live shells keep the same order within an instant (`controller.server`, `workers.server`).
        """
        self._observe_arrivals(now_s)
        while True:
            touched: set[int] = set()
            for index, event in self._agenda.pop_instant(now_s):
                self._groups[index].observe(event)
                touched.add(index)
            if self._cluster_heard:  # without an event it has nothing to decide
                self._cluster_heard = False
                self._columns.perform(self._cluster.decide(now_s), self._give, touched)
            for index in sorted(touched) if len(touched) > 1 else touched:
                self._perform_group(index, self._groups[index].decide(now_s), now_s)
            if self._agenda.next_s != now_s and not self._cluster_heard:
                return

    def _observe_arrivals(self, now_s: float) -> None:
        arrivals = self._arrivals
        while arrivals.next_s == now_s:
            request = self._columns.request(arrivals.row, arrivals.model_index, now_s)
            self._cluster.observe(Arrived(request))
            self._cluster_heard = True
            arrivals.advance()

    def _give(self, index: int, arrived: Arrived) -> None:
        self._groups[index].observe(arrived)

    def _perform_group(self, index: int, commands: list[GroupCommand], now_s: float) -> None:
        for command in commands:
            match command:
                case RunBatch(batch):
                    run = self._engines[index].start(batch, now_s)
                    self._agenda.add(run.stage_free_s, (index, StageFreed()))
                    self._agenda.add(run.finish_s, (index, BatchFinished(batch.id)))
                case Settle(request_ids, fate):
                    for request_id in request_ids:
                        self._settle(request_id, fate, now_s)
                case TellFirstToken(request_ids):
                    self._columns.tell_first_token(request_ids, now_s)
                case _:
                    assert_never(command)

    def _settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        self._cluster.observe(Settled(request_id, fate, now_s))
        self._cluster_heard = True
        self._columns.settle(request_id, fate, now_s)
