"""What a search has found so far: the best placement of every layout, as it is judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

from placement.greedy import Scored
from placement.groups import Layout
from placement.incumbent import Incumbent
from placement.judge import Judge
from placement.problem import Problem


@final
class Findings:
    """Judges what is offered, remembers it by layout, and passes it on to the incumbent."""

    def __init__(self, problem: Problem, incumbent: Incumbent) -> None:
        self._problem = problem
        self._incumbent = incumbent
        self._judge = Judge(problem)
        self._by_layout: dict[Layout, Scored] = {}

    def offer(self, found: Iterable[Scored], *, phase: str) -> None:
        """The best first, so that of one stage the best is taken."""
        valued = sorted((self._judge.scored(one.candidate) for one in found), key=_by_value)
        for scored in valued:
            key = _key(scored.candidate.layout)
            if key not in self._by_layout or scored.value > self._by_layout[key].value:
                self._by_layout[key] = scored
            self._incumbent.offer(scored, phase=phase, num_evaluated=self._problem.num_evaluated)

    def best(self, number: int) -> list[Scored]:
        """Of the best layouts, best first."""
        return sorted(self._by_layout.values(), key=_by_value)[:number]

    def has(self, layout: Layout) -> bool:
        return _key(layout) in self._by_layout


def best_of_layouts(starts: Iterable[Scored]) -> list[Scored]:
    """The best start of every layout, best first."""
    found: dict[Layout, Scored] = {}
    for start in sorted(starts, key=_by_value):
        found.setdefault(_key(start.candidate.layout), start)
    return list(found.values())


def layouts_of(found: Sequence[Scored]) -> frozenset[Layout]:
    """Whatever the order of their groups."""
    return frozenset(_key(scored.candidate.layout) for scored in found)


def _by_value(scored: Scored) -> float:
    return -scored.value


def _key(layout: Layout) -> Layout:
    return tuple(sorted(layout, key=lambda mesh: (mesh.position, mesh.config)))
