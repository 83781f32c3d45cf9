"""Learns how long batches really take: observed over profiled time, for every model of every group.

Only batches that had the group for themselves count: behind another batch, waiting between the stages would
be taken for work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import final

from vocabulary.catalog import BatchCosts, Catalog
from vocabulary.correction import Correction
from vocabulary.placement import Group

# A median of so many is steady within a percent where single runs differ by a tenth, and still moves with
# the hardware.
_NUM_KEPT = 256


@final
class LearnedCorrections:
    """Batches come in the order in which their group began them."""

    def __init__(self, groups: Mapping[int, Group], *, catalog: Catalog) -> None:
        """groups: by index, as they come and go."""
        self._groups = groups
        self._catalog = catalog
        self._free_s: dict[int, float] = {}
        self._ratios: dict[tuple[str, int], deque[float]] = {}
        self._costs: dict[tuple[str, int], BatchCosts] = {}

    def observe(
        self, model: str, group_index: int, *, start_s: float, finish_s: float, batch_size: int = 1
    ) -> bool:
        """A batch ran from `start_s` to `finish_s`. Whether it was alone, and so counts."""
        free_s = self._free_s.get(group_index, float("-inf"))
        is_alone = start_s >= free_s
        self._free_s[group_index] = max(free_s, finish_s)
        # A model that has just left the fleet still finishes what it has.
        if not is_alone or model not in self._catalog.profiles:
            return False
        key = (model, group_index)
        if key not in self._ratios:
            self._costs[key] = self._catalog.costs(model, self._groups[group_index].config)
            self._ratios[key] = deque(maxlen=_NUM_KEPT)
        profiled_s = sum(self._costs[key].of(batch_size))
        if profiled_s <= 0:
            return False
        self._ratios[key].append((finish_s - start_s) / profiled_s)
        return True

    def adopt(self, catalog: Catalog) -> None:
        """Profiles are these from now on; what was learned against others is forgotten."""
        self._catalog = catalog
        self._ratios.clear()
        self._costs.clear()

    def forget(self, group_index: int) -> None:
        """The group is gone."""
        self._free_s.pop(group_index, None)
        for key in [key for key in self._ratios if key[1] == group_index]:
            del self._ratios[key], self._costs[key]

    def found(self) -> Mapping[tuple[str, int], Correction]:
        """By model and index of the group; only what was observed."""
        return {
            key: Correction(median(ratios), len(ratios)) for key, ratios in self._ratios.items() if ratios
        }
