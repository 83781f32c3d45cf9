"""The smaller clusters inside one: fewer devices or hosts of each node class, the others left free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from placement.capacity.bisection import Size
from placement.capacity.sizes import MAX_SIZES, check_costs
from placement.constraints import without_devices
from vocabulary.deployment import Deployment
from vocabulary.mesh import Device
from vocabulary.placement import Placement


@dataclass(frozen=True, slots=True)
class Smaller:
    """Sizes of a cluster to choose from, and the deployment of each; the devices keep their ids.

    steps[c]: devices of node class c in the order in which they are taken, in pieces that are taken whole.
    """

    deployment: Deployment
    objective: str
    steps: tuple[tuple[tuple[Device, ...], ...], ...]

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Cheapest first; `devices` counts pieces of each class."""
        mixes = product(*(range(len(steps) + 1) for steps in self.steps))
        return tuple(sorted(Size(self._price(self._taken(mix)), mix) for mix in mixes if any(mix)))

    def at(self, size: Size) -> Deployment:
        """The deployment with every device reserved that the size does not have."""
        taken = {device.id for device in self._taken(size.devices)}
        gone = [d.id for d in self.deployment.cluster.free_devices if d.id not in taken]
        return without_devices(self.deployment, gone)

    def price(self, placement: Placement) -> float:
        """Of the devices, or the hosts, that a placement uses."""
        by_id = self.deployment.cluster.by_id()
        return self._price([by_id[device] for group in placement.groups for device in group.devices])

    def _taken(self, mix: Sequence[int]) -> list[Device]:
        return [
            device
            for steps, count in zip(self.steps, mix, strict=True)
            for step in steps[:count]
            for device in step
        ]

    def _price(self, devices: Sequence[Device]) -> float:
        if self.objective == "min_devices":
            return float(len(devices))
        costs = {node.name: node.cost_per_hour or 0.0 for node in self.deployment.cluster.nodes}
        hosts = {device.host: costs[device.node] for device in devices}
        return round(math.fsum(hosts.values()), 9)


def smaller_clusters(deployment: Deployment, objective: str) -> Smaller:
    """Every number of free devices of each node class for min_devices, of whole hosts for min_cost.

    Devices that models are pinned to are taken first. Where there are too many mixes of single devices,
    whole hosts are taken, then several hosts at a time. Raises InvalidInput for a class without a cost.
    """
    if objective == "min_cost":
        check_costs(deployment.cluster)
    classes = [_ordered(deployment, node.name) for node in deployment.cluster.nodes]
    steps = [tuple((device,) for device in devices) for devices in classes]
    if objective == "min_cost" or _num_mixes(steps) > MAX_SIZES:
        steps = [_by_host(devices) for devices in classes]
    while _num_mixes(steps) > MAX_SIZES:
        steps = [_in_pairs(one) for one in steps]
    return Smaller(deployment, objective, tuple(steps))


def _ordered(deployment: Deployment, node: str) -> list[Device]:
    """Free devices of a class: on hosts with pinned ones first, and of a host the pinned ones first."""
    pinned = {device for devices in deployment.rules.pin.values() for device in devices}
    hosts = {device.host for device in deployment.cluster.devices if device.id in pinned}
    free = [device for device in deployment.cluster.free_devices if device.node == node]
    return sorted(free, key=lambda d: (d.host not in hosts, d.host_index, d.id not in pinned, d.device_index))


def _by_host(devices: Sequence[Device]) -> tuple[tuple[Device, ...], ...]:
    hosts: dict[str, list[Device]] = {}
    for device in devices:
        hosts.setdefault(device.host, []).append(device)
    return tuple(map(tuple, hosts.values()))


def _in_pairs(steps: Sequence[tuple[Device, ...]]) -> tuple[tuple[Device, ...], ...]:
    if len(steps) < 2:
        return tuple(steps)
    pairs = (steps[start : start + 2] for start in range(0, len(steps), 2))
    return tuple(tuple(device for step in pair for device in step) for pair in pairs)


def _num_mixes(steps: Sequence[Sequence[object]]) -> int:
    return math.prod(len(one) + 1 for one in steps)
