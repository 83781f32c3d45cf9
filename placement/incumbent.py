"""The best placement so far, kept where an interrupted search can still be asked for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from placement.greedy import Scored


@dataclass(frozen=True, slots=True)
class Report:
    """How a search stands: what it is at, placements simulated, and the best SLO attainment so far."""

    phase: str
    num_evaluated: int
    best_value: float | None


def ignore(report: Report) -> None:
    """For who does not want to know."""


@final
class Incumbent:
    """Keeps the first of the best that it is offered, and reports every offer."""

    def __init__(self, progress: Callable[[Report], None] = ignore) -> None:
        self._progress = progress
        self.best: Scored | None = None
        self.num_evaluated = 0

    def offer(self, scored: Scored | None, *, phase: str, num_evaluated: int) -> None:
        """A placement that was found, or None for only a sign of life."""
        self.num_evaluated = num_evaluated
        if scored is not None and (self.best is None or scored.value > self.best.value):
            self.best = scored
        self._progress(Report(phase, num_evaluated, self.best.value if self.best else None))
