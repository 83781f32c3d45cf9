"""Why requests are missed: each limit is loosened a little and simulated again; what gains most binds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from placement.memory import NOWHERE
from placement.why import Change, Room, WhatIf
from placement.why_limits import exceeding_rate, foreign_profile, impossible_slo, slow_groups
from simulator.generation.arrivals import asks_for_tokens
from vocabulary.deployment import Deployment, ModelSpec, Parallelism
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement
from vocabulary.trace import Trace
from vocabulary.units import format_bytes

# A share of missed requests below this is not worth a constraint.
NEGLIGIBLE = 1e-4
# Simulated requests that looking for the constraint may cost, about a second on one core, and simulations.
MAX_REQUESTS = 40_000_000
MAX_SIMULATIONS = 40
# Groups on which one more replica is tried; the other simulations are for other limits.
MAX_TRIED = MAX_SIMULATIONS - 8
# Memory binds too where lifting it saves this share of what is missed, though devices would save more.
WORTHWHILE = 0.25


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One limit in a sentence, and how many more requests are in time with a little more of it.

    kind: memory, parallelism, replicas, rules, slo, rate, devices, links, search. num_gained: None if it is
    certain without a simulation, or none can tell (requests that ask for tokens).
    """

    kind: str
    sentence: str
    num_gained: int | None = None


def relaxations(
    placement: Placement, outcomes: Outcomes, *, deployment: Deployment
) -> tuple[Relaxation, ...]:
    """What would help the model that misses most requests; the first binds. None if nothing is missed.

    Then come other models whose SLO nothing can meet, then what helps less.
    """
    trace = outcomes.trace
    missed = np.bincount(trace.model_index[~outcomes.good], minlength=len(trace.models))
    if not len(trace) or missed.sum() <= NEGLIGIBLE * len(trace):
        return ()
    model = int(missed.argmax())
    texts = {index: impossible_slo(deployment, index) for index in np.flatnonzero(missed).tolist()}
    look = _Look(placement, outcomes, deployment, model, num_missed=int(missed[model]))
    found = look.found()
    if texts[model]:
        found = [look.relaxation("slo", texts[model]), *found]
    others = [Relaxation("slo", text) for index, text in texts.items() if text and index != model]
    return (*found[:1], *others, *found[1:])


def binding(found: tuple[Relaxation, ...]) -> tuple[str, ...]:
    """What binds, in words: the first, and every SLO that nothing can meet."""
    return tuple(one.sentence for number, one in enumerate(found) if not number or one.kind == "slo")


