"""Local search over replicas: exchange some, keep what is no worse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from placement.candidate import Candidate
from placement.greedy import Scored
from placement.problem import Problem

# Of ten changes this many only add a replica, where there is room for one.
ADDITIONS_IN_TEN = 3
MAX_TRIES = 20


def improve(
    problem: Problem,
    start: Scored,
    *,
    num_evaluations: int,
    rng: np.random.Generator,
    on_better: Callable[[Scored], None],
) -> Scored:
    """The best placement met on a walk of `num_evaluations` random changes; never worse than the start.

    A change takes a replica away and puts others into the room, or adds one. Required replicas stay.
    """
    best = current = start
    for _ in range(num_evaluations):
        candidate = _changed(problem, current.candidate, rng)
        if candidate is None:
            break
        scored = Scored(candidate, problem.value(candidate, problem.tally(candidate)))
        if scored.value >= current.value:
            current = scored
        if scored.value > best.value:
            best = scored
            on_better(best)
    return best


def _changed(problem: Problem, candidate: Candidate, rng: np.random.Generator) -> Candidate | None:
    """A random neighbour; None when none was found."""
    for _ in range(MAX_TRIES):
        group = int(rng.integers(len(candidate.layout)))
        held = candidate.content[group]
        smaller = candidate
        if held and rng.integers(10) >= ADDITIONS_IN_TEN:
            model = held[int(rng.integers(len(held)))]
            if candidate.replicas_of(model) <= problem.deployment.models[model].min_replicas:
                continue
            smaller = candidate.minus(group, model)
            without = model
        else:
            without = -1
        larger = _refilled(problem, smaller, group, rng, without=without)
        if larger is not candidate:
            return larger
    return None


def _refilled(
    problem: Problem, candidate: Candidate, group: int, rng: np.random.Generator, *, without: int
) -> Candidate:
    """Add random models to the group for as long as there is room, but not the one that has just left."""
    while True:
        fits = problem.addable(candidate, group)
        if without >= 0:
            fits[without] = False
        models = np.flatnonzero(fits)
        if not len(models):
            return candidate
        candidate = candidate.plus(group, int(models[rng.integers(len(models))]))
