"""Local search over replicas on one layout: sixteen neighbours at a time, annealed.

Simulated annealing (Kirkpatrick et al., 1983) whose every step looks at as many neighbours as the lanes
kernel scores at once, and goes to the best of them but for some noise.
"""

from __future__ import annotations

from typing import final

import numpy as np

from placement.budget import Budget
from placement.greedy import Scored
from placement.problem import Problem
from placement.room import Held, Units, room_of
from placement.scenario import Judged, Scenario

# Neighbours of a step; the lanes kernel's width.
WIDTH = 16
# Random numbers that a neighbour may use; after them they come again.
DRAWS = 48
# The noise at the start, as a share of what the start lacks to 1: a walk over placements that miss 10 % of
# requests takes losses of about 0.2 points.
HEAT = 0.02
# How likely a model is added: by its share of what is missed, and this much of its requests in any case.
CURIOSITY = 0.02
# How likely a replica leaves: the inverse of its requests a byte, relative to the mean, plus this.
USE = 0.2


@final
class Walk:
    """A walk that can be gone on with; the same for the same start and seed. For one thread at a time."""

    def __init__(self, problem: Problem, start: Scored, scenario: Scenario, *, seed: tuple[int, ...]) -> None:
        self._problem = problem
        self.layout = start.candidate.layout
        self._units = Units(problem)
        self._room = room_of(problem, self.layout, self._units)
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        room = self._room
        self._bytes = np.maximum(1, room.weight_bytes.max(axis=2)[room.kind]).astype(float)
        self._held = self._units.of(start.candidate.content, len(self.layout))
        self.num_evaluated = 0
        self.scenario = scenario
        judged = self._judged(self._held[None])
        self._value = self.best_value = float(judged.values[0])
        self._best_held = self._held
        self._look_around(judged, 0)

    @property
    def best(self) -> Scored:
        """The best placement met, and what it is worth in the scenario."""
        return Scored(self._units.candidate(self.layout, self._best_held), self.best_value)

    def run(self, num_steps: int, budget: Budget, *, heat: float = HEAT, patience: int | None = None) -> None:
        """Up to `num_steps` steps, cooling down; ends after `patience` steps without a better placement."""
        proposed = np.empty((WIDTH, *self._held.shape), dtype=bool)
        since = 0
        for step in range(num_steps):
            if budget.is_over or self.best_value >= 1.0 or since == patience:
                break
            noise = heat * max(0.0, 1.0 - self._value) * (1.0 - step / num_steps)
            since = 0 if self._step(proposed, noise) else since + 1

    def _step(self, proposed: Held, noise: float) -> bool:
        from placement.changes import propose

        draws = self._rng.random((WIDTH, DRAWS))
        luck = noise * self._rng.standard_exponential(WIDTH + 1)
        propose(self._held, self._room, *self._weights, draws, proposed)
        judged = self._judged(proposed)
        chosen = int(np.argmax(judged.values + luck[:WIDTH]))
        if judged.values[chosen] < self._value - luck[WIDTH]:
            return False
        self._held, self._value = proposed[chosen].copy(), float(judged.values[chosen])
        self._look_around(judged, chosen)
        if self._value <= self.best_value:
            return False
        self._best_held, self.best_value = self._held, self._value
        return True

    def _judged(self, held: Held) -> Judged:
        models = self._units.models(held)
        self.num_evaluated += len(held)
        judged = self.scenario.judged(self.layout, models)
        rules = self._problem.constraints
        if rules.is_empty:
            return judged
        is_kept = rules.apart_on_hosts(self.layout, models)
        return judged._replace(values=np.where(is_kept, judged.values, -np.inf))

    def _look_around(self, judged: Judged, chosen: int) -> None:
        """From here: models come by what is missed of them, replicas leave by how little they get a byte."""
        missed = judged.missed[chosen] + CURIOSITY * self.scenario.demand + 1e-9
        routed = self._units.summed(judged.routed[chosen].T.astype(float)).T
        use = routed / self._bytes
        usual = use[self._held].mean() if self._held.any() else 0.0
        leaving = 1.0 / (USE + use / max(usual, 1e-30))
        self._weights = self._units.summed(missed), leaving
