"""What a controller leaves for the one after it, in the journal: its cluster, plan, front numbers, and what
people or lost devices keep out of service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from controller.journal import AbstractJournal
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.plan import format_plan, parse_plan
from vocabulary.placement import Placement
from vocabulary.plan import Plan

_CLUSTER, _FRONT, _PLAN = "cluster", "front", "plan"
_DRAINS, _UNLOADED, _FALLBACK = "drains", "unloaded", "fallback"
# Numbers of front ends are part of request ids (`controller.server.MAX_FRONTS`).
_NUM_FRONTS = 2**16
_NOTHING = Placement(())


@dataclass(frozen=True, slots=True)
class Drains:
    """devices: ids, of each group or host that is drained. whole: what would run if none was; left: what was
    wanted instead."""

    devices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    whole: Placement = _NOTHING
    left: Placement = _NOTHING


@dataclass(frozen=True, slots=True)
class FellBack:
    """placement: what is run for want of some devices. planned: with them. missing: their ids."""

    placement: Placement
    planned: Placement
    missing: tuple[str, ...]


@final
class Past:
    """Reads and writes under keys of its own."""

    def __init__(self, journal: AbstractJournal) -> None:
        self._journal = journal

    @property
    def cluster(self) -> Mapping[str, Any] | None:
        """How to find the groups of a controller that died; None where it ended in order, or never was."""
        return self._journal.recall(_CLUSTER)

    def remember_cluster(self, memory: Mapping[str, Any]) -> None:
        self._journal.remember(_CLUSTER, memory)

    def forget(self) -> None:
        """The fleet ended in order: the next one starts from its file."""
        self._journal.remember(_CLUSTER, None)
        for key in (_DRAINS, _UNLOADED, _FALLBACK):
            if self._journal.recall(key):
                self._journal.remember(key, None)

    def plan(self, deployment: Deployment) -> Plan | None:
        """What a controller that died served, if it is a plan for this deployment."""
        return None if self.cluster is None else _parsed(self._journal.recall(_PLAN), deployment)

    def remember_plan(self, placement: Placement) -> None:
        """What is wanted now, however it came to be."""
        self._journal.remember(_PLAN, _text(placement))

    def drains(self, deployment: Deployment) -> Drains:
        """What was drained. Plans that are none for this deployment are empty."""
        words = self._journal.recall(_DRAINS) or {}
        devices = {target: frozenset(ids) for target, ids in words.get("devices", {}).items()}
        return Drains(devices, *(_placement(words.get(key), deployment) for key in ("whole", "left")))

    def remember_drains(self, drains: Drains) -> None:
        devices = {target: sorted(ids) for target, ids in drains.devices.items()}
        words = {"devices": devices, "whole": _text(drains.whole), "left": _text(drains.left)}
        self._journal.remember(_DRAINS, words)

    @property
    def unloaded(self) -> tuple[str, ...]:
        """Models that people took out of service."""
        return tuple(self._journal.recall(_UNLOADED) or ())

    def remember_unloaded(self, models: Iterable[str]) -> None:
        self._journal.remember(_UNLOADED, sorted(models))

    def fell_back(self, deployment: Deployment) -> FellBack | None:
        """None: all was as planned, or a plan is none for this deployment."""
        words = self._journal.recall(_FALLBACK) or {}
        placement, planned = (_parsed(words.get(key), deployment) for key in ("placement", "planned"))
        if placement is None or planned is None:
            return None
        return FellBack(placement.placement, planned.placement, tuple(words["missing"]))

    def remember_fallback(self, fell_back: FellBack | None) -> None:
        """None: all is as planned."""
        words = None
        if fell_back is not None:
            placement, planned = _text(fell_back.placement), _text(fell_back.planned)
            words = {"placement": placement, "planned": planned, "missing": fell_back.missing}
        self._journal.remember(_FALLBACK, words)

    def next_front(self) -> int:
        """The number of a new front end; the one that had it before has long been gone."""
        number = int(self._journal.recall(_FRONT) or 0)
        self._journal.remember(_FRONT, (number + 1) % _NUM_FRONTS)
        return number


def _text(placement: Placement) -> str:
    return format_plan(Plan(placement))


def _parsed(text: object, deployment: Deployment) -> Plan | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_plan(text, name="the plan that was served", deployment=deployment)
    except InvalidInput:
        return None


def _placement(text: object, deployment: Deployment) -> Placement:
    plan = _parsed(text, deployment)
    return _NOTHING if plan is None else plan.placement
