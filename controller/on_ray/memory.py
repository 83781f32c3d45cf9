"""What a controller remembers of its Ray, as JSON: enough for another to find it again. No secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from controller.on_ray.nouns import HostNode

_VERSION = 1


@dataclass(frozen=True, slots=True)
class RayMemory:
    """address: of the Ray. folder: with the sockets. keeper_pid: of a Ray of our own, else 0.

    devices: how many each host of a Ray of our own has. groups: the names of their actors.
    """

    address: str
    namespace: str
    folder: str
    keeper_pid: int
    devices: Mapping[str, int]
    hosts: Mapping[str, HostNode]
    groups: Mapping[str, tuple[str, ...]]

    @property
    def is_local(self) -> bool:
        return self.keeper_pid > 0

    def to_json(self) -> dict[str, Any]:
        groups = {group: list(names) for group, names in self.groups.items()}
        return {"version": _VERSION, **asdict(self), "groups": groups}


def read_memory(document: object) -> RayMemory | None:
    """None for what no controller of this version has written."""
    if not isinstance(document, Mapping) or document.get("version") != _VERSION:
        return None
    try:
        return RayMemory(
            address=str(document["address"]),
            namespace=str(document["namespace"]),
            folder=str(document["folder"]),
            keeper_pid=int(document["keeper_pid"]),
            devices={str(host): int(number) for host, number in document["devices"].items()},
            hosts={str(host): HostNode(**one) for host, one in document["hosts"].items()},
            groups={str(group): tuple(names) for group, names in document["groups"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
