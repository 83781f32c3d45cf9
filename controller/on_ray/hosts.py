"""Which node of Ray's is which host of the deployment. Pure: nodes come in as they are listed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from controller.on_ray.nouns import HostNode, RayNode
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.placement import Group

# Counts the devices of a node that Ray does not know as GPUs: virtual and emulated ones.
DEVICE_RESOURCE = "statmux_device"
# A node with this label is the host of that name, whatever the order of nodes.
HOST_LABEL = "statmux-host"
_NONE: Mapping[str, HostNode] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Demand:
    host: str
    num_devices: int
    accelerator: str  # what Ray calls it; empty where devices are virtual


def match_hosts(
    deployment: Deployment, nodes: Sequence[RayNode], *, known: Mapping[str, HostNode] = _NONE
) -> Mapping[str, HostNode]:
    """One node for every host; the same nodes give the same answer. Raises Infeasible with the numbers.

    A host keeps its `known` node while that lives. A labelled node is taken for its host; the others go,
    smallest that suffices first, to the largest need.
    """
    found = present_hosts(deployment, nodes, known=known)
    for demand in _demands(deployment):
        if demand.host not in found:
            raise _too_small(demand, nodes)
    return found


def present_hosts(
    deployment: Deployment, nodes: Sequence[RayNode], *, known: Mapping[str, HostNode] = _NONE
) -> Mapping[str, HostNode]:
    """As `match_hosts`, of the hosts that there are nodes for at the moment."""
    alive = {node.id: node for node in nodes}
    found = {host: one for host, one in known.items() if one.node_id in alive}
    taken = {one.node_id for one in found.values()}
    free = sorted(
        (node for node in nodes if node.id not in taken),
        key=lambda node: (_address_order(node.address), node.id),
    )
    demands = sorted(_demands(deployment), key=lambda demand: -demand.num_devices)
    for demand in sorted(demands, key=lambda each: _labelled(each.host, free) is None):
        if demand.host in found:
            continue
        node = _labelled(demand.host, free) or _smallest_sufficient(demand, free)
        if node is not None and _offer(node, demand)[1] >= demand.num_devices:
            free.remove(node)
            found[demand.host] = HostNode(demand.host, node.id, node.address, _offer(node, demand)[0])
    return found


def devices_on(hosts: Collection[str], cluster: Cluster) -> frozenset[str]:
    """Ids of the devices of these hosts."""
    return frozenset(device.id for device in cluster.devices if device.host in hosts)


def device_indices(group: Group, cluster: Cluster) -> Mapping[str, tuple[int, ...]]:
    """The group's devices by host, hosts in the order of its stages. Raises InvalidInput for unknown ids."""
    by_id = cluster.by_id()
    hosts: dict[str, tuple[int, ...]] = {}
    for device_id in group.devices:
        if device_id not in by_id:
            raise InvalidInput(
                f"group {group.id} uses device {device_id}, which the deployment does not have",
                hint="plan again for this deployment, or fix `cluster.nodes`",
            )
        device = by_id[device_id]
        hosts[device.host] = (*hosts.get(device.host, ()), device.device_index)
    return hosts


def local_devices(deployment: Deployment) -> Mapping[str, int]:
    """Devices by host when this machine plays all hosts. Raises InvalidInput where it cannot."""
    nodes = deployment.cluster.nodes
    physical = [node for node in nodes if not is_virtual(deployment, node)]
    num_physical = sum(node.count for node in physical)
    if num_physical > 1:
        raise InvalidInput(
            f"`local` is this one machine, the deployment has {num_physical} hosts "
            f"with {physical[0].device_type} devices",
            where="cluster.address",
            hint="give the address of a Ray cluster, or serve with `--engine emulated`",
        )
    return {f"{node.name}-{index}": node.devices_per_host for node in nodes for index in range(node.count)}


def is_virtual(deployment: Deployment, node: NodeClass) -> bool:
    """No accelerator stands behind the class's devices: CPU devices, or a fleet that only emulates."""
    is_emulated = all(model.engine == "emulated" for model in deployment.models)
    return is_emulated or "cpu" in node.device_type.lower()


def _demands(deployment: Deployment) -> list[_Demand]:
    return [
        _Demand(f"{node.name}-{index}", node.devices_per_host, _accelerator(deployment, node))
        for node in deployment.cluster.nodes
        for index in range(node.count)
    ]


def _accelerator(deployment: Deployment, node: NodeClass) -> str:
    if is_virtual(deployment, node):
        return ""
    return "TPU" if node.device_type.lower().startswith("tpu") else "GPU"


def _labelled(host: str, nodes: Sequence[RayNode]) -> RayNode | None:
    return next((node for node in nodes if node.labels.get(HOST_LABEL) == host), None)


def _smallest_sufficient(demand: _Demand, nodes: Sequence[RayNode]) -> RayNode | None:
    sufficient = [
        node
        for node in nodes
        if HOST_LABEL not in node.labels and _offer(node, demand)[1] >= demand.num_devices
    ]
    return min(sufficient, key=lambda node: _offer(node, demand)[1], default=None)


def _offer(node: RayNode, demand: _Demand) -> tuple[str, int]:
    """Which resource of the node counts devices for this host, and how many there are."""
    if demand.accelerator and DEVICE_RESOURCE not in node.resources:
        return demand.accelerator, int(node.resources.get(demand.accelerator, 0))
    resource = DEVICE_RESOURCE if DEVICE_RESOURCE in node.resources else "CPU"
    return resource, int(node.resources.get(resource, 0))


def _too_small(demand: _Demand, nodes: Sequence[RayNode]) -> Infeasible:
    kind = demand.accelerator or DEVICE_RESOURCE
    offers = ", ".join(
        f"{node.address} {count} {name}" for node in nodes for name, count in [_offer(node, demand)]
    )
    return Infeasible(
        f"host {demand.host} needs a node with {demand.num_devices} devices ({kind}), none is free: "
        f"Ray's {len(nodes)} living nodes offer {offers or 'nothing'}",
        hint="each host takes a whole node: add nodes, or lower the counts in cluster.nodes; "
        f"virtual devices are counted with `ray start --resources='{{\"{DEVICE_RESOURCE}\": N}}'`",
    )


def _address_order(address: str) -> tuple[int, ...]:
    """10.0.0.9 before 10.0.0.10; what is no IPv4 address comes last."""
    parts = address.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (256,)
