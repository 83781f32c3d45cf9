"""When a fleet's plan is to be looked at again: a machine that is told what was seen."""

from __future__ import annotations

from typing import final

from placement.drift import Expectation, Observation, drift
from vocabulary.elasticity import Replanning

# A window that has hardly begun says nothing of rates.
LEAST_OF_WINDOW = 0.5


@final
class ReplanDue:
    """Heeds `placement.replan`. One look at a time, and none within interval_s of the last."""

    def __init__(self, rules: Replanning, expected: Expectation, *, now_s: float) -> None:
        """expected: what the plan that runs was made for."""
        self._rules = rules
        self._expected = expected
        self._last_s = now_s

    @property
    def expected(self) -> Expectation:
        return self._expected

    def looked(self, expected: Expectation, *, now_s: float) -> None:
        """A plan was made, or kept, for this traffic."""
        self._expected = expected
        self._last_s = now_s

    def adopt(self, rules: Replanning) -> None:
        """Other rules hold from now on."""
        self._rules = rules

    def reasons(self, observed: Observation, *, now_s: float, span_s: float) -> tuple[str, ...]:
        """Why it is time, nothing where it is not. span_s: of the window that is known."""
        rules = self._rules
        is_early = now_s < self._last_s + rules.interval_s
        if rules.trigger == "manual" or is_early or span_s < LEAST_OF_WINDOW * rules.window_s:
            return ()
        if rules.trigger == "interval":
            return (f"{rules.interval_s:g} s have passed",)
        return drift(self._expected, observed).reasons
