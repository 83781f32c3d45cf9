"""The cluster as planning sees it: classes of equal nodes, their devices, and the device ids of plans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from vocabulary.parallel import ParallelConfig


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator. Its id in files is `<node name>-<host index>:<device index>`."""

    node: str
    host_index: int
    device_index: int
    device_type: str
    memory_bytes: int

    @property
    def host(self) -> str:
        return f"{self.node}-{self.host_index}"

    @property
    def id(self) -> str:
        return f"{self.host}:{self.device_index}"


@dataclass(frozen=True, slots=True)
class NodeClass:
    """`count` equal hosts with `devices_per_host` equal devices each. `cost_per_hour` is of one host."""

    name: str
    count: int
    device_type: str
    devices_per_host: int
    memory_bytes: int
    cost_per_hour: float | None = None

    def devices(self) -> tuple[Device, ...]:
        return tuple(
            Device(self.name, host, index, self.device_type, self.memory_bytes)
            for host in range(self.count)
            for index in range(self.devices_per_host)
        )


@dataclass(frozen=True, slots=True)
class Links:
    """How fast activations get from one device to the next: between hosts, and inside one.

    Profiles have the transfers inside a host in their stage latencies, as they were measured there; only what
    a transfer between hosts takes longer is added. By default that is nothing.
    """

    inter_node_bytes_per_s: float = math.inf
    inter_node_latency_s: float = 0.0
    intra_node_bytes_per_s: float = math.inf
    intra_node_latency_s: float = 0.0

    def crossing_s(self, num_bytes: float) -> float:
        """What a message between two hosts takes longer than inside one."""
        between_s = self.inter_node_latency_s + num_bytes / self.inter_node_bytes_per_s
        inside_s = self.intra_node_latency_s + num_bytes / self.intra_node_bytes_per_s
        return max(0.0, between_s - inside_s)

    @property
    def is_uniform(self) -> bool:
        """Whether hosts make no difference to any message."""
        return (
            self.inter_node_latency_s <= self.intra_node_latency_s
            and self.inter_node_bytes_per_s >= self.intra_node_bytes_per_s
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """All devices, by node class, host and index.

    reserve: the fraction of memory kept out of plans. reserved: ids of devices that a search leaves free,
    ascending; a plan of someone's own may use them.
    """

    nodes: tuple[NodeClass, ...]
    reserve: float = 0.0
    reserved: tuple[str, ...] = ()
    links: Links = Links()

    def __post_init__(self) -> None:
        assert 0.0 <= self.reserve < 1.0, self.reserve

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(self.by_id().values())

    @property
    def num_devices(self) -> int:
        return sum(node.count * node.devices_per_host for node in self.nodes)

    @property
    def device_types(self) -> tuple[str, ...]:
        """Every type once, ascending; also of a node class that has no hosts at the moment."""
        return tuple(sorted({node.device_type for node in self.nodes}))

    def located(self, config: ParallelConfig, devices: Sequence[Device]) -> ParallelConfig:
        """The configuration of a group on these devices, all of one type, as its costs are looked up."""
        device_type = devices[0].device_type if len(self.device_types) > 1 else ""
        crossings: tuple[int, ...] = ()
        if not self.links.is_uniform:
            hosts = [devices[stage * config.tensor].host for stage in range(config.pipeline)]
            crossings = tuple(
                stage for stage in range(config.pipeline - 1) if hosts[stage] != hosts[stage + 1]
            )
        return replace(config, device_type=device_type, crossings=crossings)

    @property
    def free_devices(self) -> tuple[Device, ...]:
        """Devices that a search may use."""
        reserved = frozenset(self.reserved)
        return tuple(device for device in self.devices if device.id not in reserved)

    def by_id(self) -> Mapping[str, Device]:
        return _by_id(self.nodes)

    def usable_bytes(self, device: Device) -> int:
        """Memory of `device` that models may take."""
        return int(device.memory_bytes * (1.0 - self.reserve))


# Reconciliation asks at each step of every group; a cluster has thousands of devices.
@lru_cache(maxsize=16)
def _by_id(nodes: tuple[NodeClass, ...]) -> Mapping[str, Device]:
    return {device.id: device for node in nodes for device in node.devices()}
