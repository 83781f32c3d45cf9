"""What requests compete for: one stage of the replicas of a model, or of the groups that hold some models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts
from placement.bound.columns import NONE, Columns, Part
from placement.bound.fleet import Choice

# Added to every length of time: finish times are sums of a few rounded numbers.
SLACK_S = 1e-7


@dataclass(frozen=True, slots=True)
class Resource:
    """The bursts of some models, and the stages, of whichever choice of a part, that can serve them.

    key: which part, and which models of those that have resources.
    served: columns [uses]; release_s: the first arrival; due_s: when the last request has to have left the
    last stage [uses]; work: what one of them takes, 1 where they are alike and are counted [uses]; count: how
    many there are [uses].
    stages: columns of how many stages there are of each choice; rates: most work that one does in a second;
    margins_s: what a request is in other stages at least, so that the stage cannot be at it [stages].
    """

    key: tuple[int, int]
    served: NDArray[np.int64]
    release_s: NDArray[np.float64]
    due_s: NDArray[np.float64]
    work: NDArray[np.float64]
    count: NDArray[np.float64]
    is_counted: bool
    stages: NDArray[np.int64]
    rates: NDArray[np.float64]
    margins_s: NDArray[np.float64]

    def capacity(self, stage: int, length_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Most work of requests that come and are due within some time: whole requests, where counted."""
        work = np.maximum(0.0, length_s - self.margins_s[stage] + SLACK_S) * self.rates[stage]
        return np.floor(work) if self.is_counted else work


@dataclass(frozen=True, slots=True)
class _Stage:
    """Of one choice the stage with most to do. seconds: of each model there [models]."""

    column: int
    models: NDArray[np.int64]
    seconds: NDArray[np.float64]
    margin_s: float


def resources_of(
    choices: Sequence[Choice], parts: Sequence[Part], bursts: Bursts, columns: Columns
) -> list[Resource]:
    """Of each model replicas, of models that are alike the groups that hold any, of all together groups."""
    latest_s = np.full(len(columns.replicas), np.inf)
    for choice in choices:
        latest_s[choice.models] = choice.latest_s
    found: list[Resource] = []
    for set_index, (models, stage_columns) in enumerate(_sets(choices, columns, latest_s)):
        uses = np.flatnonzero(np.isin(bursts.model, models))
        for part_index, part in enumerate(parts):
            there = uses[columns.served[uses, part_index] != NONE]
            if len(there):
                stages = list(_stages(choices, part, models, stage_columns, bursts=bursts))
                served = columns.served[there, part_index]
                key = (part_index, set_index)
                found.append(_resource(key, stages, bursts, there, served, latest_s=latest_s))
    return found


def _sets(
    choices: Sequence[Choice], columns: Columns, latest_s: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Models that compete, and the columns of what for [choices]. Those without SLO can always wait."""
    for kind in columns.kinds:
        for model in kind:
            yield np.array([model]), columns.replicas[model]
    timed = [number for number, kind in enumerate(columns.kinds) if latest_s[kind[0]] < np.inf]
    for number in timed:
        yield columns.kinds[number], columns.holding[number]
    if len(timed) > 1:
        every = np.sort(np.concatenate([columns.kinds[number] for number in timed]))
        yield every, np.arange(len(choices))


def _resource(
    key: tuple[int, int],
    stages: Sequence[_Stage],
    bursts: Bursts,
    uses: NDArray[np.int64],
    served: NDArray[np.int64],
    *,
    latest_s: NDArray[np.float64],
) -> Resource:
    seconds = np.full((len(stages), len(latest_s)), np.nan)
    for number, stage in enumerate(stages):
        seconds[number, stage.models] = stage.seconds
    models = np.unique(np.concatenate([stage.models for stage in stages]))
    is_counted = all(len(set(stage.seconds)) == 1 for stage in stages)
    work = np.ones(len(latest_s)) if is_counted else _typical(seconds, models)
    with np.errstate(divide="ignore"):
        rates = np.nanmax(work[models] / seconds[:, models], axis=1)
    return Resource(
        key,
        served,
        bursts.first_s[uses],
        bursts.last_s[uses] + latest_s[bursts.model[uses]],
        work[bursts.model[uses]],
        bursts.count[uses].astype(float),
        is_counted,
        np.array([stage.column for stage in stages], dtype=np.int64),
        rates,
        np.array([stage.margin_s for stage in stages]),
    )


def _stages(
    choices: Sequence[Choice],
    part: Part,
    models: NDArray[np.int64],
    stage_columns: NDArray[np.int64],
    *,
    bursts: Bursts,
) -> Iterator[_Stage]:
    """One of each choice of the part that any of these models can be on."""
    num_models = max(int(models.max()), *(int(choices[index].models.max()) for index in part)) + 1
    asked = np.bincount(bursts.model, weights=bursts.count, minlength=num_models)
    for index in part:
        choice = choices[index]
        rows = np.flatnonzero(np.isin(choice.models, models))
        if len(rows):
            work_s, loads = choice.work_s[rows], asked[choice.models[rows]]
            stage = int((work_s * loads[:, None]).sum(axis=0).argmax())
            elsewhere_s = choice.fill_s[rows].sum(axis=1) - choice.fill_s[rows, stage]
            yield _Stage(
                int(stage_columns[index]), choice.models[rows], work_s[:, stage], float(elsewhere_s.min())
            )


def _typical(seconds: NDArray[np.float64], models: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each model takes in proportion to others, on most choices: any weights >= 0 give valid rows.

    seconds: [stages, all models], NaN where a model cannot be.
    """
    relative = seconds / np.nanmean(seconds, axis=1, keepdims=True)
    work = np.zeros(seconds.shape[1])
    work[models] = np.nanmedian(relative[:, models], axis=0)
    return work
