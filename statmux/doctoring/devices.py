"""The devices of this machine, against what a deployment says of its hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from controller.discovery import FoundDevices, this_host
from statmux.doctoring.finding import Finding, Level

if TYPE_CHECKING:
    from vocabulary.deployment import Deployment
    from vocabulary.mesh import NodeClass

_TOPIC = "devices"
# Profiles and drivers round differently.
_MEMORY_TOLERANCE = 1.02


def device_findings(deployment: Deployment | None) -> Iterator[Finding]:
    """Of this machine; with a deployment that starts its own Ray, whether they are what it names."""
    found = this_host()
    yield here(found)
    if deployment is not None and deployment.ray_address == "local":
        for node in deployment.cluster.nodes:
            yield from against(node, found, is_emulated=_is_emulated(deployment))


def here(found: FoundDevices) -> Finding:
    kind = "virtual devices on processors" if found.is_virtual else found.type
    memory = f" of {found.memory_mib / 1024:.1f} GiB each" if found.memory_mib else ""
    words = f"{found.count} {kind}{memory} ({found.evidence})"
    if not found.memory_mib:
        return Finding(_TOPIC, Level.WARN, words, "write their memory into cluster.nodes yourself")
    return Finding(_TOPIC, Level.OK, words)


def against(node: NodeClass, found: FoundDevices, *, is_emulated: bool) -> Iterator[Finding]:
    """What of a node class this machine, which plays all hosts of a local Ray, does not have.

    Virtual devices may be as many as wanted; emulated models need none at all.
    """
    if is_emulated:
        return
    number = node.count * node.devices_per_host
    if node.device_type == "cpu":
        total_mib = number * node.memory_bytes / 2**20
        here_mib = found.memory_mib * found.count if found.is_virtual else 0
        if found.is_virtual and total_mib > 2 * here_mib:
            words = f"{node.name} has {total_mib / 1024:.1f} GiB on {number} devices, twice what is free here"
            yield Finding(
                _TOPIC, Level.WARN, words, "lower devices.memory, or models may not fit the machine"
            )
        return
    words = f"{node.name} has {number} {node.device_type}"
    if found.type != node.device_type:
        remedy = "run it where they are, name the Ray that has them in cluster.address, or emulate the models"
        yield Finding(_TOPIC, Level.BAD, f"{words}, this machine {found.count} {found.type}", remedy)
    elif number > found.count:
        remedy = "lower count, or name the Ray that has them in cluster.address"
        yield Finding(_TOPIC, Level.BAD, f"{words}, this machine {found.count}", remedy)
    elif found.memory_mib and node.memory_bytes > found.memory_mib * 2**20 * _MEMORY_TOLERANCE:
        told = f"{node.memory_bytes / 2**30:.1f} GiB each, these have {found.memory_mib / 1024:.1f}"
        yield Finding(_TOPIC, Level.BAD, f"{words} of {told}", "lower devices.memory, or plans will not fit")


def _is_emulated(deployment: Deployment) -> bool:
    return bool(deployment.models) and all(model.engine == "emulated" for model in deployment.models)
