"""When groups open after a change of placement: once the weights that they lack are there."""

from __future__ import annotations

from resharding.move_costs import Store, weight_transfer
from resharding.network import Network
from resharding.weight_layouts import changed_weights, numbered_devices
from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement


def opening_times_s(
    old: Placement, new: Placement, *, deployment: Deployment, network: Network, store: Store | None = None
) -> tuple[float, ...]:
    """Seconds from the change until each new group may serve [groups].

    0 for groups that were there with all their models; for all others until every weight that moves is there,
    from living replicas or the store, planned together as `resharding` plans it. Starting processes and
    compiling is not in it. Raises Infeasible for a model that no old group holds where there is no store.
    """
    there = {(group.devices, group.config): frozenset(group.models) for group in old.groups}
    wanted = changed_weights(
        old, new, entry_of=deployment.catalog().entry, devices=numbered_devices(deployment.cluster)
    )
    loaded_s = weight_transfer(wanted, network, store=store).seconds if wanted else 0.0

    def stays(group: Group) -> bool:
        return there.get((group.devices, group.config), frozenset()) >= frozenset(group.models)

    return tuple(0.0 if stays(group) else loaded_s for group in new.groups)
