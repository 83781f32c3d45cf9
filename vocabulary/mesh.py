"""The cluster as planning sees it: classes of equal nodes, their devices, and the device ids of plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
class Cluster:
    """All devices, by node class, host and index.

    reserve: the fraction of memory kept out of plans. reserved: ids of devices that a search leaves free,
    ascending; a plan of someone's own may use them.
    """

    nodes: tuple[NodeClass, ...]
    reserve: float = 0.0
    reserved: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert 0.0 <= self.reserve < 1.0, self.reserve

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(device for node in self.nodes for device in node.devices())

    @property
    def num_devices(self) -> int:
        return sum(node.count * node.devices_per_host for node in self.nodes)

    @property
    def free_devices(self) -> tuple[Device, ...]:
        """Devices that a search may use."""
        reserved = frozenset(self.reserved)
        return tuple(device for device in self.devices if device.id not in reserved)

    def by_id(self) -> Mapping[str, Device]:
        return {device.id: device for device in self.devices}

    def usable_bytes(self, device: Device) -> int:
        """Memory of `device` that models may take."""
        return int(device.memory_bytes * (1.0 - self.reserve))
