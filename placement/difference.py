"""What stays and what moves from one placement to another, and what each move costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resharding.move_costs import Store, WeightTransfer, weight_transfer
from resharding.network import Network
from resharding.weight_layouts import ModelWeights, changed_weights, numbered_devices
from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement


@dataclass(frozen=True, slots=True)
class Move:
    """A model's weights, brought to a group. origin: `replica on g1`, `store`, or `here` where its hosts hold
    them. num_bytes: between hosts or from the store; seconds: this move alone."""

    model: str
    group: str
    origin: str
    num_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Difference:
    """From an old placement to a new one; groups by their ids, old or new.

    same: (old id, new id) of groups with the same devices and configuration; opened and closed: the others,
    new and old. kept: (model, new id) of replicas that stay on such a group; dropped: (model, old id).
    loading_s: of each new group that gets weights, alone. together: all moves planned at once.
    """

    same: tuple[tuple[str, str], ...]
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    dropped: tuple[tuple[str, str], ...]
    moves: tuple[Move, ...]
    loading_s: Mapping[str, float]
    together: WeightTransfer

    @property
    def is_nothing(self) -> bool:
        return not (self.moves or self.dropped or self.opened or self.closed)


def difference(
    old: Placement, new: Placement, *, deployment: Deployment, network: Network, store: Store | None = None
) -> Difference:
    """A replica stays where its group has the same devices and the same configuration before and after.

    Raises Infeasible for a model that no group holds, without a store to read it from.
    """
    before = {(group.devices, group.config): group for group in old.groups}
    after = {(group.devices, group.config) for group in new.groups}
    same = [(before[key], group) for group in new.groups if (key := (group.devices, group.config)) in before]
    wanted = changed_weights(
        old, new, entry_of=deployment.catalog().entry, devices=numbered_devices(deployment.cluster)
    )
    return Difference(
        same=tuple((earlier.id, group.id) for earlier, group in same),
        opened=tuple(group.id for group in new.groups if (group.devices, group.config) not in before),
        closed=tuple(group.id for group in old.groups if (group.devices, group.config) not in after),
        kept=tuple((m, group.id) for earlier, group in same for m in group.models if m in earlier.models),
        dropped=_dropped(old, new),
        moves=tuple(_moves(wanted, network, store)),
        loading_s=_loading_s(wanted, network, store),
        together=weight_transfer(wanted, network, store=store),
    )


def loading_seconds(
    old: Placement, new: Placement, *, deployment: Deployment, network: Network, store: Store | None = None
) -> Mapping[str, float]:
    """Only `Difference.loading_s`, which is most of what weighing a move needs. Raises what that raises."""
    devices = numbered_devices(deployment.cluster)
    wanted = changed_weights(old, new, entry_of=deployment.catalog().entry, devices=devices)
    return _loading_s(wanted, network, store)


def stopped(old: Placement, new: Placement) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """For each new group the (model, old group) that stop so that it can load: all on its devices, but for
    replicas that stay."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for group in new.groups:
        found[group.id] = tuple(
            (model, earlier.id)
            for earlier in old.groups
            if set(earlier.devices) & set(group.devices)
            for model in earlier.models
            if not (_is_same(earlier, group) and model in group.models)
        )
    return found


def _dropped(old: Placement, new: Placement) -> tuple[tuple[str, str], ...]:
    kept = {(group.devices, group.config): group.models for group in new.groups}
    return tuple(
        (model, group.id)
        for group in old.groups
        for model in group.models
        if model not in kept.get((group.devices, group.config), ())
    )


def _moves(wanted: tuple[ModelWeights, ...], network: Network, store: Store | None) -> list[Move]:
    found: list[Move] = []
    for weights in wanted:
        for target in weights.targets:
            alone = ModelWeights(weights.model, weights.holders, (target,))
            cost = weight_transfer([alone], network, store=store)
            origin = cost.origins[weights.model]
            found.append(Move(weights.model, target.group, origin, cost.num_bytes, cost.seconds))
    return found


def _loading_s(
    wanted: tuple[ModelWeights, ...], network: Network, store: Store | None
) -> Mapping[str, float]:
    groups = dict.fromkeys(target.group for weights in wanted for target in weights.targets)
    seconds: dict[str, float] = {}
    for group in groups:
        here = [
            ModelWeights(weights.model, weights.holders, (target,))
            for weights in wanted
            for target in weights.targets
            if target.group == group
        ]
        seconds[group] = weight_transfer(here, network, store=store).seconds
    return seconds


def _is_same(one: Group, other: Group) -> bool:
    return one.devices == other.devices and one.config == other.config
