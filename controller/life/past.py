"""What a controller leaves for the one after it, in the journal: its cluster, plan, front numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from controller.journal import AbstractJournal
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.plan import format_plan, parse_plan
from vocabulary.placement import Placement
from vocabulary.plan import Plan

_CLUSTER, _FRONT, _PLAN = "cluster", "front", "plan"
# Numbers of front ends are part of request ids (`controller.server.MAX_FRONTS`).
_NUM_FRONTS = 2**16


@final
class Past:
    """Reads and writes under keys of its own."""

    def __init__(self, journal: AbstractJournal) -> None:
        self._journal = journal

    @property
    def cluster(self) -> Mapping[str, Any] | None:
        """How to find the groups of a controller that died; None where it ended in order, or never was."""
        return self._journal.recall(_CLUSTER)

    def remember_cluster(self, memory: Mapping[str, Any] | None) -> None:
        """None: nothing of it is left."""
        self._journal.remember(_CLUSTER, memory)

    def plan(self, deployment: Deployment) -> Plan | None:
        """What a controller that died served, if it is a plan for this deployment."""
        text = self._journal.recall(_PLAN)
        if self.cluster is None or not isinstance(text, str):
            return None
        try:
            return parse_plan(text, name="the plan that was served", deployment=deployment)
        except InvalidInput:
            return None

    def remember_plan(self, placement: Placement) -> None:
        """What is wanted now, however it came to be."""
        self._journal.remember(_PLAN, format_plan(Plan(placement)))

    def next_front(self) -> int:
        """The number of a new front end; the one that had it before has long been gone."""
        number = int(self._journal.recall(_FRONT) or 0)
        self._journal.remember(_FRONT, (number + 1) % _NUM_FRONTS)
        return number