@final
class _Look:
    """The limits of one model under a placement, loosened one by one."""

    def __init__(
        self,
        placement: Placement,
        outcomes: Outcomes,
        deployment: Deployment,
        model: int,
        *,
        num_missed: int,
    ) -> None:
        self._placement = placement
        self._outcomes = outcomes
        self._deployment = deployment
        self._model = model
        self._spec: ModelSpec = deployment.models[model]
        trace = outcomes.trace
        self._who = f"{self._spec.name} misses most, {num_missed} of {int(trace.counts()[model])} requests"
        self._what_if = WhatIf(placement, _affordable(trace), deployment=deployment)
        # What is simulated stands for the whole trace.
        self._scale = len(trace) / max(1, len(self._what_if.problem.trace))
        self._is_certain = not asks_for_tokens(trace)

    def relaxation(self, kind: str, text: str, *, what: str = "it", gain: int | None = None) -> Relaxation:
        """A sentence: the limit, who misses, what `what` would gain."""
        gain = gain if self._is_certain else None
        worth = f"; {what} would keep {gain} more in time" if gain is not None and gain > 0 else ""
        return Relaxation(kind, f"{text}; {self._who}{worth}", gain)

    def found(self) -> list[Relaxation]:
        """What binds, then what helps less."""
        limited = self._too_slow() or self._limited()
        if limited is not None:
            return [limited]
        more, devices, links = self._replica(), self._devices(), self._links()
        others = [devices] if links is None else sorted([devices, links], key=_gain_first)
        if more is None:
            return others
        if not self._is_certain:
            return [more, *others]
        if more.kind != "memory":
            return sorted((more, *others), key=_gain_first)
        lifted = self._gain(self._what_if.change(self._what_if.lifted()))
        num_missed = self._what_if.num_missed.sum() * self._scale
        if lifted > (more.num_gained or 0):
            more = replace(more, sentence=f"{more.sentence} ({lifted} with no limit on memory)")
        is_memory = lifted >= (others[0].num_gained or 0) or lifted >= WORTHWHILE * num_missed
        return [more, *others] if is_memory else [*others, more]

    def _too_slow(self) -> Relaxation | None:
        """Where even an idle group is too slow, whichever: another configuration is what it takes."""
        text = slow_groups(self._deployment, self._model, self._placement)
        return self.relaxation("parallelism", text) if text else None

    def _limited(self) -> Relaxation | None:
        """By `replicas.max`, where one more would help."""
        spec, most = self._spec, self._spec.max_replicas
        if most is None or len(self._placement.holders(spec.name)) < most:
            return None
        gain = max((self._gain(self._added(group)) for group in self._others()), default=0)
        if self._is_certain and gain <= 0:
            return None
        return self.relaxation("replicas", f"replicas.max of {spec.name} ({most})", what="another", gain=gain)

    def _replica(self) -> Relaxation | None:
        """One more replica of the model: what keeps it out where it would help most."""
        rooms = {group: self._what_if.room(group, self._model) for group in self._others()}
        if not rooms:
            return None
        nearest = sorted(rooms, key=lambda group: (rooms[group].missing_bytes, group))
        there = [group for group in nearest if rooms[group].missing_bytes < NOWHERE // 2]
        if not there:
            return self._parallelism()
        permitted = [group for group in there if self._may_be_on(group)]
        if not self._is_certain:
            short = [group for group in permitted[:1] if rooms[group].missing_bytes > 0]
            return self._short(short[0], rooms[short[0]], None) if short else None
        forbidden = [group for group in there if group not in permitted]
        gains = {group: self._gain(self._added(group)) for group in (*permitted, *forbidden)[:MAX_TRIED]}
        for groups, said in ((permitted, self._short), (forbidden, self._ruled_out)):
            best = max((group for group in groups if group in gains), key=gains.__getitem__, default=None)
            if best is not None and gains[best] > 0:
                return said(best, rooms[best], gains[best])
        return None

    def _ruled_out(self, group: int, room: Room, gain: int | None) -> Relaxation:
        name, where = self._spec.name, self._placement.groups[group].id
        missing = f", and {format_bytes(room.missing_bytes)} are missing" if room.missing_bytes > 0 else ""
        text = f"placement.constraints: they allow no replica of {name} on {where}{missing}"
        return self.relaxation("rules", text, what="one there", gain=gain)

    def _short(self, group: int, room: Room, gain: int | None) -> Relaxation:
        name, where = self._spec.name, self._placement.groups[group].id
        if room.missing_bytes <= 0:
            return self.relaxation("search", f"a replica of {name} has room on {where}", gain=gain)
        missing = format_bytes(room.missing_bytes)
        text = f"memory of stage {room.stage} on {where}: {missing} short of a replica"
        return self.relaxation("memory", text, gain=gain)

    def _parallelism(self) -> Relaxation:
        """No group has a configuration that the deployment lets the model use: what if it did?"""
        name = self._spec.name
        foreign = foreign_profile(self._deployment, self._model)
        if foreign:
            return self.relaxation("parallelism", foreign)
        other = "other " if self._placement.holders(name) else ""
        text = f"parallelism of {name}: no {other}group has a configuration it may use"
        free = replace(self._spec, parallelism=Parallelism())
        models = tuple(free if one is self._spec else one for one in self._deployment.models)
        deployment = replace(self._deployment, models=models)
        what_if = WhatIf(self._placement, self._what_if.problem.trace, deployment=deployment)
        gains = [
            self._gain(what_if.change(what_if.plus(what_if.candidate, group, self._model)))
            for group in self._others()[:MAX_TRIED]
            if free.profile is not None and free.profile.supports(self._placement.groups[group].config)
        ]
        return self.relaxation("parallelism", text, what="one there", gain=max(gains, default=0))

    def _devices(self) -> Relaxation:
        """One more group like the busiest that holds the model; or its own rate is what no group takes."""
        from placement.explain import utilisations

        if not self._placement.groups:
            return self.relaxation("devices", "devices: there is no group")
        busy = utilisations(self._placement, self._outcomes, self._deployment)
        holders = self._placement.holders(self._spec.name) or range(len(busy))
        busiest = max(holders, key=lambda group: busy[group])
        group = self._placement.groups[busiest]
        gain = self._gain(self._what_if.change(self._what_if.with_group_like(busiest)))
        what = f"another group like {group.id} ({_counted(group.config.num_devices, 'more device')})"
        rate = exceeding_rate(self._deployment, self._outcomes.trace, self._model)
        if rate:
            return self.relaxation("rate", rate, what=what, gain=gain)
        text = f"stage time on {group.id}, {busy[busiest]:.0%} busy"
        return self.relaxation("devices", text, what=what, gain=gain)

    def _links(self) -> Relaxation | None:
        """Links between hosts as fast as those inside, where groups cross from one host to another."""
        crossing = [group for group in self._placement.groups if group.config.crossings]
        if not crossing or not self._is_certain:
            return None
        gain = self._gain(self._what_if.change(self._what_if.on_one_host()))
        text = f"links between hosts, which {_counted(len(crossing), 'group')} cross"
        what = "links as fast as inside a host"
        return self.relaxation("links", text, what=what, gain=gain) if gain > 0 else None

    def _others(self) -> list[int]:
        """Groups without the model."""
        held = set(self._placement.holders(self._spec.name))
        return [group for group in range(len(self._placement.groups)) if group not in held]

    def _added(self, group: int) -> Change:
        candidate = self._what_if.plus(self._what_if.candidate, group, self._model)
        return self._what_if.change(candidate)

    def _may_be_on(self, group: int) -> bool:
        return self._what_if.permits(self._what_if.candidate, group, self._model)

    def _gain(self, change: Change) -> int:
        return round(change.num_all * self._scale)


def _gain_first(one: Relaxation) -> int:
    return -(one.num_gained or 0)


def _affordable(trace: Trace) -> Trace:
    """The start of the trace, as far as the simulations may read."""
    most = MAX_REQUESTS // MAX_SIMULATIONS
    return trace if len(trace) <= most else trace.take(np.arange(most))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
