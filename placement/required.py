"""Groups of unequal size, opened one by one for models that equal groups, or those there are, leave out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from placement.candidate import Candidate
from placement.groups import Host, carve, equal_meshes, hosts_of, without
from placement.memory import allows
from placement.problem import Problem
from vocabulary.deployment import ModelSpec
from vocabulary.parallel import ParallelConfig


def open_as_needed(problem: Problem, there: Candidate | None = None) -> Iterator[Candidate]:
    """Placements of the required replicas and, where there is room, one of every other model with traffic.

    Models that need most devices first; each on a group that has room, else on the smallest new one that
    holds it. The devices left over are cut into equal groups, in every way. Nothing if a required replica
    does not fit. there: groups and replicas that stay as they are.
    """
    models = problem.deployment.models
    candidate = Candidate((), ()) if there is None else there
    hosts = hosts_of(problem.deployment.cluster)
    for mesh in candidate.layout:
        hosts = without(hosts, mesh.devices)
    for index in _replicas_wanted(problem, candidate):
        grown = _with_replica(problem, candidate, hosts, index)
        if grown is not None:
            candidate, hosts = grown
        elif candidate.replicas_of(index) < models[index].min_replicas:
            return
    configs = sorted({config for model in models for config in _allowed(model)})
    rests = [rest for rest in (carve(hosts, config) for config in configs) if rest]
    if not candidate.layout:
        return
    for rest in rests or [()]:
        yield Candidate((*candidate.layout, *rest), (*candidate.content, *(() for _ in rest)))


def leaves_out(problem: Problem, candidate: Candidate) -> bool:
    """Whether a model that is asked for has no place."""
    asked = np.flatnonzero(problem.trace.counts())
    return any(not candidate.replicas_of(int(model)) for model in asked)


def _replicas_wanted(problem: Problem, there: Candidate) -> list[int]:
    """Model indices: required replicas first, then one of each that is asked for; pinned and large first."""
    models, counts = problem.deployment.models, problem.trace.counts()
    choices = [problem.constraints.num_choices(index) for index in range(len(models))]
    order = sorted(range(len(models)), key=lambda index: (choices[index], -_fewest_devices(models[index])))
    held = [there.replicas_of(index) for index in range(len(models))]
    required = [index for index in order for _ in range(held[index], models[index].min_replicas)]
    more = [index for index in order if counts[index] and not models[index].min_replicas and not held[index]]
    return required + more


def _with_replica(
    problem: Problem, candidate: Candidate, hosts: Sequence[Host], index: int
) -> tuple[Candidate, Sequence[Host]] | None:
    for group in range(len(candidate.layout)):
        if problem.addable(candidate, group)[index]:
            return problem.plus(candidate, group, index), hosts
    for config in sorted(_allowed(problem.deployment.models[index]), key=lambda c: (c.num_devices, c)):
        for mesh in equal_meshes(hosts, config):
            opened = Candidate((*candidate.layout, mesh), (*candidate.content, ()))
            group = len(candidate.layout)
            if problem.addable(opened, group)[index]:
                return problem.plus(opened, group, index), without(hosts, mesh.devices)
    return None


def _fewest_devices(model: ModelSpec) -> int:
    return min((config.num_devices for config in _allowed(model)), default=0)


def _allowed(model: ModelSpec) -> list[ParallelConfig]:
    profiled = model.profile.entries if model.profile is not None else ()
    return [config for config in profiled if allows(model, config)]
