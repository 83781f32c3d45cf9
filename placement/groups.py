"""Device groups: how a cluster's devices are cut into meshes, aligned inside hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from vocabulary.mesh import Cluster, Device
from vocabulary.parallel import ParallelConfig


@dataclass(frozen=True, slots=True)
class Mesh:
    """An empty group: devices in pipeline order, one configuration, and what each device can hold."""

    devices: tuple[str, ...]
    config: ParallelConfig
    usable_bytes: int
    num_hosts: int = 1
    # Where in the cluster: number of the first host, index of the first device on it.
    position: tuple[int, int] = (0, 0)

    @property
    def kind(self) -> tuple[ParallelConfig, int, int]:
        """Meshes of one kind are alike but for which devices they are."""
        return (self.config, self.usable_bytes, self.num_hosts)


Layout = tuple[Mesh, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A host with `size` devices of which some are free, ascending by index."""

    node: str
    number: int
    size: int
    usable_bytes: int
    free: tuple[Device, ...]
    # Empty in a cluster of one type.
    device_type: str = ""
    # Whether messages to other hosts take longer than inside.
    is_far: bool = False


# Devices of one group to be, and what each can hold.
_Block = tuple[Host, ...]


def hosts_of(cluster: Cluster) -> tuple[Host, ...]:
    """All hosts with all their devices free, but for those that the cluster reserves."""
    hosts: dict[str, list[Device]] = {}
    for device in cluster.devices:
        hosts.setdefault(device.host, []).append(device)
    has_types, is_far = len(cluster.device_types) > 1, not cluster.links.is_uniform
    every = tuple(
        Host(
            devices[0].node,
            number,
            len(devices),
            min(map(cluster.usable_bytes, devices)),
            tuple(devices),
            devices[0].device_type if has_types else "",
            is_far,
        )
        for number, devices in enumerate(hosts.values())
    )
    return without(every, cluster.reserved) if cluster.reserved else every


def part_of(hosts: Sequence[Host], first: int, end: int) -> tuple[Host, ...]:
    """The same hosts with only free devices number first .. end - 1 left free."""
    parts: list[Host] = []
    number = 0
    for host in hosts:
        kept = tuple(device for n, device in enumerate(host.free, start=number) if first <= n < end)
        number += len(host.free)
        if kept:
            parts.append(replace(host, free=kept))
    return tuple(parts)


def num_free(hosts: Sequence[Host]) -> int:
    return sum(len(host.free) for host in hosts)


def carve(hosts: Sequence[Host], config: ParallelConfig) -> Layout:
    """As many equal groups as there is room for, then what is left over in powers of two as pipelines.

    A group up to the size of a host lies inside one, aligned to its size; a larger one takes whole hosts of
    one node class. Left-over groups come smallest first, as in AlpaServe's artifact. A configuration with a
    device type takes hosts of that type only; one without takes all, and each mesh has the type of its hosts.
    """
    hosts = _of_type(hosts, config)
    layout = equal_meshes(hosts, config)
    left = without(hosts, [device for mesh in layout for device in mesh.devices])
    rest: list[Mesh] = []
    for size in _powers_of_two_below(config.num_devices):
        blocks, left = _take(left, size)
        rest += [_mesh(block, ParallelConfig(1, size)) for block in blocks]
    return (*layout, *reversed(rest)) if layout else ()


def equal_meshes(hosts: Sequence[Host], config: ParallelConfig) -> Layout:
    """As many groups of one configuration as there is room for; tensor parallelism stays inside hosts."""
    blocks, _ = _take(_of_type(hosts, config), config.num_devices)
    return tuple(_mesh(block, config) for block in blocks if _stages_stay_inside(block, config))


def without(hosts: Sequence[Host], devices: Collection[str]) -> tuple[Host, ...]:
    """The same hosts with these devices taken."""
    gone = frozenset(devices)
    left = (replace(host, free=tuple(d for d in host.free if d.id not in gone)) for host in hosts)
    return tuple(host for host in left if host.free)


def _take(hosts: Sequence[Host], size: int) -> tuple[list[_Block], tuple[Host, ...]]:
    """Blocks of `size` free devices, and the hosts with what is left free."""
    blocks: list[_Block] = []
    left: list[Host] = []
    whole: list[Host] = []
    for host in hosts:
        if size <= host.size:
            taken = _aligned(host, size)
            blocks += [(replace(host, free=devices),) for devices in taken]
            left += without((host,), [device.id for devices in taken for device in devices])
            continue
        is_whole = len(host.free) == host.size and size % host.size == 0
        same_class = not whole or whole[0].node == host.node
        if not is_whole or not same_class:
            left += whole
            whole = []
        if not is_whole:
            left.append(host)
            continue
        whole.append(host)
        if len(whole) * host.size == size:
            blocks.append(tuple(whole))
            whole = []
    return blocks, (*left, *whole)


def _aligned(host: Host, size: int) -> list[tuple[Device, ...]]:
    by_index = {device.device_index: device for device in host.free}
    starts = range(0, host.size - size + 1, size)
    runs = (tuple(by_index.get(index) for index in range(start, start + size)) for start in starts)
    return [tuple(d for d in run if d is not None) for run in runs if None not in run]


def _mesh(block: _Block, config: ParallelConfig) -> Mesh:
    devices = tuple(device.id for host in block for device in host.free)
    position = (block[0].number, block[0].free[0].device_index)
    return Mesh(
        devices, _located(block, config), min(host.usable_bytes for host in block), len(block), position
    )


def _located(block: _Block, config: ParallelConfig) -> ParallelConfig:
    """With the device type of the block and the stages after which it goes on to another host."""
    first = block[0]
    crossings: tuple[int, ...] = ()
    if first.is_far and len(block) > 1:
        hosts = [host.number for host in block for _ in host.free][:: config.tensor]
        crossings = tuple(stage for stage in range(len(hosts) - 1) if hosts[stage] != hosts[stage + 1])
    return replace(config, device_type=first.device_type, crossings=crossings)


def _of_type(hosts: Sequence[Host], config: ParallelConfig) -> Sequence[Host]:
    if not config.device_type:
        return hosts
    return tuple(host for host in hosts if host.device_type == config.device_type)


def _stages_stay_inside(block: _Block, config: ParallelConfig) -> bool:
    """Tensor parallelism never crosses hosts."""
    return len(block) == 1 or block[0].size % config.tensor == 0


def _powers_of_two_below(limit: int) -> Iterator[int]:
    size = 1 << max(0, limit - 1).bit_length() - 1 if limit > 1 else 0
    while size:
        yield size
        size //= 2
