"""What the files about Ray speak of. No ray here: it takes a second to import, and its token comes first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vocabulary.placement import Group
from workers.engine import ModelInterface
from workers.multicast import Load
from workers.spec import Address

Progress = Callable[[str], None]
# Called with the id of the group that died, and why.
Lost = Callable[[str, str], None]
# Called with the ids of the devices whose nodes live, each time that they change.
DevicesChanged = Callable[[frozenset[str]], None]


@dataclass(frozen=True, slots=True)
class RayNode:
    """One living node, as Ray lists it. `address` is its IP address."""

    id: str
    address: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HostNode:
    """A host of the deployment on its node. Its devices are reserved as units of Ray's `resource`."""

    host: str
    node_id: str
    address: str
    resource: str


@dataclass(frozen=True, slots=True)
class Share:
    """What one host gives to a group: devices by their index there."""

    node: HostNode
    device_indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that each step of a start may take, for all groups together.

    resume_s: that a group has to answer a controller that comes back.
    """

    reserve_s: float = 30.0
    process_s: float = 120.0
    load_s: float = 900.0
    stop_s: float = 5.0
    resume_s: float = 5.0


@dataclass(frozen=True, slots=True)
class StartedGroup:
    """A group whose models are warm.

    Where its leader listens, what its models take and give, and how their weights came. group: as it runs,
    with the models that are resident.
    """

    group_id: str
    host: str
    node_id: str
    pid: int
    address: Address
    interfaces: Mapping[str, ModelInterface]
    group: Group
    loads: tuple[Load, ...] = ()
