"""How many requests of a model may be in flight, and of a tenant, so that a flood leaves room for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from typing import final


@final
class QueuePlaces:
    """Places of each model. Where tenants share them, nobody may have more than are free.

    The rule of dynamic thresholds (Choudhury and Hahne, 1998): one tenant alone takes half of the places, two
    take a third each, and there are always some for one that comes.
    """

    __slots__ = ("_by_model", "_by_tenant", "_max_queued", "_shared")

    def __init__(self, max_queued: int, *, shared: Set[str] = frozenset()) -> None:
        """shared: models whose places tenants share; one that joins it has nothing in flight."""
        self._max_queued = max_queued
        self._shared = shared
        self._by_model: Counter[str] = Counter()
        self._by_tenant: Counter[tuple[str, str]] = Counter()

    def has_room(self, model: str, tenant: str) -> bool:
        num_free = self._max_queued - self._by_model[model]
        if model in self._shared:
            return self._by_tenant[model, tenant] < num_free
        return num_free > 0

    def take(self, model: str, tenant: str) -> None:
        self._by_model[model] += 1
        if model in self._shared:
            self._by_tenant[model, tenant] += 1

    def give_back(self, model: str, tenant: str) -> None:
        self._by_model[model] -= 1
        if model in self._shared:
            self._by_tenant[model, tenant] -= 1
            if not self._by_tenant[model, tenant]:
                del self._by_tenant[model, tenant]
