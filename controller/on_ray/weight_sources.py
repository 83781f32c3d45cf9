"""Where new replicas get weights from: living ones where that is estimated to be faster, or the store."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import final

from resharding.move_costs import Store, weight_transfer
from resharding.network import Network, network_of
from resharding.transport.endpoints import Endpoint
from resharding.weight_layouts import Holding, ModelWeights, holding, numbered_devices
from vocabulary.mesh import Cluster
from workers.multicast import STORE, Load, Multicast, Replica
from workers.spec import WorkerSpec

# Until one was measured: what a common disk or network file system gives, all readers together.
STORE_BYTES_PER_S = 1e9
# Planning and opening a channel, as measured with a model of 4 MB: 0.10 to 0.13 s, of which 1 ms is transfer.
SETUP_S = 0.1


@dataclass(frozen=True, slots=True)
class Reached:
    """A group that computes, and where its processes are reached, in the order of their stages."""

    spec: WorkerSpec
    endpoints: tuple[Endpoint, ...]


@final
class WeightSources:
    """Chooses; learns from every load how fast the store is read."""

    def __init__(self, cluster: Cluster) -> None:
        self._devices = numbered_devices(cluster)
        self._network: Network = network_of(cluster)
        self._store_bytes_per_s = STORE_BYTES_PER_S
        # Another controller of the same workers must not count from where this one did.
        self._epochs = count(time.time_ns())

    @property
    def store_bytes_per_s(self) -> float:
        """As measured last, or assumed."""
        return self._store_bytes_per_s

    def choose(self, new: Sequence[Reached], living: Sequence[Reached]) -> tuple[Multicast, ...]:
        """What is to be sent to `new` groups, in the order in which all take part; the rest is for the store.

        A model that nobody holds may be read once, by the first of its new groups, and sent to the others.
        """
        models: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
        for model in sorted({name for one in new for name in _movable(one.spec)}):
            targets, holders = _holders(model, new), _holders(model, living)
            chosen = self._replicas(model, holders, targets)
            if chosen is not None:
                models[_ids(chosen[0]), _ids(chosen[1])].append(model)
        by_id = {one.spec.group.id: one for one in (*living, *new)}
        return tuple(
            Multicast(
                tuple(names),
                tuple(_replica(by_id[one]) for one in sources),
                tuple(_replica(by_id[one]) for one in targets),
                next(self._epochs),
            )
            for (sources, targets), names in models.items()
        )

    def learn(self, loads: Iterable[Load]) -> None:
        """The slowest read of some that ran together says what the store gives to each."""
        speeds = [
            one.num_bytes / one.seconds
            for one in loads
            if one.origin == STORE and one.seconds and one.num_bytes
        ]
        self._store_bytes_per_s = min(speeds, default=self._store_bytes_per_s)

    def _replicas(
        self, model: str, holders: Sequence[Reached], targets: Sequence[Reached]
    ) -> tuple[Sequence[Reached], Sequence[Reached]] | None:
        """Senders and receivers, where sending is faster; None for the store."""
        holdings = {one.spec.group.id: self._holding(model, one) for one in (*holders, *targets)}
        known = {name: one for name, one in holdings.items() if one is not None}
        if len(known) < len(holdings):
            return None  # Without a profile there is nothing to estimate from.
        if holders:
            sent_s = self._sent_s(model, known, holders, targets)
            return (holders, targets) if sent_s < self._read_s(model, known, targets) else None
        first, others = targets[:1], targets[1:]
        if not others:
            return None
        first_s = self._read_s(model, known, first) + self._sent_s(model, known, first, others)
        return (first, others) if first_s < self._read_s(model, known, targets) else None

    def _sent_s(
        self,
        model: str,
        known: Mapping[str, Holding],
        holders: Sequence[Reached],
        targets: Sequence[Reached],
    ) -> float:
        weights = ModelWeights(model, _of(known, holders), _of(known, targets))
        return SETUP_S + weight_transfer([weights], self._network).seconds

    def _read_s(self, model: str, known: Mapping[str, Holding], targets: Sequence[Reached]) -> float:
        store = Store(self._store_bytes_per_s, self._store_bytes_per_s)
        weights = ModelWeights(model, (), _of(known, targets))
        return weight_transfer([weights], self._network, store=store).seconds

    def _holding(self, model: str, one: Reached) -> Holding | None:
        catalog, group = one.spec.catalog, one.spec.group
        if model not in catalog.profiles or not catalog.supports(model, group.config):
            return None
        if any(spec.is_function for spec in one.spec.models if spec.name == model):
            return None  # A function builds its own parameters.
        return holding(group, catalog.entry(model, group.config), self._devices)


def _movable(spec: WorkerSpec) -> list[str]:
    """A user's own function makes its weights itself."""
    return [one.name for one in spec.models if not one.is_function]


def _holders(model: str, groups: Sequence[Reached]) -> list[Reached]:
    return [one for one in groups if model in one.spec.group.models]


def _ids(groups: Sequence[Reached]) -> tuple[str, ...]:
    return tuple(one.spec.group.id for one in groups)


def _replica(one: Reached) -> Replica:
    return Replica(one.spec.group, one.endpoints)


def _of(known: Mapping[str, Holding], groups: Sequence[Reached]) -> tuple[Holding, ...]:
    return tuple(known[one.spec.group.id] for one in groups)
