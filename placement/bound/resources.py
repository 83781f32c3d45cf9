"""What requests compete for: one stage of the replicas of a model, or of the groups that hold some models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts
from placement.bound.columns import NONE, Columns
from placement.bound.fleet import Choice

# Added to every length of time: finish times are sums of a few rounded numbers.
SLACK_S = 1e-7


@dataclass(frozen=True, slots=True)
class Resource:
    """The bursts of some models, and the stages, of whichever choice, that can serve them.

    served: columns [uses]; release_s: the first arrival; due_s: when the last request has to have left the
    last stage [uses]; work: what one of them takes, 1 where they are alike and are counted [uses]; count: how
    many there are [uses].
    stages: columns of how many stages there are of each choice; rates: most work that one does in a second;
    margins_s: what a request is in other stages at least, so that the stage cannot be at it [stages].
    """

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


def resources_of(choices: Sequence[Choice], bursts: Bursts, columns: Columns) -> list[Resource]:
    """Of each model replicas, of models that are alike the groups that hold any, of all together groups."""
    asked = np.bincount(bursts.model, weights=bursts.count, minlength=len(columns.replicas))
    latest_s = np.full(len(asked), np.inf)
    for choice in choices:
        latest_s[choice.models] = choice.latest_s
    sets: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = [
        (np.array([model]), columns.replicas[model]) for kind in columns.kinds for model in kind
    ]
    timed = [number for number, kind in enumerate(columns.kinds) if latest_s[kind[0]] < np.inf]
    sets += [(columns.kinds[number], columns.holding[number]) for number in timed]
    if len(timed) > 1:
        every = np.sort(np.concatenate([columns.kinds[number] for number in timed]))
        sets.append((every, np.arange(len(choices))))
    found = (_resource(choices, bursts, columns, models, stages, asked=asked) for models, stages in sets)
    return [resource for resource in found if len(resource.served)]


def _resource(
    choices: Sequence[Choice],
    bursts: Bursts,
    columns: Columns,
    models: NDArray[np.int64],
    stage_columns: NDArray[np.int64],
    *,
    asked: NDArray[np.float64],
) -> Resource:
    uses = np.flatnonzero(np.isin(bursts.model, models))
    stages = list(_stages(choices, models, stage_columns, asked=asked))
    seconds = np.full((len(stages), len(asked)), np.nan)
    latest_s = np.full(len(asked), np.inf)
    for number, stage in enumerate(stages):
        seconds[number, stage.models] = stage.seconds
    for choice in choices:
        latest_s[choice.models] = choice.latest_s
    is_counted = all(len(set(stage.seconds)) == 1 for stage in stages)
    work = np.ones(len(asked)) if is_counted else _typical(seconds, models)
    with np.errstate(divide="ignore"):
        rates = np.nanmax(work[models] / seconds[:, models], axis=1) if stages else np.zeros(0)
    return Resource(
        columns.served[uses],
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
    models: NDArray[np.int64],
    stage_columns: NDArray[np.int64],
    *,
    asked: NDArray[np.float64],
) -> Iterator[_Stage]:
    """One of each choice that any of these models can be on."""
    for choice, column in zip(choices, stage_columns, strict=True):
        rows = np.flatnonzero(np.isin(choice.models, models))
        if column == NONE or not len(rows):
            continue
        stage = int((choice.work_s[rows] * asked[choice.models[rows], None]).sum(axis=0).argmax())
        elsewhere_s = choice.fill_s[rows].sum(axis=1) - choice.fill_s[rows, stage]
        yield _Stage(int(column), choice.models[rows], choice.work_s[rows, stage], float(elsewhere_s.min()))


def _typical(seconds: NDArray[np.float64], models: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each model takes in proportion to others, on most choices: any weights >= 0 give valid rows.

    seconds: [stages, all models], NaN where a model cannot be.
    """
    relative = seconds / np.nanmean(seconds, axis=1, keepdims=True)
    work = np.zeros(seconds.shape[1])
    work[models] = np.nanmedian(relative[:, models], axis=0)
    return work
