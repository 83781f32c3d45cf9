"""A shell for both machines in a rough world: engines run early, late or fail, groups get lost, people leave.

It checks what holds at every step; what a play returns is every command, with its time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import assert_never

from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from vocabulary.catalog import Catalog
from vocabulary.deployment import Policy
from vocabulary.messages import (
    Arrived,
    Batch,
    BatchFinished,
    Begun,
    Cancelled,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupCommand,
    GroupEvent,
    GroupLost,
    GroupOpened,
    Reply,
    RunBatch,
    Settle,
    Settled,
    StageFreed,
    Withdraw,
)
from vocabulary.placement import Group, Placement
from vocabulary.request import Request


@dataclass(frozen=True)
class Story:
    """What happens. `speeds` are cycled through: batch n takes so many times its profile; 0 means it fails.

    cancels: when the client of a request leaves; losses: (group index, when, when it opens again).
    """

    requests: tuple[Request, ...]
    cancels: Mapping[int, float] = field(default_factory=dict)
    losses: tuple[tuple[int, float, float], ...] = ()
    speeds: tuple[float, ...] = (1.0,)
    link_s: float = 0.0


@dataclass(frozen=True)
class Line:
    """A command of the cluster (group None) or of a group."""

    time_s: float
    group: int | None
    command: ClusterCommand | GroupCommand


def play(
    story: Story, placement: Placement, *, catalog: Catalog, policy: Policy, shuffle_seed: int
) -> list[Line]:
    """Play the story to its end; events of one instant come in an order drawn from `shuffle_seed`."""
    shell = _Shell(story, placement, catalog=catalog, policy=policy, shuffle_seed=shuffle_seed)
    shell.run()
    shell.assert_all_is_done()
    return shell.lines


class _Worker:
    """A group machine, what it holds, and its engine's stages."""

    def __init__(self, group: Group, *, catalog: Catalog, policy: Policy) -> None:
        self.group = group
        self.machine = GroupScheduler(group, catalog=catalog, policy=policy)
        self.stage_ends_s = [0.0] * group.config.pipeline
        self.is_stage_free = True
        self.waiting: set[int] = set()
        self.running: dict[int, Batch] = {}

    def observe(self, event: GroupEvent) -> None:
        if isinstance(event, Arrived):
            self.waiting.add(event.request.id)
        self.is_stage_free |= isinstance(event, StageFreed)
        self.machine.observe(event)

    def start(self, batch: Batch, now_s: float, stages_s: tuple[float, ...]) -> tuple[float, float]:
        """When the first stage is free again, and when the batch is through."""
        assert self.is_stage_free, "a batch was started on a busy stage"
        assert {request.model for request in batch.requests} == {batch.model} <= set(self.group.models)
        ids = {request.id for request in batch.requests}
        assert len(ids) == batch.size and ids <= self.waiting, (ids, self.waiting)
        self.is_stage_free = False
        self.waiting -= ids
        self.running[batch.id] = batch
        end_s = now_s
        for stage, latency_s in enumerate(stages_s):
            end_s = self.stage_ends_s[stage] = max(end_s, self.stage_ends_s[stage]) + latency_s
        return self.stage_ends_s[0], end_s

    def settle(self, request_ids: tuple[int, ...]) -> None:
        """Whatever is settled was here and had not been settled."""
        ended = [key for key, batch in self.running.items() if batch.requests[0].id in request_ids]
        for key in ended:
            ids = {request.id for request in self.running.pop(key).requests}
            assert ids == set(request_ids), "a batch is settled as one"
            return
        assert set(request_ids) <= self.waiting, (request_ids, self.waiting)
        self.waiting -= set(request_ids)


