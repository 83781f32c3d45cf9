"""A simulated worker's process: it can be frozen, slow, and gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from scheduling.group import GroupScheduler
from simulator.engine import ProfileEngine, Run
from vocabulary.catalog import Catalog
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits
from vocabulary.messages import Batch, GroupCommand, GroupEvent
from vocabulary.placement import Group


@final
class Process:
    """The machine of a group and its engine, from a start to an end; `index` is the group's."""

    __slots__ = ("_engine", "_is_frozen", "_unheard", "group", "index", "machine")

    def __init__(
        self,
        index: int,
        group: Group,
        *,
        catalog: Catalog,
        policy: Policy,
        limits: Mapping[str, GenerationLimits],
        slowness: float,
    ) -> None:
        self.index, self.group = index, group
        self.machine = GroupScheduler(group, catalog=catalog, policy=policy, limits=limits)
        self._engine = ProfileEngine(group, catalog)
        self._engine.slowness = slowness
        self._is_frozen = False
        self._unheard: list[GroupEvent] = []

    def add_model(self, model: str, *, catalog: Catalog, limits: GenerationLimits | None) -> None:
        """It takes requests of the model from now on."""
        self._engine.add(model, catalog)
        self.machine.add_model(model, catalog=catalog, limits=limits)

    def observe(self, event: GroupEvent) -> None:
        if self._is_frozen:
            self._unheard.append(event)
        else:
            self.machine.observe(event)

    def decide(self, now_s: float) -> list[GroupCommand]:
        return [] if self._is_frozen else self.machine.decide(now_s)

    def start(self, batch: Batch, now_s: float) -> Run:
        return self._engine.start(batch, now_s)

    def slow(self, factor: float) -> None:
        self._engine.slowness = factor

    def freeze(self) -> None:
        self._is_frozen = True

    def thaw(self) -> None:
        """It hears at once what it has missed; its devices had worked on."""
        self._is_frozen = False
        unheard, self._unheard = self._unheard, []
        for event in unheard:
            self.machine.observe(event)
