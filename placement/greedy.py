"""Simulator-guided greedy model selection: AlpaServe's fast heuristic and its Algorithm 1 (§4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from placement import ties
from placement.budget import Budget
from placement.candidate import Candidate, empty
from placement.groups import Layout
from placement.problem import Problem
from simulator.fast import Tally


@dataclass(frozen=True, slots=True)
class Scored:
    """A placement and what it is worth; `on_trace`: on the given trace alone, where `value` weighs more."""

    candidate: Candidate
    value: float
    on_trace: float | None = None

    @property
    def value_seen(self) -> float:
        return self.value if self.on_trace is None else self.on_trace


@dataclass(frozen=True, slots=True)
class Filled:
    """`last` is the fullest placement, which the artifact returns; `best` the best on the way to it."""

    last: Scored
    best: Scored


def fill(problem: Problem, layout: Layout, budget: Budget | None = None) -> Filled | None:
    """`fill_up` from the required replicas alone; None if they do not fit."""
    candidate = with_required(problem, layout)
    return None if candidate is None else fill_up(problem, candidate, budget)


def fill_up(problem: Problem, candidate: Candidate, budget: Budget | None = None) -> Filled:
    """Add replicas one by one, to the least loaded group with room the most unserved model that fits there.

    One simulation a replica: O((models + groups) x replicas x requests). Ends with what it has, one
    replica at least, when the budget is over.
    """
    best: Scored | None = None
    while True:
        tally = problem.tally(candidate)
        last = Scored(candidate, problem.value(candidate, tally))
        if best is None or last.value > best.value:
            best = last
        is_over = budget is not None and budget.is_over and candidate.num_replicas > 0
        following = None if is_over else _fuller(problem, candidate, tally)
        if following is None:
            return Filled(last, best)
        candidate = following


def beam(problem: Problem, layout: Layout, *, width: int) -> Scored | None:
    """Algorithm 1: try every replica that fits, keep the best `width` placements; the best of any size.

    O(models x groups x replicas x requests x width). None if required replicas do not fit.
    """
    start = with_required(problem, layout)
    if start is None:
        return None
    best = Scored(start, problem.value(start, problem.tally(start)))
    kept = [start]
    while kept:
        grown = {_key(larger): larger for candidate in kept for larger in _larger(problem, candidate)}
        scored = [Scored(c, problem.value(c, problem.tally(c))) for c in grown.values()]
        # Stable: of equals the one that was found first.
        scored.sort(key=lambda one: -one.value)
        if scored and scored[0].value > best.value:
            best = scored[0]
        kept = [one.candidate for one in scored[:width]]
    return best


def with_required(problem: Problem, layout: Layout) -> Candidate | None:
    """The replicas that `replicas.min` asks for, pinned and large models first, each where most is free."""
    candidate = empty(layout)
    models = enumerate(problem.deployment.models)
    required = [(index, model.min_replicas) for index, model in models if model.min_replicas]
    choices = {index: problem.constraints.num_choices(index) for index, _ in required}
    by_size = sorted(required, key=lambda one: (choices[one[0]], -_smallest_bytes(problem, layout, one[0])))
    for model, count in by_size:
        while candidate.replicas_of(model) < count:
            rooms = [g for g in range(len(layout)) if problem.addable(candidate, g)[model]]
            if not rooms:
                return None
            freest = max(rooms, key=lambda g: _free_bytes(problem, candidate, g))
            candidate = problem.plus(candidate, freest, model)
    return candidate


def _fuller(problem: Problem, candidate: Candidate, tally: Tally) -> Candidate | None:
    models = ties.descending(problem.unserved(tally).tolist())
    for group in ties.ascending(tally.num_routed.tolist()):
        fits = problem.addable(candidate, group)
        if fits.any():
            model = next(model for model in models if fits[model])
            return problem.plus(candidate, group, model).sorted()
    return None


def _larger(problem: Problem, candidate: Candidate) -> Iterator[Candidate]:
    for group in range(len(candidate.layout)):
        for model in np.flatnonzero(problem.addable(candidate, group)):
            yield problem.plus(candidate, group, int(model)).sorted()


def _key(candidate: Candidate) -> tuple[object, ...]:
    """Equal for placements that differ only in which of several equal meshes is which."""
    meshes = ((mesh.config, mesh.usable_bytes, mesh.num_hosts) for mesh in candidate.layout)
    return tuple(sorted(zip(meshes, candidate.content, strict=True)))


def _smallest_bytes(problem: Problem, layout: Layout, model: int) -> int:
    return min((int(problem.memory.used(mesh, (model,)).max()) for mesh in layout), default=0)


def _free_bytes(problem: Problem, candidate: Candidate, group: int) -> int:
    mesh = candidate.layout[group]
    return mesh.usable_bytes - int(problem.memory.used(mesh, candidate.content[group]).max(initial=0))
