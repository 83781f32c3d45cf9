"""Why a model sits where it does: each group with it, without it, or with it for another, simulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from placement.candidate import Candidate
from placement.memory import NOWHERE
from placement.why import Change, Room, WhatIf
from placement.why_limits import impossible_slo
from vocabulary.deployment import Deployment
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement
from vocabulary.trace import Trace

# Simulated requests that exchanges with other models may cost: some seconds on one core.
MAX_EXCHANGE_REQUESTS = 100_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """The model in the place of another one that leaves the group."""

    leaving: str
    change: Change


@dataclass(frozen=True, slots=True)
class Seat:
    """One group, as one model sees it.

    alone_s: a request of its on the idle group, None where its profile has no such configuration; room: for
    one replica more, None where it is or cannot be; is_ruled_out: the rules allow no further one.
    dropped: without the replica that is here; added: with one more here, whatever the memory; moved: with the
    replica here that is missed least elsewhere; exchanged: the best of those that make room by taking one
    other model away. Models of one `colocate` come and go together.
    """

    group: str
    config: ParallelConfig
    is_held: bool
    alone_s: float | None
    room: Room | None
    is_ruled_out: bool = False
    dropped: Change | None = None
    added: Change | None = None
    moved: Change | None = None
    exchanged: Exchange | None = None

    @property
    def has_room(self) -> bool:
        return self.room is not None and self.room.missing_bytes <= 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """One model under a placement: its requests, those in time, and every group. Changes are in requests in
    time; impossible: why no placement could keep its SLO, else empty."""

    model: str
    num_requests: int
    num_good: int
    slo_s: float | None
    seats: tuple[Seat, ...]
    impossible: str = ""

    @property
    def next_replica(self) -> Seat | None:
        """Where one more would gain most in all, if it gains anywhere."""
        found = [seat for seat in self.seats if seat.added is not None and seat.added.num_all > 0]
        return max(found, key=lambda seat: seat.added.num_all if seat.added else 0, default=None)


def explain(
    model: str, placement: Placement, trace: Trace, *, deployment: Deployment, trim_s: float = 0.0
) -> Explanation:
    """What each group is to a model that the deployment has; two simulations a group, and exchanges."""
    return _Explainer(model, placement, trace, deployment, trim_s).explanation()


@final
class _Explainer:
    """The questions about one model."""

    def __init__(
        self, model: str, placement: Placement, trace: Trace, deployment: Deployment, trim_s: float
    ) -> None:
        self._deployment = deployment
        self._spec = deployment.model(model)
        self._model = deployment.model_names.index(model)
        self._what_if = WhatIf(placement, trace, deployment=deployment, trim_s=trim_s)
        self._held = placement.holders(model)

    def explanation(self) -> Explanation:
        tally = self._what_if.tally
        dropped = {group: self._change(self._without(group)) for group in self._held}
        spare = max(dropped, key=lambda group: dropped[group].num_all, default=None)
        groups = range(len(self._candidate.layout))
        seats = [
            self._own_seat(group, dropped[group]) if group in dropped else self._other_seat(group, spare)
            for group in groups
        ]
        return Explanation(
            self._spec.name,
            int(tally.num_requests[self._model]),
            int(tally.num_good[self._model]),
            self._spec.slo.latency_s,
            tuple(self._with_exchanges(seats)),
            impossible_slo(self._deployment, self._model),
        )

    @property
    def _candidate(self) -> Candidate:
        return self._what_if.candidate

    def _own_seat(self, group: int, dropped: Change) -> Seat:
        there = self._what_if.placement.groups[group]
        return Seat(there.id, there.config, True, self._alone_s(there.config), None, dropped=dropped)

    def _other_seat(self, group: int, spare: int | None) -> Seat:
        """Moves take the replica away that is missed least."""
        there = self._what_if.placement.groups[group]
        alone_s = self._alone_s(there.config)
        room = self._what_if.room(group, self._model)
        if room.missing_bytes >= NOWHERE // 2:
            return Seat(there.id, there.config, False, alone_s, None)
        added = self._with(self._candidate, group)
        moved = None if spare is None else self._with(self._without(spare), group)
        return Seat(there.id, there.config, False, alone_s, room, added is None, added=added, moved=moved)

    def _with(self, candidate: Candidate, group: int) -> Change | None:
        """With one more on a group of a candidate, None where the rules allow none."""
        if not self._what_if.permits(candidate, group, self._model):
            return None
        return self._change(self._what_if.plus(candidate, group, self._model))

    def _without(self, group: int) -> Candidate:
        return self._what_if.minus(self._candidate, group, self._model)

    def _with_exchanges(self, seats: list[Seat]) -> Iterator[Seat]:
        """Groups that lack room get the best exchange, as long as the simulations are affordable."""
        num_left = MAX_EXCHANGE_REQUESTS // max(1, len(self._what_if.problem.trace))
        for group, seat in enumerate(seats):
            leaving = self._making_room(group) if seat.room is not None and not seat.has_room else []
            num_left -= len(leaving)
            if not leaving or num_left < 0:
                yield seat
                continue
            changes = {other: self._change(self._exchanged(group, other)) for other in leaving}
            best = max(changes, key=lambda other: changes[other].num_all)
            yield replace(seat, exchanged=Exchange(self._deployment.models[best].name, changes[best]))

    def _making_room(self, group: int) -> list[int]:
        """Models whose leaving is enough, and that may go."""
        what_if = self._what_if
        return [
            other
            for other in self._candidate.content[group]
            if what_if.room(group, self._model, without=(other,)).missing_bytes <= 0
            and what_if.may_leave(group, other)
            and what_if.permits(what_if.minus(self._candidate, group, other), group, self._model)
        ]

    def _exchanged(self, group: int, leaving: int) -> Candidate:
        smaller = self._what_if.minus(self._candidate, group, leaving)
        return self._what_if.plus(smaller, group, self._model)

    def _alone_s(self, config: ParallelConfig) -> float | None:
        if self._spec.profile is None or not self._spec.profile.supports(config):
            return None
        costs = self._deployment.catalog().costs(self._spec.name, config)
        return float(np.sum(costs.single)) + self._deployment.latency.fixed_overhead_s

    def _change(self, candidate: Candidate) -> Change:
        return self._what_if.change(candidate, self._model)
