"""The map: hosts, their devices, what holds each, and how much of its memory is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from scheduling.changes.residency import DeploymentMemory
from vocabulary.deployment import Deployment
from vocabulary.placement import Group


@final
class Places:
    """Remembers what groups take, which is worked out once for each group and deployment."""

    def __init__(self) -> None:
        self._deployment: Deployment | None = None
        self._taken: dict[Group, Mapping[str, tuple[int, ...]] | None] = {}

    def of(self, deployment: Deployment, groups: Sequence[Group]) -> list[dict[str, Any]]:
        """One entry a host, in the order of the deployment.

        Of each device: usable_bytes, what models may take; planned_bytes, what its models take by their
        profiles, None where these do not say.
        """
        if deployment is not self._deployment:
            self._deployment, self._taken = deployment, {}
        self._taken = {group: self._of_group(deployment, group) for group in groups}
        held = {
            device: (group, place // group.config.tensor)
            for group in groups
            for place, device in enumerate(group.devices)
        }
        hosts: dict[str, list[dict[str, Any]]] = {}
        for device in deployment.cluster.devices:
            told = {
                "id": device.id,
                "type": device.device_type,
                "usable_bytes": deployment.cluster.usable_bytes(device),
                **self._holding(held.get(device.id)),
            }
            hosts.setdefault(device.host, []).append(told)
        return [{"name": host, "devices": devices} for host, devices in hosts.items()]

    def _of_group(self, deployment: Deployment, group: Group) -> Mapping[str, tuple[int, ...]] | None:
        if group in self._taken:
            return self._taken[group]
        return DeploymentMemory(lambda: deployment).taken(group)

    def _holding(self, held: tuple[Group, int] | None) -> dict[str, Any]:
        if held is None:
            return {"group": None, "stage": None, "planned_bytes": 0}
        group, stage = held
        taken = self._taken[group]
        planned = None if taken is None else sum(stages[stage] for stages in taken.values())
        return {"group": group.id, "stage": stage, "planned_bytes": planned}
