"""What may be where on a layout, as the arrays that compiled changes read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from placement.candidate import Candidate, Content
from placement.groups import Layout
from placement.memory import NOWHERE
from placement.problem import Problem

if TYPE_CHECKING:  # importing it imports numba
    from placement.changes import Room

Held = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)


@final
class Units:
    """Models that are colocated count as one unit, so that a change takes them all or none.

    `of_model` [models]: the unit of each; `members`: the models of each.
    """

    def __init__(self, problem: Problem) -> None:
        companions = problem.constraints.companions
        self.members = tuple(dict.fromkeys(companions(model) for model in range(problem.num_models)))
        number = {model: unit for unit, models in enumerate(self.members) for model in models}
        self.of_model = np.array([number[model] for model in range(problem.num_models)], dtype=np.int64)

    def of(self, content: Content, num_groups: int) -> Held:
        """Which units are where, bool [groups, units]."""
        held = np.zeros((num_groups, len(self.members)), dtype=bool)
        for group, models in enumerate(content):
            held[group, self.of_model[list(models)]] = True
        return held

    def models(self, held: Held) -> Held:
        """Which models are where, bool [..., groups, models]."""
        return held if len(self.members) == len(self.of_model) else held[..., self.of_model]

    def candidate(self, layout: Layout, held: Held) -> Candidate:
        content = tuple(tuple(np.flatnonzero(row).tolist()) for row in self.models(held))
        return Candidate(layout, content)

    def summed(self, by_model: NDArray[Number]) -> NDArray[Number]:
        """By unit, along the first axis."""
        total = np.zeros((len(self.members), *by_model.shape[1:]), dtype=by_model.dtype)
        np.add.at(total, self.of_model, by_model)
        return total

    def any_pair(self, by_models: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether it holds for some model of one unit and some of another [units, units]."""
        if not by_models.any():
            return np.zeros((len(self.members), len(self.members)), dtype=bool)
        rows = np.array([by_models[list(models)].any(axis=0) for models in self.members])
        return np.array([rows[:, list(models)].any(axis=1) for models in self.members]).T

    def all(self, by_model: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether it holds for every model of a unit, along the last axis."""
        return np.stack([by_model[..., list(models)].all(axis=-1) for models in self.members], axis=-1)


def room_of(problem: Problem, layout: Layout, units: Units) -> Room:
    """Bytes and rules of a layout."""
    from placement.changes import Room

    kinds = list(dict.fromkeys(mesh.kind for mesh in layout))
    num_stages = max(mesh.config.pipeline for mesh in layout)
    weights = np.zeros((len(kinds), len(units.members), num_stages), dtype=np.int64)
    activations = np.zeros_like(weights)
    fits = np.zeros((len(kinds), problem.num_models), dtype=bool)
    for number, kind in enumerate(kinds):
        mesh = next(mesh for mesh in layout if mesh.kind == kind)
        bytes_, peak = problem.memory.stage_bytes(mesh)
        fits[number] = (bytes_ < NOWHERE).all(axis=1)
        stages = slice(0, mesh.config.pipeline)
        weights[number, :, stages] = units.summed(np.where(fits[number][:, None], bytes_, 0))
        for unit, models in enumerate(units.members):
            activations[number, unit, stages] = peak[list(models)].max(axis=0)
    kind_of_group = np.array([kinds.index(mesh.kind) for mesh in layout], dtype=np.int64)
    rules = problem.constraints
    fewest, most = rules.replica_bounds
    return Room(
        kind_of_group,
        weights,
        activations,
        np.array([mesh.usable_bytes for mesh in layout], dtype=np.int64),
        units.all(fits[kind_of_group] & rules.pinned(layout)),
        units.any_pair(rules.apart),
        np.array([fewest[list(models)].max() for models in units.members], dtype=np.int64),
        np.array([most[list(models)].min() for models in units.members], dtype=np.int64),
    )
