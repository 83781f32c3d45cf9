"""What a search has found so far: the best placement of every layout, as it is judged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import final

from placement.greedy import Scored
from placement.groups import Layout
from placement.incumbent import Incumbent
from placement.judge import Judge
from placement.problem import Problem


@final
class Findings:
    """Judges what is offered, remembers it by layout, and passes it on to the incumbent.

    Layouts of the same groups are one, whichever devices they are on, unless a rule names devices.
    most_on_trace: the highest value on the given trace alone of all that was offered.
    """

    def __init__(self, problem: Problem, incumbent: Incumbent) -> None:
        self._problem = problem
        self._incumbent = incumbent
        self._judge = Judge(problem)
        self._names_devices = problem.constraints.names_devices
        self._by_layout: dict[object, Scored] = {}
        self.most_on_trace = -math.inf

    def offer(self, found: Iterable[Scored], *, phase: str) -> None:
        """The best first, so that of one stage the best is taken."""
        valued = sorted((self._judge.scored(one.candidate) for one in found), key=_by_value)
        for scored in valued:
            self.most_on_trace = max(self.most_on_trace, scored.value_seen)
            key = self._key(scored.candidate.layout)
            if key not in self._by_layout or scored.value > self._by_layout[key].value:
                self._by_layout[key] = scored
            self._incumbent.offer(scored, phase=phase, num_evaluated=self._problem.num_evaluated)

    def report(self, phase: str, num_walked: int) -> None:
        """A sign of life, with placements simulated by walks that have not ended."""
        self._incumbent.offer(None, phase=phase, num_evaluated=self._problem.num_evaluated + num_walked)

    def best(self, number: int) -> list[Scored]:
        """Of the best layouts, best first."""
        return sorted(self._by_layout.values(), key=_by_value)[:number]

    def has(self, layout: Layout) -> bool:
        return self._key(layout) in self._by_layout

    def best_starts(self, starts: Iterable[Scored]) -> list[Scored]:
        """Of what has not been offered, the best of every layout, best first."""
        found: dict[object, Scored] = {}
        for start in sorted(starts, key=_by_value):
            found.setdefault(self._key(start.candidate.layout), start)
        return list(found.values())

    def share_layouts(self, some: Iterable[Scored], others: Iterable[Scored]) -> bool:
        """Whether a layout of some is among those of the others."""
        keys = {self._key(one.candidate.layout) for one in some}
        return not keys.isdisjoint(self._key(one.candidate.layout) for one in others)

    def _key(self, layout: Layout) -> object:
        """Whatever the order of the groups."""
        names = self._names_devices
        return tuple(sorted((mesh.kind, mesh.position if names else (0, 0)) for mesh in layout))


def _by_value(scored: Scored) -> float:
    return -scored.value
