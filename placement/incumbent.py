"""The best placement so far, kept where an interrupted search can still be asked for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from placement.greedy import Scored


@dataclass(frozen=True, slots=True)
class Report:
    """How a search stands: what it is at, placements simulated, and the best value on the trace so far."""

    phase: str
    num_evaluated: int
    best_value: float | None


def ignore(report: Report) -> None:
    """For who does not want to know."""


@final
class Incumbent:
    """Keeps the first of the best that it is offered, and reports every offer.

    floor: what a placement should be worth on the given trace; one that is not stands behind all that are.
    """

    def __init__(self, progress: Callable[[Report], None] = ignore) -> None:
        self._progress = progress
        self.best: Scored | None = None
        self.floor = -math.inf
        self.num_evaluated = 0

    def offer(self, scored: Scored | None, *, phase: str, num_evaluated: int) -> None:
        """A placement that was found, or None for only a sign of life."""
        self.num_evaluated = num_evaluated
        if scored is not None and (self.best is None or self._is_better(scored, self.best)):
            self.best = scored
        self._progress(Report(phase, num_evaluated, self.best.value_seen if self.best else None))

    def settle(self, scored: Scored, *, phase: str, num_evaluated: int) -> None:
        """Take this one whatever the others are worth: it has been judged otherwise."""
        self.best = scored
        self.offer(None, phase=phase, num_evaluated=num_evaluated)

    def _is_better(self, one: Scored, other: Scored) -> bool:
        return self._rank(one) > self._rank(other)

    def _rank(self, scored: Scored) -> tuple[bool, float]:
        return scored.value_seen >= self.floor, scored.value
