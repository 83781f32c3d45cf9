"""What if: a placement with one thing changed, simulated again, and the requests in time that this gains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.candidate import Candidate
from placement.constraints import Constraints
from placement.groups import Mesh
from placement.problem import Problem
from simulator.fast import Tally
from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Change:
    """Requests in time that are gained (lost, if negative): of all models, and of the one it is about."""

    num_all: int
    num_own: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """What a group lacks for one more model: bytes on a device of its fullest stage; 0 or less: it fits."""

    missing_bytes: int
    stage: int


@final
class WhatIf:
    """One placement on one trace; a question is a simulation, by the policy that searches score with."""

    def __init__(
        self, placement: Placement, trace: Trace, *, deployment: Deployment, trim_s: float = 0.0
    ) -> None:
        self.deployment = deployment
        self.placement = placement
        self.problem = Problem(deployment, trace.aligned_to(deployment.model_names), trim_s=trim_s)
        self.candidate = candidate_of(placement, deployment)
        self._rules = Constraints(deployment)
        self.tally = self.problem.tally(self.candidate)

    @property
    def num_missed(self) -> NDArray[np.int64]:
        """Requests that were not in time [models]."""
        return self.tally.num_requests - self.tally.num_good

    def change(self, candidate: Candidate, model: int | None = None) -> Change:
        """What another candidate gains over the placement."""
        return self.gained(self.problem.tally(candidate), model)

    def gained(self, tally: Tally, model: int | None = None) -> Change:
        gain = tally.num_good - self.tally.num_good
        return Change(int(gain.sum()), 0 if model is None else int(gain[model]))

    def plus(self, candidate: Candidate, group: int, model: int) -> Candidate:
        """With the model on a group, and with it all that must be where it is."""
        for one in self._rules.companions(model):
            if one not in candidate.content[group]:
                candidate = candidate.plus(group, one)
        return candidate

    def minus(self, candidate: Candidate, group: int, model: int) -> Candidate:
        """Without the model on a group, and without all that must be where it is."""
        for one in self._rules.companions(model):
            candidate = candidate.minus(group, one)
        return candidate

    def permits(self, candidate: Candidate, group: int, model: int) -> bool:
        """Whether rules allow one more replica on a group of a candidate, were there memory."""
        return bool(self._rules.permitted(candidate.layout, candidate.content, group)[model])

    def may_leave(self, group: int, model: int) -> bool:
        """Whether the rules can do without a replica that is there."""
        layout, content = self.candidate.layout, self.candidate.content
        return bool(self._rules.removable(layout, content, group)[model])

    def room(self, group: int, model: int, *, without: Iterable[int] = ()) -> Room:
        """For one more model, and all that must be where it is, on a group less some that it has."""
        mesh, held = self.candidate.layout[group], self.candidate.content[group]
        gone = frozenset(without)
        there = {one for one in held if one not in gone} | set(self._rules.companions(model))
        used = self.problem.memory.used(mesh, sorted(there))
        stage = int(used.argmax())
        return Room(int(used[stage]) - mesh.usable_bytes, stage)

    def lifted(self) -> Candidate:
        """The same groups with every model on each, whatever memory there is."""
        everything = tuple(range(self.problem.num_models))
        return Candidate(self.candidate.layout, (everything,) * len(self.candidate.layout))

    def on_one_host(self) -> Candidate:
        """The same groups as if all their devices were in one host, each."""
        layout = tuple(replace(mesh, config=mesh.config.inside) for mesh in self.candidate.layout)
        return Candidate(layout, self.candidate.content)

    def with_group_like(self, group: int) -> Candidate:
        """One more group, on further devices, with the same models as this one."""
        layout, content = self.candidate.layout, self.candidate.content
        return Candidate((*layout, layout[group]), (*content, content[group]))


def candidate_of(placement: Placement, deployment: Deployment) -> Candidate:
    """The placement as searches see it, group by group in its order."""
    index = {name: number for number, name in enumerate(deployment.model_names)}
    content = tuple(tuple(sorted(index[name] for name in group.models)) for group in placement.groups)
    return Candidate(tuple(mesh_of(group, deployment) for group in placement.groups), content)


def mesh_of(group: Group, deployment: Deployment) -> Mesh:
    """The group without its models; its smallest device says what fits."""
    devices = deployment.cluster.by_id()
    order = {host: number for number, host in enumerate(dict.fromkeys(one.host for one in devices.values()))}
    first = devices[group.devices[0]]
    usable = min(deployment.cluster.usable_bytes(devices[device]) for device in group.devices)
    num_hosts = len({devices[device].host for device in group.devices})
    position = (order[first.host], first.device_index)
    return Mesh(group.devices, group.config, usable, num_hosts, position)
