"""What of a placement another deployment still knows: its devices, its models, their configurations."""

from __future__ import annotations

from dataclasses import replace

from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement


def still_known(placement: Placement, deployment: Deployment) -> Placement:
    """Groups on devices that are gone go, and models that are; groups that then hold nothing stay."""
    devices = deployment.cluster.by_id()
    groups = (
        known_group(group, deployment)
        for group in placement.groups
        if all(device in devices for device in group.devices)
    )
    return Placement(tuple(groups))


def known_group(group: Group, deployment: Deployment) -> Group:
    """With the configuration that its devices make of it, and the models that can be served so."""
    devices = deployment.cluster.by_id()
    catalog = deployment.catalog()
    config = deployment.cluster.located(group.config, [devices[device] for device in group.devices])
    models = tuple(
        model for model in group.models if model in catalog.profiles and catalog.supports(model, config)
    )
    return replace(group, config=config, models=models)
