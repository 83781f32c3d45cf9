"""Several front ends over the same groups: each with its own machine, and heartbeats for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never, final

from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from scheduling.two_choices import mixed_of
from simulator.agenda import Agenda
from simulator.arrivals import Arrivals
from simulator.columns import Columns
from simulator.engine import ProfileEngine
from vocabulary.deployment import Deployment
from vocabulary.messages import (
    Arrived,
    BatchFinished,
    GroupCommand,
    GroupEvent,
    GroupHeard,
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

# Which front end a request comes to, of so many: by its row in the trace.
SPLITS: Mapping[str, Callable[[int, int], int]] = {
    "turns": lambda row, num_fronts: row % num_fronts,
    "hash": lambda row, num_fronts: mixed_of(row) % num_fronts,
}


@dataclass(frozen=True, slots=True)
class Fronts:
    """How many front ends share the arrivals, and how often each group tells all of them how busy it is."""

    num_fronts: int = 1
    beat_interval_s: float = 0.5
    split: str = "hash"

    def __post_init__(self) -> None:
        assert self.num_fronts >= 1, self
        assert self.beat_interval_s > 0, self
        assert self.split in SPLITS, self


def simulate_fronts(
    placement: Placement, trace: Trace, *, deployment: Deployment, fronts: Fronts
) -> Outcomes:
    """As `simulator.simulate.simulate`, of one-shot requests that arrive at several front ends.

    One front end gives the same outcomes as `simulate`, whatever the heartbeats.
    """
    assert trace.models == deployment.model_names, "align the trace to the deployment first"
    shell = _Shell(placement, trace, deployment=deployment, fronts=fronts)
    shell.run()
    return shell.outcomes()


@final
class _Shell:
    def __init__(self, placement: Placement, trace: Trace, *, deployment: Deployment, fronts: Fronts) -> None:
        catalog, policy = deployment.catalog(), deployment.policy
        self._fronts = fronts
        self._front_of = SPLITS[fronts.split]
        self._arrivals = Arrivals(trace)
        self._clusters = [
            ClusterScheduler(placement, catalog=catalog, policy=policy, front=front)
            for front in range(fronts.num_fronts)
        ]
        self._groups = [GroupScheduler(group, catalog=catalog, policy=policy) for group in placement.groups]
        self._engines = [ProfileEngine(group, catalog) for group in placement.groups]
        self._agenda: Agenda[tuple[int, GroupEvent]] = Agenda()
        # Groups start one after another, and so their beats are spread over an interval.
        self._beats: Agenda[int] = Agenda()
        self._heard: set[int] = set(range(fronts.num_fronts))
        for index in range(len(placement.groups)):
            self._beats.add(fronts.beat_interval_s * (index + 1) / len(placement.groups), index)
            for cluster in self._clusters:
                cluster.observe(GroupOpened(index))
        self._columns = Columns(trace, deployment)

    def run(self) -> None:
        agenda, arrivals, beats = self._agenda, self._arrivals, self._beats
        while (next_s := min(arrivals.next_s, agenda.next_s)) < NEVER_S:
            self._instant(min(next_s, beats.next_s))

    def outcomes(self) -> Outcomes:
        return self._columns.outcomes()

    def _instant(self, now_s: float) -> None:
        """As in `simulator.simulate`; a beat tells what the group held before this instant."""
        self._beat(now_s)
        self._observe_arrivals(now_s)
        while True:
            touched: set[int] = set()
            for index, event in self._agenda.pop_instant(now_s):
                self._groups[index].observe(event)
                touched.add(index)
            heard, self._heard = sorted(self._heard), set()
            for front in heard:
                self._columns.perform(self._clusters[front].decide(now_s), self._give, touched)
            for index in sorted(touched):
                self._perform_group(index, self._groups[index].decide(now_s), now_s)
            if self._agenda.next_s != now_s and not self._heard:
                return

    def _beat(self, now_s: float) -> None:
        for index in self._beats.pop_instant(now_s):
            group = self._groups[index]
            heard = GroupHeard(index, group.backlog_s(now_s), group.num_waiting + group.num_running, now_s)
            for cluster in self._clusters:
                cluster.observe(heard)
            self._heard.update(range(len(self._clusters)))
            self._beats.add(now_s + self._fronts.beat_interval_s, index)

    def _observe_arrivals(self, now_s: float) -> None:
        arrivals = self._arrivals
        while arrivals.next_s == now_s:
            request = self._columns.request(arrivals.row, arrivals.model_index, now_s)
            self._tell(Arrived(request), request.id)
            arrivals.advance()

    def _tell(self, event: Arrived | Settled, request_id: int) -> None:
        front = self._front_of(request_id, len(self._clusters))
        self._clusters[front].observe(event)
        self._heard.add(front)

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
                case TellFirstToken():
                    raise AssertionError("requests are one-shot here")
                case _:
                    assert_never(command)

    def _settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        self._tell(Settled(request_id, fate, now_s), request_id)
        self._columns.settle(request_id, fate, now_s)
