"""Local search over replicas on one layout: sixteen neighbours at a time, annealed.

Simulated annealing (Kirkpatrick et al., 1983) whose every step looks at as many neighbours as the lanes
kernel scores at once, and goes to the best of them but for some noise.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.budget import Budget
from placement.greedy import Scored
from placement.problem import Problem
from placement.room import Held, Units, room_of
from placement.scenario import Scenario

# Neighbours of a step; the lanes kernel's width.
WIDTH = 16
# Random numbers that a neighbour may use; after them they come again.
DRAWS = 48
# The noise at the start, as a share of what the start lacks to 1: a walk over placements that miss 10 % of
# requests takes losses of about 0.1 points.
HEAT = 0.01
# How likely a model is added: by its share of what is missed, and this much of its requests in any case.
CURIOSITY = 0.02


@final
class Walk:
    """A walk that can be gone on with; the same for the same start and seed. For one thread at a time."""

    def __init__(self, problem: Problem, start: Scored, scenario: Scenario, *, seed: tuple[int, ...]) -> None:
        self._problem = problem
        self.layout = start.candidate.layout
        self._units = Units(problem)
        self._room = room_of(problem, self.layout, self._units)
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        self._held = self._units.of(start.candidate.content, len(self.layout))
        self.num_evaluated = 0
        self.scenario = scenario
        self._rescore()

    @property
    def best(self) -> Scored:
        """The best placement met since the scenario was last changed."""
        candidate = self._units.candidate(self.layout, self._best_held)
        return Scored(candidate, self.best_value, self._best_on_trace)

    def move_to(self, scenario: Scenario) -> None:
        """Go on from the best placement so far, judged by other traffic."""
        self._held = self._best_held
        self.scenario = scenario
        self._rescore()

    def run(self, num_steps: int, budget: Budget, *, heat: float = HEAT, patience: int | None = None) -> None:
        """Up to `num_steps` steps, cooling down; ends after `patience` steps without a better placement."""
        proposed = np.empty((WIDTH, *self._held.shape), dtype=bool)
        since = 0
        for step in range(num_steps):
            if budget.is_over or self.best_value >= self.scenario.most or since == patience:
                break
            noise = heat * max(0.0, self.scenario.most - self._value) * (1.0 - step / num_steps)
            since = 0 if self._step(proposed, noise) else since + 1

    def _step(self, proposed: Held, noise: float) -> bool:
        from placement.changes import propose

        draws = self._rng.random((WIDTH, DRAWS))
        luck = noise * self._rng.standard_exponential(WIDTH + 1)
        propose(self._held, self._room, self._weights, draws, proposed)
        values, on_trace, missed = self._scored(proposed)
        chosen = int(np.argmax(values + luck[:WIDTH]))
        if values[chosen] < self._value - luck[WIDTH]:
            return False
        self._held, self._value = proposed[chosen].copy(), float(values[chosen])
        self._set_weights(missed[chosen])
        if self._value <= self.best_value:
            return False
        self._best_held, self.best_value = self._held, self._value
        self._best_on_trace = float(on_trace[chosen])
        return True

    def _rescore(self) -> None:
        values, on_trace, missed = self._scored(self._held[None])
        self._value = self.best_value = float(values[0])
        self._best_held, self._best_on_trace = self._held, float(on_trace[0])
        self._set_weights(missed[0])

    def _scored(self, held: Held) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Values on the scenario and on the given trace [n], and what is missed of each model [n, models]."""
        models = self._units.models(held)
        self.num_evaluated += len(held)
        values, on_trace, missed = self.scenario.values(self.layout, models)
        rules = self._problem.constraints
        if not rules.is_empty:
            values = np.where(rules.apart_on_hosts(self.layout, models), values, -np.inf)
        return values, on_trace, missed

    def _set_weights(self, missed: NDArray[np.float64]) -> None:
        by_model = missed + CURIOSITY * self.scenario.demand + 1e-9
        self._weights = self._units.summed(by_model)
