"""The clusters among which the smallest or cheapest is looked for: whole nodes of known classes."""

from __future__ import annotations

import math
from itertools import product

from placement.capacity.bisection import Size
from placement.capacity.points import Point, hourly_cost, resized_cluster
from vocabulary.errors import InvalidInput
from vocabulary.mesh import Cluster

OBJECTIVES = ("devices", "cost")
# Without --within, clusters of up to so many times the devices of the deployment are looked at.
GROWTH = 8
MAX_SIZES = 20_000


def sizes_of(
    cluster: Cluster, base: Point, *, objective: str, resized: int, within: tuple[int, int] | None
) -> tuple[Size, ...]:
    """Every size to choose from, cheapest first.

    devices: class `resized` gives way, the others stay as they are. cost: all mixes of the node classes.
    Raises InvalidInput for a class without a cost, for a range without whole nodes, or one with too many.
    """
    assert objective in OBJECTIVES, objective
    low, high = within or (1, GROWTH * base.num_devices)
    hosts = [node.devices_per_host for node in cluster.nodes]
    if objective == "cost":
        check_costs(cluster)
        choices = [range(0, high + 1, per_host) for per_host in hosts]
    else:
        choices = [range(count, count + 1) for count in base.devices]
        choices[resized] = range(0, high + 1, hosts[resized])
    if math.prod(map(len, choices)) > MAX_SIZES:
        raise _too_many(math.prod(map(len, choices)))
    mixes = [mix for mix in product(*choices) if max(1, low) <= sum(mix) <= high]
    if not mixes:
        node = cluster.nodes[resized]
        message = f"no cluster of whole nodes has {low} to {high} devices"
        hint = f"a node of {node.name} has {node.devices_per_host}; widen --within"
        raise InvalidInput(message, where="--within", hint=hint)
    return tuple(sorted(Size(price_of(cluster, mix, objective), mix) for mix in mixes))


def price_of(cluster: Cluster, devices: tuple[int, ...], objective: str) -> float:
    """Devices in all, or cost an hour."""
    if objective == "devices":
        return float(sum(devices))
    cost = hourly_cost(resized_cluster(cluster, devices))
    assert cost is not None, devices
    return round(cost, 9)


def check_costs(cluster: Cluster) -> None:
    """Raises InvalidInput for the first node class that does not say what it costs."""
    for index, node in enumerate(cluster.nodes):
        if node.cost_per_hour is None:
            raise InvalidInput(
                f"node class {node.name} has no cost",
                where=f"cluster.nodes[{index}].cost_per_hour",
                hint=f"say what an hour of one node costs: --set cluster.nodes[{index}].cost_per_hour=29.5",
            )


def _too_many(num_sizes: int) -> InvalidInput:
    message = f"{num_sizes} mixes of nodes are too many; at most {MAX_SIZES} are looked at"
    return InvalidInput(message, where="--within", hint="give a narrower range of devices: --within LO..HI")
