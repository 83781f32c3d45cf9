"""How long a group takes to have models' weights: for serving, what a replica costs before it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resharding.move_costs import Store, weight_transfer
from resharding.network import Network
from resharding.weight_layouts import ModelWeights, holding, numbered_devices
from vocabulary.mesh import Cluster
from vocabulary.placement import Group, Placement
from vocabulary.profile import Profile


def loading_time_s(
    models: Sequence[str],
    group: Group,
    *,
    profiles: Mapping[str, Profile],
    living: Placement,
    cluster: Cluster,
    network: Network,
    store: Store | None = None,
) -> float:
    """Seconds until `group` has the weights of all `models`, from groups of `living` or the store.

    Whichever is sooner, planned as `resharding` plans it: what a re-placement is told too. Raises
    Infeasible for a model that no living group holds where there is no store.
    """
    devices = numbered_devices(cluster)
    wanted = [
        ModelWeights(
            model,
            tuple(
                holding(one, profiles[model].entry(one.config), devices)
                for one in living.groups
                if model in one.models
            ),
            (holding(group, profiles[model].entry(group.config), devices),),
        )
        for model in models
    ]
    return weight_transfer(wanted, network, store=store).seconds
