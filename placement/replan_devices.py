"""Which devices the groups of a new placement take, so that most weights lie there already.

Equal hosts may be exchanged, and so may equal blocks of devices: two assignment problems, one after the
other (Kuhn 1955, by scipy). What a placement does for its requests is the same on any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from placement.constraints import Constraints
from vocabulary.deployment import Deployment
from vocabulary.mesh import Cluster, Device
from vocabulary.placement import Group, Placement

# A byte between devices of one host, as a share of one between hosts: links inside are so much quicker.
INSIDE_HOST = 0.1

Block = tuple[str, ...]
Hosts = tuple[str, ...]


def with_fewest_moves(current: Placement, proposed: Placement, *, deployment: Deployment) -> Placement:
    """The proposed groups, in their order, on the equal devices where fewest bytes have to be brought.

    A group on the devices and with the configuration of a current one has its id; others have new ids. Where
    rules of the deployment name devices that would be exchanged, all stays as proposed.
    """
    bill = _Bill(current, deployment)
    groups = _on_equal_hosts(proposed.groups, current, deployment.cluster, bill)
    groups = _on_equal_blocks(groups, current, deployment.cluster, bill)
    moved = Placement(tuple(named_as(groups, current)))
    rules = Constraints(deployment)
    if bill.of(groups) < bill.of(proposed.groups) and not rules.violations(moved):
        return moved
    return Placement(tuple(named_as(proposed.groups, current)))


class _Bill:
    """Bytes that groups have to be brought, from what lies where now."""

    def __init__(self, current: Placement, deployment: Deployment) -> None:
        self._catalog = deployment.catalog()
        self._devices = deployment.cluster.by_id()
        self._held = {(group.devices, group.config): frozenset(group.models) for group in current.groups}
        self._on_hosts: dict[str, set[str]] = {}
        for group in current.groups:
            for host in self._hosts(group.devices):
                self._on_hosts.setdefault(host, set()).update(group.models)

    def of(self, groups: Sequence[Group]) -> float:
        return sum(self.of_group(group) for group in groups)

    def of_group(self, group: Group) -> float:
        """Its weights, less those of replicas that stay; cheap where all its hosts have the model anyway."""
        held = self._held.get((group.devices, group.config), frozenset())
        hosts = self._hosts(group.devices)
        return sum(
            self._num_bytes(model, group)
            * (INSIDE_HOST if all(model in self._on_hosts.get(host, ()) for host in hosts) else 1.0)
            for model in group.models
            if model not in held
        )

    def _num_bytes(self, model: str, group: Group) -> int:
        return sum(self._catalog.entry(model, group.config).weight_bytes) * group.config.tensor

    def _hosts(self, devices: Block) -> set[str]:
        return {self._devices[device].host for device in devices}


def _on_equal_hosts(
    groups: tuple[Group, ...], current: Placement, cluster: Cluster, bill: _Bill
) -> tuple[Group, ...]:
    """Sets of hosts that groups tie together go to equal hosts elsewhere; the largest choose first."""
    devices = cluster.by_id()
    on_host: dict[str, list[Device]] = {}
    for device in devices.values():
        on_host.setdefault(device.host, []).append(device)
    kind_of = {host: _kind_of_host(each, cluster) for host, each in on_host.items()}
    now = _host_sets(current.groups, devices, tuple(on_host))
    renamed: dict[str, str] = {}
    free = dict.fromkeys(on_host)
    for kind, alike in _by_kind(_host_sets(groups, devices, tuple(on_host)), kind_of).items():
        places = _places(kind, [*now, *alike], free, kind_of)
        maps = [[_renaming(one, place, on_host) for place in places] for one in alike]
        cost = [
            [bill.of(_moved(groups, one, each, devices)) for each in row]
            for one, row in zip(alike, maps, strict=True)
        ]
        for row, column in zip(*linear_sum_assignment(np.array(cost)), strict=True):
            renamed |= maps[int(row)][int(column)]
            for host in places[int(column)]:
                del free[host]
    return tuple(replace(group, devices=tuple(renamed[one] for one in group.devices)) for group in groups)


def _by_kind(
    sets: Sequence[Hosts], kind_of: Mapping[str, Hashable]
) -> Mapping[tuple[Hashable, ...], list[Hosts]]:
    """Sets of as many hosts of the same kinds, the largest first."""
    found: dict[tuple[Hashable, ...], list[Hosts]] = {}
    for hosts in sorted(sets, key=lambda one: -len(one)):
        found.setdefault(tuple(kind_of[host] for host in hosts), []).append(hosts)
    return found


def _places(
    kind: tuple[Hashable, ...],
    liked: Sequence[Hosts],
    free: Collection[str],
    kind_of: Mapping[str, Hashable],
) -> list[Hosts]:
    """Disjoint sets of free hosts of these kinds: those that are liked, then what the rest makes."""
    left = list(free)
    places: list[Hosts] = []

    def take(hosts: Hosts) -> None:
        places.append(hosts)
        for host in hosts:
            left.remove(host)

    for hosts in liked:
        if tuple(kind_of[host] for host in hosts) == kind and set(hosts) <= set(left):
            take(hosts)
    while True:
        rest = list(left)
        found: list[str] = []
        for wanted in kind:
            host = next((one for one in rest if kind_of[one] == wanted), None)
            if host is None:
                return places
            rest.remove(host)
            found.append(host)
        take(tuple(found))


def _kind_of_host(devices: Sequence[Device], cluster: Cluster) -> Hashable:
    """Its class, and which of its devices are reserved."""
    return devices[0].node, tuple(device.id in cluster.reserved for device in devices)


def _host_sets(
    groups: tuple[Group, ...], devices: Mapping[str, Device], hosts: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Hosts joined by groups that cross from one to another, in the cluster's order."""
    joined = {host: {host} for host in hosts}
    for group in groups:
        together = {host for device in group.devices for host in joined[devices[device].host]}
        for host in together:
            joined[host] = together
    order = {host: number for number, host in enumerate(hosts)}
    return sorted(
        {tuple(sorted(one, key=order.__getitem__)) for one in joined.values()}, key=lambda s: order[s[0]]
    )


