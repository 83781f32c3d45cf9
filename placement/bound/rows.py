"""The rows that time has no part in: devices, memory, replicas, demand. Each holds for every placement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts
from placement.bound.columns import NONE, Columns
from placement.bound.fleet import Choice
from placement.bound.programme import Row, Rows
from vocabulary.deployment import Deployment


def standing_rows(
    deployment: Deployment, choices: Sequence[Choice], bursts: Bursts, columns: Columns
) -> list[Row]:
    """Rows of the programme before any about time; a placement with what it serves satisfies them all."""
    rows = Rows()
    _devices(rows, choices)
    for index, choice in enumerate(choices):
        replicas = columns.replicas[choice.models, index]
        _memory(rows, index, choice, replicas)
        _one_a_group(rows, index, replicas)
    _replica_limits(rows, deployment, columns)
    _holding(rows, columns)
    _demand(rows, bursts, columns)
    return rows.rows


def _devices(rows: Rows, choices: Sequence[Choice]) -> None:
    """Groups have disjoint devices: all of them, and those of every type, hold no more than there are."""
    pools = {choice.devices for choice in choices}
    for pool in sorted(pools, key=len):
        inside = [index for index, choice in enumerate(choices) if set(choice.devices) <= set(pool)]
        rows.add(inside, [choices[index].config.num_devices for index in inside], len(pool))
    if len(pools) > 1:
        devices = {device for pool in pools for device in pool}
        rows.add(range(len(choices)), [choice.config.num_devices for choice in choices], len(devices))


def _memory(rows: Rows, index: int, choice: Choice, replicas: NDArray[np.int64]) -> None:
    """What each stage of a group holds fits; summed over the groups of a choice.

    Activations are left out and every group has devices of the largest kind, so that the row is only looser.
    """
    for stage_bytes in np.unique(choice.weight_bytes.T, axis=0):
        rows.add((*replicas, index), (*(stage_bytes / choice.usable_bytes), -1.0))
        _whole_models(rows, index, stage_bytes, choice.usable_bytes, replicas)


def _whole_models(
    rows: Rows, index: int, stage_bytes: NDArray[np.int64], usable_bytes: int, replicas: NDArray[np.int64]
) -> None:
    """Where a stage has room for k models of some size, it has k of all as large, not k and a bit."""
    for num_bytes in np.unique(stage_bytes[stage_bytes > 0]):
        as_large = replicas[stage_bytes >= num_bytes]
        num_held = usable_bytes // int(num_bytes)
        if num_held < len(as_large):
            rows.add((*as_large, index), (*np.ones(len(as_large)), -float(num_held)))


def _one_a_group(rows: Rows, index: int, replicas: NDArray[np.int64]) -> None:
    """A group holds a model once."""
    for replica in replicas:
        rows.add((replica, index), (1.0, -1.0))


def _replica_limits(rows: Rows, deployment: Deployment, columns: Columns) -> None:
    """`replicas.max`. Lower bounds and other wishes are left out: without them the optimum is no smaller."""
    for model, spec in enumerate(deployment.models):
        replicas = columns.replicas[model][columns.replicas[model] != NONE]
        if spec.max_replicas is not None and len(replicas):
            rows.add(replicas, np.ones(len(replicas)), spec.max_replicas)


def _holding(rows: Rows, columns: Columns) -> None:
    """Groups that hold one of a kind are no more than groups, nor than replicas of the kind."""
    for kind, holding in zip(columns.kinds, columns.holding, strict=True):
        for index in np.flatnonzero(holding != NONE).tolist():
            rows.add((holding[index], index), (1.0, -1.0))
            replicas = columns.replicas[kind, index]
            rows.add((holding[index], *replicas), (1.0, *-np.ones(len(replicas))))


def _demand(rows: Rows, bursts: Bursts, columns: Columns) -> None:
    """A request is served once; a burst with one column has that column's limit."""
    for served, count in zip(columns.served, bursts.count, strict=True):
        places = served[served != NONE]
        if len(places) > 1:
            rows.rows.append(Row(places, np.ones(len(places)), float(count)))
