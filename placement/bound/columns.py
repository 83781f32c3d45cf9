"""The columns of the bound's programme: groups of each configuration, replicas, and served requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts
from placement.bound.fleet import Choice

# A model that is not on a configuration has no column there.
NONE = -1
# Choices, by index, that served requests are not told apart by.
Part = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a solution things are, and what limits them.

    The first columns are groups, one a choice; replicas: [models, choices], NONE where a model cannot be in
    time; kinds: for each kind, models that cost the same everywhere, ascending; holding: groups that hold one
    of a kind [kinds, choices], NONE likewise; served: requests of each burst on any choice of a part
    [bursts, parts], NONE likewise; most: upper limits [columns], all lower ones are 0; gain: what a unit adds
    to the requests served in time [columns].
    """

    replicas: NDArray[np.int64]
    kinds: tuple[NDArray[np.int64], ...]
    holding: NDArray[np.int64]
    served: NDArray[np.int64]
    most: NDArray[np.float64]
    gain: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.most)


def columns_of(
    choices: Sequence[Choice], bursts: Bursts, *, parts: Sequence[Part], num_models: int
) -> Columns:
    """Numbered by kind of column, then by row, then by choice or part. Each choice is in one part."""
    can = np.zeros((num_models, len(choices)), dtype=bool)
    for index, choice in enumerate(choices):
        can[choice.models, index] = True
    kinds = _kinds(choices, can)
    can_hold = np.array([can[kind[0]] for kind in kinds]).reshape(len(kinds), len(choices))
    max_groups = np.array([choice.max_groups for choice in choices], dtype=float)
    can_part = np.column_stack([can[:, list(part)].any(axis=1) for part in parts])
    can_serve = can_part[bursts.model]
    counts = np.broadcast_to(bursts.count[:, None], can_serve.shape)[can_serve].astype(float)
    most = np.concatenate(
        [
            max_groups,
            np.broadcast_to(max_groups, can.shape)[can],
            np.broadcast_to(max_groups, can_hold.shape)[can_hold],
            counts,
        ]
    )
    gain = np.zeros_like(most)
    first_served = len(most) - len(counts)
    gain[first_served:] = 1.0
    return Columns(
        _numbered(can, first=len(choices)),
        kinds,
        _numbered(can_hold, first=len(choices) + int(can.sum())),
        _numbered(can_serve, first=first_served),
        most,
        gain,
    )


def _kinds(choices: Sequence[Choice], can: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
    """Models that can be somewhere, by what they cost wherever that is."""
    costs: dict[int, list[bytes]] = {int(model): [] for model in np.flatnonzero(can.any(axis=1))}
    for index, choice in enumerate(choices):
        for row, model in enumerate(choice.models):
            parts = (choice.latest_s[row : row + 1], choice.work_s[row], choice.fill_s[row])
            costs[int(model)].append(b"".join((index.to_bytes(4), *(part.tobytes() for part in parts))))
    kinds: dict[tuple[bytes, ...], list[int]] = {}
    for model, cost in costs.items():
        kinds.setdefault(tuple(cost), []).append(model)
    return tuple(np.array(models, dtype=np.int64) for models in kinds.values())


def _numbered(where: NDArray[np.bool_], *, first: int) -> NDArray[np.int64]:
    """Numbers from `first` on where it is true, else NONE."""
    numbers = np.full(where.shape, NONE, dtype=np.int64)
    numbers[where] = first + np.arange(int(where.sum()))
    return numbers
