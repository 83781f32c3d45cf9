"""Requests while a fleet changes in drawn stories of reconciliation: each has one reply, and none is left."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import assert_never

import pytest

from scheduling.cluster import ClusterScheduler
from simulator.agenda import Agenda
from tests.scheduling.fleets import catalog_of
from tests.scheduling.test_reconcile_drawn import MODELS, play
from tests.scheduling.toy_world import ToyWorld
from vocabulary.deployment import Policy
from vocabulary.messages import (
    Arrived,
    Begun,
    Cancelled,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupAdded,
    GroupLost,
    GroupOpened,
    GroupRemoved,
    ReplicaClosed,
    ReplicaOpened,
    Reply,
    Settled,
    Withdraw,
)
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.steps import (
    CloseReplica,
    GroupEnded,
    GroupStarted,
    OpenReplica,
    StartGroups,
    Step,
    StepEvent,
    StopGroup,
)
from vocabulary.units import NEVER_S

CATALOG = catalog_of({model: ({1: (0.5,)}, {1: (0.25, 0.25)}) for model in MODELS})
NUM_REQUESTS = 150


class Traffic:
    """Plays a world's changes once more to the cluster machine, with requests on its groups."""

    def __init__(self, world: ToyWorld, *, seed: int) -> None:
        self._random = draw = random.Random(seed)
        policy = Policy(
            router=draw.choice(["round_robin", "least_loaded", "shortest_expected_delay"]),
            admission=draw.choice(["none", "slo"]),
            max_queued_requests=draw.choice([3, 100]),
        )
        self._machine = ClusterScheduler(Placement(()), catalog=CATALOG, policy=policy)
        self._agenda: Agenda[tuple[ClusterEvent, int | None]] = Agenda()
        self._indices = count()
        # Of groups by id, the index of the one that runs; by index, the models that may get requests.
        self._index: dict[str, int] = {}
        self._open: dict[int, set[str]] = {}
        self.fates: Counter[Fate] = Counter()
        self._replied: set[int] = set()
        self._forwarded: dict[int, list[int]] = {}
        self._begun: set[int] = set()
        for time_s, one in world.log:
            for event in self._heard(one):
                self._agenda.add(time_s, (event, None))
        for request_id in range(NUM_REQUESTS):
            time_s = draw.choice([draw.uniform(0.0, world.now_s), draw.choice(world.log)[0]])
            slo_s = draw.choice([1.0, 5.0, NEVER_S])
            request = Request(request_id, draw.choice(MODELS), time_s, slo_s)
            self._agenda.add(time_s, (Arrived(request), None))
            if draw.random() < 0.1:
                self._agenda.add(time_s + draw.choice([0.0, 0.3]), (Cancelled(request_id), None))

    def run(self) -> None:
        while (now_s := self._agenda.next_s) < NEVER_S:
            for event, group_index in self._agenda.pop_instant(now_s):
                if group_index is None or group_index in self._open:
                    self._observe(event)
            for command in self._machine.decide(now_s):
                self._perform(command, now_s)
        assert len(self._replied) == NUM_REQUESTS
        assert self._machine.num_in_flight == 0
        assert all(self._machine.group_in_flight(index) == 0 for index in self._open)

    def _heard(self, one: StepEvent | Step) -> list[ClusterEvent]:
        """What the cluster machine is told of it."""
        match one:
            case StartGroups(groups):
                self._index.update({group.id: next(self._indices) for group in groups})
                return [GroupAdded(self._index[group.id], replace(group, models=())) for group in groups]
            case GroupStarted(group):
                return [GroupOpened(self._index[group.id])]
            case OpenReplica(group_id, model):
                return [ReplicaOpened(self._index[group_id], model)]
            case CloseReplica(group_id, model):
                return [ReplicaClosed(self._index[group_id], model)]
            case StopGroup(group_id):
                return [GroupRemoved(self._index[group_id])]
            case GroupEnded(group_id):
                return [GroupLost(self._index[group_id]), GroupRemoved(self._index[group_id])]
        return []

    def _observe(self, event: ClusterEvent) -> None:
        self._machine.observe(event)
        match event:
            case GroupAdded(index):
                self._open[index] = set()
            case ReplicaOpened(index, model):
                self._open[index].add(model)
            case ReplicaClosed(index, model):
                self._open[index].discard(model)
            case GroupLost(index) | GroupRemoved(index):
                self._open.pop(index, None)
            case Begun(request_ids):
                self._begun |= set(request_ids)

    def _perform(self, command: ClusterCommand, now_s: float) -> None:
        match command:
            case Forward(request, index):
                assert request.model in self._open[index], "a closed replica gets requests"
                before = self._forwarded.setdefault(request.id, [])
                assert not before or before[0] not in self._open, "given again, though nothing was lost"
                assert request.id not in self._begun and len(before) < 2
                before.append(index)
                begun_s = now_s + self._random.choice([0.0, 0.5, 2.0])
                end_s = begun_s + self._random.random()
                self._agenda.add(begun_s, (Begun((request.id,)), index))
                fate = Fate.SERVED if self._random.random() < 0.9 else Fate.FAILED
                self._agenda.add(end_s, (Settled(request.id, fate, end_s), index))
            case Reply(request_id, fate):
                assert request_id not in self._replied, "two replies"
                self._replied.add(request_id)
                self.fates[fate] += 1
            case Withdraw():
                pass
            case _:
                assert_never(command)


@pytest.mark.parametrize("first_seed", [0, 50])
def test_every_request_has_one_reply_while_the_fleet_changes(first_seed: int) -> None:
    fates: Counter[Fate] = Counter()
    for seed in range(first_seed, first_seed + 50):
        traffic = Traffic(play(seed), seed=seed)
        traffic.run()
        fates += traffic.fates
    # It is about something.
    assert min(fates[fate] for fate in (Fate.SERVED, Fate.LOST, Fate.UNAVAILABLE, Fate.CANCELLED)) > 10, fates
