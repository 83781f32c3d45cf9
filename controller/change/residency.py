"""Placements with one model more or less, for people who load and unload models by name. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.fit import activation_batch_size, stage_bytes
from vocabulary.placement import Group, Placement
from vocabulary.units import format_bytes


def without_model(placement: Placement, model: str) -> Placement:
    """Its groups stay, with what else they hold."""
    return Placement(tuple(_without(group, model) for group in placement.groups))


def with_model(
    placement: Placement, model: str, *, deployment: Deployment, before: Placement, devices: Collection[str]
) -> Placement:
    """A replica where `before` had them, if there is room yet, else on the group with most room.

    devices: those that are there. Raises InvalidInput for a model that the deployment does not have,
    Infeasible with the bytes where no group has room.
    """
    if model not in deployment.model_names:
        raise InvalidInput(
            f"the deployment has no model {model!r}", hint=f"it has {', '.join(deployment.model_names)}"
        )
    if placement.holders(model):
        return placement
    spec = deployment.model(model)
    had = {group.id for group in before.groups if model in group.models}
    rooms = {
        group.id: room
        for group in placement.groups
        if set(group.devices) <= set(devices) and (room := _room_bytes(group, spec, deployment)) is not None
    }
    fitting = [group_id for group_id, room in rooms.items() if room >= 0]
    chosen = [group_id for group_id in fitting if group_id in had]
    if not chosen and fitting:
        chosen = [max(fitting, key=lambda group_id: rooms[group_id])]
    if not chosen:
        raise _no_room(model, rooms)
    return Placement(
        tuple(
            replace(group, models=(*group.models, model)) if group.id in chosen else group
            for group in placement.groups
        )
    )


def serving(deployment: Deployment, unloaded: Collection[str]) -> Deployment:
    """The deployment as plans are made for it: without what was unloaded. Raises Infeasible for nothing."""
    models = tuple(model for model in deployment.models if model.name not in unloaded)
    if not models:
        raise Infeasible(
            "every model of the fleet was unloaded", hint="`statmux models load` brings one back"
        )
    return replace(deployment, models=models)


def _without(group: Group, model: str) -> Group:
    return replace(group, models=tuple(name for name in group.models if name != model))


def _room_bytes(group: Group, spec: ModelSpec, deployment: Deployment) -> int | None:
    """What is free on the tightest device with the model, negative if it is not; None where it cannot run."""
    catalog = deployment.catalog()
    engines = {deployment.model(name).engine for name in group.models}
    if spec.profile is None or not catalog.supports(spec.name, group.config) or engines - {spec.engine}:
        return None
    by_id = deployment.cluster.by_id()
    taken = stage_bytes(
        group.config,
        (*group.models, spec.name),
        catalog=catalog,
        activation_batch_size=activation_batch_size(deployment),
    )
    return min(
        deployment.cluster.usable_bytes(by_id[device]) - num_bytes
        for stage, num_bytes in enumerate(taken)
        for device in group.stage_devices(stage)
    )


def _no_room(model: str, rooms: dict[str, int]) -> Infeasible:
    if not rooms:
        return Infeasible(
            f"no group can run model {model}: none has a configuration of its profile, and its engine",
            hint="plan again with it: `statmux apply`",
        )
    best = max(rooms, key=lambda group_id: rooms[group_id])
    return Infeasible(
        f"no group has room for model {model}: group {best}, with the most, lacks "
        f"{format_bytes(-rooms[best])} a device",
        hint="unload another model, or plan again: `statmux apply`",
    )
