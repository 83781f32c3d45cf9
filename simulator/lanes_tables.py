"""Candidates side by side as flat arrays, the way the lanes kernel reads them."""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from simulator.fast_costs import Layout, StageTable
from simulator.lanes_vectors import LANES, stride


class Tables(NamedTuple):
    """Row first_row[m] + r holds the r-th replica of model m in every lane.

    The last row of a model is nobody's: what is refused goes there. A model that no lane holds has no rows. A
    lane with fewer replicas than others repeats its first, which never wins against itself; one with none has
    nobody's group, and nothing is in time there. All flat:
    offsets: uint32 [rows, lanes], where the clocks of a group start; due_s [models, lanes], the latest
    latency in time; latency_s [models, stages] where groups are alike, else [rows, stages, lanes].
    """

    first_row: NDArray[np.int64]
    offsets: NDArray[np.uint32]
    due_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]


class Counts(NamedTuple):
    """What the kernel counts, flat: num_good [models, lanes]; num_chosen [rows, lanes]; total_s [lanes]."""

    num_good: NDArray[np.float64]
    num_chosen: NDArray[np.int32]
    total_s: NDArray[np.float64]


@final
class Lockstep:
    """LANES candidates of one layout. held: who is where, bool [candidates, groups, models].

    The last candidate is repeated where there are fewer than LANES.
    """

    def __init__(
        self, layout: Layout, held: NDArray[np.bool_], table: StageTable, latest_s: NDArray[np.float64]
    ) -> None:
        assert layout, "a layout has groups"
        assert 0 < len(held) <= LANES, len(held)
        assert held.shape[1:] == (len(layout), table.num_models), "contents are of another layout"
        self._num_groups = len(layout)
        self._num_models = table.num_models
        self._configs = tuple(sorted(set(layout)))
        self.num_stages = max(config.pipeline for config in layout)
        self._place(held[np.minimum(np.arange(LANES), len(held) - 1)])
        self.tables = Tables(
            self._first_row,
            ((self._group * LANES + np.arange(LANES)) * stride(self.num_stages)).astype(np.uint32).ravel(),
            np.where(self._num_held > 0, latest_s[:, None], -np.inf).ravel(),
            self._latency_s(layout, table).ravel(),
        )

    @property
    def is_mixed(self) -> bool:
        return len(self._configs) > 1

    def clocks_s(self) -> NDArray[np.float64]:
        """Of an idle fleet."""
        return np.zeros((self._num_groups + 1) * LANES * stride(self.num_stages))

    def places(self) -> NDArray[np.float64]:
        """What the kernel calls a lane's r-th replica."""
        return np.arange((int(self._num_held.max()) + 1) * LANES, dtype=np.float64)

    def counts(self) -> Counts:
        """All zero."""
        return Counts(
            np.zeros(self._num_models * LANES), np.zeros(self._group.size, dtype=np.int32), np.zeros(LANES)
        )

    def num_good(self, counts: Counts) -> NDArray[np.int64]:
        """[lanes, models]."""
        return counts.num_good.reshape(-1, LANES).T.astype(np.int64)

    def num_routed(self, counts: Counts) -> NDArray[np.int64]:
        """[lanes, groups, models]."""
        group = self._group + np.arange(LANES) * (self._num_groups + 1)
        replica = group * self._num_models + self._model[:, None]
        # As weights the counts become floats, which hold them exactly.
        size = LANES * (self._num_groups + 1) * self._num_models
        routed = np.bincount(replica.ravel(), weights=counts.num_chosen, minlength=size)
        by_replica = routed.reshape(LANES, -1, self._num_models)
        return by_replica[:, : self._num_groups].astype(np.int64)

    def _place(self, held: NDArray[np.bool_]) -> None:
        """Sets _first_row, _model [rows], _group [rows, lanes] and _num_held [models, lanes]."""
        # Within a holder, groups stay in plan order.
        model, lane, group = np.nonzero(held.transpose(2, 0, 1))
        holder = model * LANES + lane
        num_held = np.bincount(holder, minlength=self._num_models * LANES)
        begin = np.cumsum(num_held) - num_held
        first_group = np.full(num_held.shape, self._num_groups)
        first_group[num_held > 0] = group[begin[num_held > 0]]
        self._num_held = num_held.reshape(-1, LANES)
        most = self._num_held.max(axis=1)
        num_rows = np.where(most > 0, most + 1, 0)
        self._first_row = np.concatenate([[0], np.cumsum(num_rows)])
        self._model = np.repeat(np.arange(self._num_models), num_rows)
        self._group = first_group.reshape(-1, LANES)[self._model]
        row = self._first_row[model] + np.arange(len(holder)) - begin[holder]
        self._group[row, lane] = group
        self._group[self._first_row[1:][most > 0] - 1] = self._num_groups

    def _latency_s(self, layout: Layout, table: StageTable) -> NDArray[np.float64]:
        stages_s = table.stacked(self._configs)
        if not self.is_mixed:
            return stages_s[0]
        # Nobody's group takes no time: its clocks stay finite.
        stages_s = np.concatenate([stages_s, np.zeros((1, *stages_s.shape[1:]))])
        config = np.array([*(self._configs.index(config) for config in layout), len(self._configs)])
        own_s = stages_s[config[self._group], self._model[:, None]]  # [rows, lanes, stages]
        return own_s.transpose(0, 2, 1)