def _renaming(
    from_hosts: tuple[str, ...], to_hosts: tuple[str, ...], on_host: Mapping[str, Sequence[Device]]
) -> dict[str, str]:
    """Device for device."""
    return {
        one.id: other.id
        for from_host, to_host in zip(from_hosts, to_hosts, strict=True)
        for one, other in zip(on_host[from_host], on_host[to_host], strict=True)
    }


def _moved(
    groups: tuple[Group, ...],
    hosts: tuple[str, ...],
    renaming: Mapping[str, str],
    devices: Mapping[str, Device],
) -> list[Group]:
    """The groups on some hosts, elsewhere."""
    return [
        replace(group, devices=tuple(renaming[device] for device in group.devices))
        for group in groups
        if devices[group.devices[0]].host in hosts
    ]


def _on_equal_blocks(
    groups: tuple[Group, ...], current: Placement, cluster: Cluster, bill: _Bill
) -> tuple[Group, ...]:
    """Groups change places with others as large, or with current groups whose devices are left free."""
    devices = cluster.by_id()
    taken = {device for group in groups for device in group.devices}
    kinds: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        kinds.setdefault(_kind(group.devices, devices), []).append(number)
    chosen = list(groups)
    for kind, numbers in kinds.items():
        blocks = [groups[number].devices for number in numbers]
        blocks += [
            group.devices
            for group in current.groups
            if taken.isdisjoint(group.devices)
            and _kind(group.devices, devices) == kind
            and not set(group.devices) & set(cluster.reserved)
        ]
        cost = np.array(
            [[bill.of_group(replace(groups[n], devices=block)) for block in blocks] for n in numbers]
        )
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            number = numbers[int(row)]
            chosen[number] = replace(groups[number], devices=blocks[int(column)])
    return tuple(chosen)


def _kind(block: Block, devices: Mapping[str, Device]) -> Hashable:
    """Blocks of one kind take the same groups: hosts change where they do, and are of the same classes."""
    order: dict[str, int] = {}
    return tuple(
        (devices[device].node, order.setdefault(devices[device].host, len(order))) for device in block
    )


def named_as(groups: Sequence[Group], current: Placement) -> Iterator[Group]:
    """Ids of the current groups where they stay, of nobody elsewhere."""
    ids = {(group.devices, group.config): group.id for group in current.groups}
    free = (f"g{number}" for number in range(len(ids) + len(groups)) if f"g{number}" not in ids.values())
    for group in groups:
        yield replace(group, id=ids.get((group.devices, group.config)) or next(free))
