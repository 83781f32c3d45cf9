"""Placements to start a local search from, on layouts that no greedy fill suits: taken over from others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from placement.candidate import Candidate, empty
from placement.greedy import Scored, with_required
from placement.groups import Layout, Mesh
from placement.problem import Problem


def taken_over(problem: Problem, layout: Layout, found: Sequence[Candidate]) -> Scored | None:
    """Every group holds what a group of its kind, or else a like one, holds in what was found before.

    found: the best first. Required replicas that are missing are added where there is room, then whatever
    else fits, most missed models first; None if required ones do not fit.
    """
    candidate = empty(layout)
    used: dict[int, int] = {}
    for group, mesh in enumerate(layout):
        for model in _content_for(mesh, found, used):
            if problem.addable(candidate, group)[model]:
                candidate = problem.plus(candidate, group, model)
    candidate = _with_missing(problem, candidate)
    return None if candidate is None else _topped_up(problem, candidate)


def _content_for(mesh: Mesh, found: Sequence[Candidate], used: dict[int, int]) -> tuple[int, ...]:
    """Models of the next group that is of the mesh's kind, has its devices, or is of its size."""
    for number, candidate in enumerate(found):
        alike = [
            models
            for other, models in zip(candidate.layout, candidate.content, strict=True)
            if models and other.config == mesh.config
        ]
        if alike:
            used[number] = used.get(number, -1) + 1
            return alike[used[number] % len(alike)]
    held: dict[int, None] = {}
    mine = set(mesh.devices)
    for other, models in zip(found[0].layout, found[0].content, strict=True) if found else ():
        if not mine.isdisjoint(other.devices):
            held.update(dict.fromkeys(models))
    return tuple(held)


def _with_missing(problem: Problem, candidate: Candidate) -> Candidate | None:
    """With the replicas that are required; from nothing where they have no room beside what is there."""
    for model, spec in enumerate(problem.deployment.models):
        while candidate.replicas_of(model) < spec.min_replicas:
            rooms = [g for g in range(len(candidate.layout)) if problem.addable(candidate, g)[model]]
            if not rooms:
                return with_required(problem, candidate.layout)
            candidate = problem.plus(candidate, rooms[0], model)
    return candidate


def _topped_up(problem: Problem, candidate: Candidate) -> Scored:
    """Whatever still fits is added, the most missed models first. Two simulations."""
    order = np.argsort(-problem.unserved(problem.tally(candidate)), kind="stable").tolist()
    for group in range(len(candidate.layout)):
        while True:
            fits = problem.addable(candidate, group)
            model = next((model for model in order if fits[model]), None)
            if model is None:
                break
            candidate = problem.plus(candidate, group, model)
    return Scored(candidate, problem.value(candidate, problem.tally(candidate)))
