"""Which replicas the rules of a deployment allow beside those that are there, and what breaks them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.candidate import Content
from placement.groups import Layout, Mesh
from placement.memory import Memory
from placement.violations import violations
from vocabulary.deployment import Deployment
from vocabulary.placement import Placement
from vocabulary.rules import Apart

Models = NDArray[np.bool_]


def without_devices(deployment: Deployment, devices: Collection[str]) -> Deployment:
    """The same deployment with these devices reserved too.

    They keep their places, so that groups stay aligned inside hosts: `hosts_of` does not give them as free,
    `Cluster.free_devices` leaves them out.
    """
    reserved = tuple(sorted({*deployment.cluster.reserved, *devices}))
    return replace(deployment, cluster=replace(deployment.cluster, reserved=reserved))


@final
class Constraints:
    """colocate, separate, pin and replica bounds, asked model by model of one group of a candidate.

    Models that are colocated come and go together: who adds or removes a model adds or removes all its
    `companions`, and `addable` and `removable` answer for all of them, room for all included. A candidate
    built so from nothing never breaks a rule, but that replicas may still be fewer than `replicas.min`.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._models = deployment.models
        self._index = {name: number for number, name in enumerate(deployment.model_names)}
        self._max = np.array([_many(model.max_replicas) for model in deployment.models], dtype=np.int64)
        self._min = np.array([model.min_replicas for model in deployment.models], dtype=np.int64)
        self._has_maximum = any(model.max_replicas is not None for model in deployment.models)
        self._companions = self._companion_sets()
        self._joined = tuple(sorted({one for one in self._companions if len(one) > 1}))
        self._apart = tuple(self._known_parts(deployment.rules.separate))
        pins = deployment.rules.pin.items()
        self._pins = {self._index[name]: allowed for name, allowed in pins if name in self._index}
        # Devices of a group or a host, in the terms of `separate`.
        self._hosts = {device.id: device.host for device in deployment.cluster.devices} if self._apart else {}

    @property
    def names_devices(self) -> bool:
        """Whether it matters which of several equal meshes a model is on."""
        return bool(self._pins) or any(apart.by == "host" for apart in self._apart)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is ruled out but by memory: then `addable` and `removable` need not be asked."""
        no_bounds = not self._has_maximum and not self._min.any()
        return no_bounds and not (self._joined or self._apart or self._pins)

    def pinned(self, layout: Layout) -> Models:
        """Where each model may be by its pins [groups, models]."""
        allowed = np.ones((len(layout), len(self._models)), dtype=np.bool_)
        for model, devices in self._pins.items():
            allowed[:, model] = [devices.issuperset(mesh.devices) for mesh in layout]
        return allowed

    @property
    def apart(self) -> Models:
        """Which models never share a group [models, models]."""
        table = np.zeros((len(self._models), len(self._models)), dtype=np.bool_)
        for apart in self._apart:
            members = [self._index[name] for name in apart.models]
            if apart.by == "group":
                table[np.ix_(members, members)] = True
        np.fill_diagonal(table, False)
        return table

    def companions(self, model: int) -> tuple[int, ...]:
        """Models that are where this one is, itself included, ascending."""
        return self._companions[model]

    def num_choices(self, model: int) -> int:
        """Devices that it and its companions may be on: who has fewer is placed first."""
        allowed = frozenset(device.id for device in self._deployment.cluster.free_devices)
        return len(allowed.intersection(*(self._pins.get(one, allowed) for one in self._companions[model])))

    def addable(self, layout: Layout, content: Content, group: int) -> Models:
        """Whether a model, with its companions, may be added to a group by the rules [models].

        Memory is looked at for companions only: of a model alone `Memory.fitting` knows.
        """
        allowed = self.permitted(layout, content, group)
        for joined in self._joined:
            if allowed[joined[0]] and not self._has_room(layout[group], content[group], joined):
                allowed[list(joined)] = False
        return allowed

    def permitted(self, layout: Layout, content: Content, group: int) -> Models:
        """`addable`, were there memory for everything [models]."""
        allowed = np.ones(len(self._models), dtype=np.bool_)
        allowed[list(content[group])] = False
        if self._has_maximum:
            allowed &= _counts(content, len(self._models)) < self._max
        for model, devices in self._pins.items():
            allowed[model] &= devices.issuperset(layout[group].devices)
        for apart in self._apart:
            self._forbid(apart, allowed, layout, content, group)
        for joined in self._joined:
            together = list(joined)
            allowed[together] = allowed[together].all()
        return allowed

    def removable(self, layout: Layout, content: Content, group: int) -> Models:
        """Whether a model of the group, with its companions, may be taken away by the rules [models]."""
        held = np.zeros(len(self._models), dtype=np.bool_)
        held[list(content[group])] = True
        held &= _counts(content, len(self._models)) > self._min
        for joined in self._joined:
            together = list(joined)
            held[together] = held[together].all()
        return held

    @property
    def replica_bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Fewest and most replicas of every model [models]."""
        return self._min, self._max

    def apart_on_hosts(self, layout: Layout, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which candidates keep apart what no host may share.

        held: bool [candidates, groups, models]; returns [candidates].
        """
        kept = np.ones(len(held), dtype=np.bool_)
        for rule in self._apart:
            if rule.by == "host":
                members = [self._index[name] for name in rule.models]
                for groups in self._groups_by_host(layout):
                    here = held[:, groups][..., members]
                    # Several models are apart from one another; one alone is apart from its replicas.
                    counted = here.any(axis=1) if len(members) > 1 else here[..., 0]
                    kept &= counted.sum(axis=1) <= 1
        return kept

    def violations(self, placement: Placement) -> tuple[str, ...]:
        """A sentence for every rule that a placement breaks; none when all are met."""
        joined = [[self._models[model].name for model in one] for one in self._joined]
        return violations(placement, self._deployment, joined)

    def _companion_sets(self) -> tuple[tuple[int, ...], ...]:
        """Sets of `colocate` that share a model are one."""
        sets = [{number} for number in range(len(self._models))]
        for names in self._deployment.rules.colocate:
            members = {self._index[name] for name in names if name in self._index}
            merged = {one for member in members for one in sets[member]}
            for member in merged:
                sets[member] = merged
        return tuple(tuple(sorted(one)) for one in sets)

    def _known_parts(self, rules: Sequence[Apart]) -> Iterator[Apart]:
        """Without models that this deployment, when it is a part of a whole, does not have."""
        for apart in rules:
            kept = tuple(name for name in apart.models if name in self._index)
            if len(kept) > 1 or (kept and kept == apart.models):
                yield replace(apart, models=kept)

    def _forbid(self, apart: Apart, allowed: Models, layout: Layout, content: Content, group: int) -> None:
        members = [self._index[name] for name in apart.models]
        near = content[group] if apart.by == "group" else self._on_hosts_of(layout, content, group)
        for model in members:
            others = set(members) - {model} if len(members) > 1 else {model}
            allowed[model] &= others.isdisjoint(near)

    def _on_hosts_of(self, layout: Layout, content: Content, group: int) -> set[int]:
        """Models on the hosts that a mesh is on, those of other meshes there included."""
        hosts = {self._hosts[device] for device in layout[group].devices}
        found: set[int] = set()
        for mesh, models in zip(layout, content, strict=True):
            if models and not hosts.isdisjoint(self._hosts[device] for device in mesh.devices):
                found.update(models)
        return found

    def _groups_by_host(self, layout: Layout) -> list[list[int]]:
        """Groups that share a host, for every host."""
        found: dict[str, list[int]] = {}
        for group, mesh in enumerate(layout):
            for host in {self._hosts[device] for device in mesh.devices}:
                found.setdefault(host, []).append(group)
        return list(found.values())

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self._deployment, self._deployment.catalog())

    def _has_room(self, mesh: Mesh, held: Sequence[int], joined: Sequence[int]) -> bool:
        used = self._memory.used(mesh, (*held, *joined))
        return bool((used <= mesh.usable_bytes).all())


def _many(count: int | None) -> int:
    return 2**31 if count is None else count


def _counts(content: Content, num_models: int) -> NDArray[np.int64]:
    """Replicas of every model [models]."""
    held = np.zeros(num_models, dtype=np.int64)
    for models in content:
        held[list(models)] += 1
    return held
