"""A plan to come from: made earlier, perhaps for other devices or models than there are now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from placement.still_known import known_group
from statmux.reporting.words import listed
from vocabulary.deployment import Deployment
from vocabulary.formats.disk import load_plan
from vocabulary.placement import Group, Placement


@dataclass(frozen=True, slots=True)
class OldPlan:
    """What of it the deployment still knows; remarks say what it does not."""

    path: Path
    placement: Placement
    remarks: tuple[str, ...]


def load_old(path: Path, deployment: Deployment) -> OldPlan:
    """Groups on devices that are gone count as gone, and so do models that are. Raises InvalidInput."""
    placement = load_plan(path).placement
    devices = deployment.cluster.by_id()
    there = [group for group in placement.groups if all(device in devices for device in group.devices)]
    lost = [group.id for group in placement.groups if group not in there]
    known = [known_group(group, deployment) for group in there]
    unknown = sorted({m for old, new in zip(there, known, strict=True) for m in old.models} - _models(known))
    remarks = []
    if lost:
        remarks.append(f"{path}: {listed(lost)} on devices that are not in the cluster count as gone")
    if unknown:
        remarks.append(f"{path}: {listed(unknown)} unknown to the deployment or its profiles count as gone")
    return OldPlan(path, Placement(tuple(known)), tuple(remarks))


def _models(groups: list[Group]) -> set[str]:
    return {model for group in groups for model in group.models}
