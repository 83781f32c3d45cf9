"""Simulator-guided greedy model selection: AlpaServe's fast heuristic and its Algorithm 1 (§4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from placement import ties
from placement.candidate import Candidate, empty
from placement.groups import Layout
from placement.problem import Problem
from simulator.fast import Tally

# The artifact divides by requests plus this, so that of equally unserved models the better served one leads.
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Scored:
    candidate: Candidate
    value: float


@dataclass(frozen=True, slots=True)
class Filled:
    """`last` is the fullest placement, which the artifact returns; `best` the best on the way to it."""

    last: Scored
    best: Scored


def fill(problem: Problem, layout: Layout) -> Filled | None:
    """`fill_up` from the required replicas alone; None if they do not fit."""
    candidate = with_required(problem, layout)
    return None if candidate is None else fill_up(problem, candidate)


def fill_up(problem: Problem, candidate: Candidate) -> Filled:
    """Add replicas one by one, to the least loaded group with room the most unserved model that fits there.

    One simulation a replica: O((models + groups) x replicas x requests).
    """
    best: Scored | None = None
    while True:
        tally = problem.tally(candidate)
        last = Scored(candidate, problem.value(candidate, tally))
        if best is None or last.value > best.value:
            best = last
        following = _fuller(problem, candidate, tally)
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
    """The replicas that `replicas.min` asks for, largest models first, each where most memory is free."""
    candidate = empty(layout)
    models = enumerate(problem.deployment.models)
    required = [(index, model.min_replicas) for index, model in models if model.min_replicas]
    by_size = sorted(required, key=lambda one: -_smallest_bytes(problem, layout, one[0]))
    for model, count in by_size:
        for _ in range(count):
            rooms = [g for g in range(len(layout)) if problem.addable(candidate, g)[model]]
            if not rooms:
                return None
            candidate = candidate.plus(max(rooms, key=lambda g: _free_bytes(problem, candidate, g)), model)
    return candidate


def _fuller(problem: Problem, candidate: Candidate, tally: Tally) -> Candidate | None:
    unserved = tally.num_requests * (1 - tally.num_good / (tally.num_requests + EPSILON))
    models = ties.descending(unserved.tolist())
    for group in ties.ascending(tally.num_routed.tolist()):
        fits = problem.addable(candidate, group)
        if fits.any():
            model = next(model for model in models if fits[model])
            return candidate.plus(group, model).sorted()
    return None


def _larger(problem: Problem, candidate: Candidate) -> Iterator[Candidate]:
    for group in range(len(candidate.layout)):
        for model in np.flatnonzero(problem.addable(candidate, group)):
            yield candidate.plus(group, int(model)).sorted()


def _key(candidate: Candidate) -> tuple[object, ...]:
    """Equal for placements that differ only in which of several equal meshes is which."""
    meshes = ((mesh.config, mesh.usable_bytes, mesh.num_hosts) for mesh in candidate.layout)
    return tuple(sorted(zip(meshes, candidate.content, strict=True)))


def _smallest_bytes(problem: Problem, layout: Layout, model: int) -> int:
    return min((int(problem.memory.used(mesh, (model,)).max()) for mesh in layout), default=0)


def _free_bytes(problem: Problem, candidate: Candidate, group: int) -> int:
    mesh = candidate.layout[group]
    return mesh.usable_bytes - int(problem.memory.used(mesh, candidate.content[group]).max(initial=0))