class _Shell:
    def __init__(
        self, story: Story, placement: Placement, *, catalog: Catalog, policy: Policy, shuffle_seed: int
    ) -> None:
        self._story, self._placement, self._catalog, self._policy = story, placement, catalog, policy
        self._random = random.Random(shuffle_seed)
        self._cluster = ClusterScheduler(placement, catalog=catalog, policy=policy)
        self._workers = [_Worker(group, catalog=catalog, policy=policy) for group in placement.groups]
        self._order = count()
        self._num_batches = 0
        # (time, order, the worker it is for or None for the cluster, event, the worker that sent it)
        self._agenda: list[tuple[float, int, _Worker | None, ClusterEvent | GroupEvent, _Worker | None]] = []
        # To which groups a request went, and which the cluster knows to be begun.
        self._forwarded: dict[int, list[int]] = {}
        self._begun: set[int] = set()
        self._lost: set[int] = set()
        self._replied: set[int] = set()
        self.lines: list[Line] = []
        self._post_story()

    def run(self) -> None:
        while self._agenda:
            now_s = self._agenda[0][0]
            events = []
            while self._agenda and self._agenda[0][0] == now_s:
                events.append(heapq.heappop(self._agenda)[2:])
            self._instant(now_s, events)

    def assert_all_is_done(self) -> None:
        assert self._replied == {request.id for request in self._story.requests}
        assert self._cluster.num_in_flight == 0
        for index, worker in enumerate(self._workers):
            assert self._cluster.group_in_flight(index) == 0
            assert worker.machine.num_waiting == worker.machine.num_running == 0
            assert not worker.waiting and not worker.running

    def _post_story(self) -> None:
        for index in range(len(self._workers)):
            self._post(0.0, None, GroupOpened(index))
        for request in self._story.requests:
            self._post(request.arrival_s, None, Arrived(request))
        for request_id, time_s in self._story.cancels.items():
            self._post(time_s, None, Cancelled(request_id))
        for index, lost_s, opened_s in self._story.losses:
            self._post(lost_s, None, GroupLost(index))
            self._post(opened_s, None, GroupOpened(index))

    def _post(
        self,
        time_s: float,
        worker: _Worker | None,
        event: ClusterEvent | GroupEvent,
        sender: _Worker | None = None,
    ) -> None:
        heapq.heappush(self._agenda, (time_s, next(self._order), worker, event, sender))

    def _shuffle(self, events: list) -> list:
        """What is told of groups comes from one place and keeps its order."""
        shuffled = self._random.sample(events, len(events))
        in_order = (one for one in events if isinstance(one[1], GroupLost | GroupOpened))
        return [next(in_order) if isinstance(one[1], GroupLost | GroupOpened) else one for one in shuffled]

    def _instant(self, now_s: float, events: list) -> None:
        events = self._shuffle(events)
        for worker, event, sender in events:
            if worker is not None:
                if worker in self._workers:
                    worker.observe(event)
            elif sender is None or sender in self._workers:  # nobody listens to one that is lost
                self._cluster.observe(event)
                self._begun |= set(event.request_ids if isinstance(event, Begun) else ())
        self._lost = {event.group_index for _, event, _ in events if isinstance(event, GroupLost)}
        for index in sorted(self._lost):
            self._workers[index] = self._new_worker(index)
        for command in self._cluster.decide(now_s):
            self.lines.append(Line(now_s, None, command))
            self._perform_cluster(command, now_s)
        for index, worker in enumerate(self._workers):
            for command in worker.machine.decide(now_s):
                self.lines.append(Line(now_s, index, command))
                self._perform_group(worker, command, now_s)
            assert worker.machine.num_waiting == 0 or not worker.is_stage_free, "the stage idles, work waits"

    def _new_worker(self, index: int) -> _Worker:
        return _Worker(self._placement.groups[index], catalog=self._catalog, policy=self._policy)

    def _perform_cluster(self, command: ClusterCommand, now_s: float) -> None:
        match command:
            case Forward(request, index):
                self._check_second_time(request.id)
                assert self._cluster.is_open(index) and request.model in self._placement.groups[index].models
                self._forwarded.setdefault(request.id, []).append(index)
                self._post(now_s + self._story.link_s, self._workers[index], Arrived(request))
            case Reply(request_id):
                assert request_id not in self._replied, f"request {request_id} was answered twice"
                self._replied.add(request_id)
            case Withdraw(request_id, index):
                self._post(now_s + self._story.link_s, self._workers[index], Cancelled(request_id))
            case _:
                assert_never(command)

    def _check_second_time(self, request_id: int) -> None:
        """A request goes to another group once, when its own is lost before it began."""
        assert request_id not in self._replied
        before = self._forwarded.get(request_id)
        assert before is None or (len(before) == 1 and before[0] in self._lost), before
        assert request_id not in self._begun

    def _perform_group(self, worker: _Worker, command: GroupCommand, now_s: float) -> None:
        match command:
            case RunBatch(batch):
                begun = Begun(tuple(request.id for request in batch.requests))
                self._post(now_s + self._story.link_s, None, begun, worker)
                self._start(worker, batch, now_s)
            case Settle(request_ids, fate):
                worker.settle(request_ids)
                for request_id in request_ids:
                    self._post(now_s + self._story.link_s, None, Settled(request_id, fate, now_s), worker)
            case _:
                assert_never(command)

    def _start(self, worker: _Worker, batch: Batch, now_s: float) -> None:
        limit = 1 if self._policy.batching == "none" else self._policy.max_batch_size
        assert batch.size <= limit, batch
        costs = self._catalog.costs(batch.model, worker.group.config)
        speed = self._story.speeds[self._num_batches % len(self._story.speeds)]
        self._num_batches += 1
        stages_s = tuple(latency_s * (speed or 0.5) for latency_s in costs.of(batch.size))
        stage_free_s, end_s = worker.start(batch, now_s, stages_s)
        self._post(stage_free_s, worker, StageFreed())
        self._post(end_s, worker, BatchFinished(batch.id, failed=not speed))
