"""What is to move: tensors on a mesh of devices, to one or several other meshes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resharding.boxes import Box, box_of
from vocabulary.errors import InvalidInput
from vocabulary.sharding import Sharding

# (host, index of the device on its host): two meshes that name the same one mean the same device.
Device = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placed:
    """A sharding on real devices: `devices[i]` is the device at index i of the sharding's mesh.

    Raises InvalidInput for too many or few of them, and for one that is named twice.
    """

    sharding: Sharding
    devices: tuple[Device, ...]

    def __post_init__(self) -> None:
        wanted, given = self.sharding.num_devices, len(self.devices)
        if given != wanted:
            sizes = " x ".join(str(size) for _, size in self.sharding.axes)
            hint = f"name {wanted} devices, or change the mesh"
            raise InvalidInput(f"a mesh of {sizes} on {given} devices", hint=hint)
        _check_apart(self.devices, "a mesh")

    def __hash__(self) -> int:
        """Of a part: devices are many, and tensors of a model that differ in nothing else are few."""
        return hash((self.devices[0], len(self.devices), self.sharding.dims))

    def boxes(self, shape: tuple[int, ...]) -> Mapping[Device, Box]:
        """The tile of every device; tiles past the end of a ragged dimension are empty."""
        index_map = self.sharding.index_map(shape)
        return {device: box_of(index_map[index], shape) for index, device in enumerate(self.devices)}


@dataclass(frozen=True, slots=True)
class Move:
    """One tensor, where it lies and everywhere it must lie; the sources keep theirs.

    replicas: others that hold the whole tensor too, each in its own layout, on devices of their own.
    """

    shape: tuple[int, ...]
    item_bytes: int
    source: Placed
    targets: tuple[Placed, ...]
    replicas: tuple[Placed, ...] = ()

    @property
    def sources(self) -> tuple[Placed, ...]:
        """All that hold it."""
        return (self.source, *self.replicas)

    def held_boxes(self) -> Mapping[Device, Box]:
        """The tile of every device that holds one."""
        found = [(device, box) for one in self.sources for device, box in one.boxes(self.shape).items()]
        _check_apart([device for device, _ in found], f"{len(self.sources)} sources")
        return dict(found)


def _check_apart(devices: Sequence[Device], what: str) -> None:
    twice = [device for device, number in Counter(devices).items() if number > 1]
    if twice:
        host, index = twice[0]
        message = (
            f"{len(twice)} of {len(devices)} devices of {what} are named twice: device {index} of host {host}"
        )
        raise InvalidInput(message, hint="a device holds one tile: name each once")


def on_hosts(hosts: tuple[int, ...], devices_per_host: int) -> tuple[Device, ...]:
    """All devices of some hosts, host by host: the order of a (hosts, devices) mesh."""
    return tuple((host, index) for host in hosts for index in range(devices_per_host))
