"""PlacementPlan YAML <-> Plan."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from vocabulary.deployment import Deployment
from vocabulary.formats.document import Document, KeyPath, did_you_mean
from vocabulary.formats.shapes import Count, Name, Shape, check
from vocabulary.formats.yaml_out import format_yaml
from vocabulary.formats.yaml_text import read_yaml_or_json
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.plan import Plan


class GroupShape(Shape):
    """One device mesh: stage s holds devices[s * tensor : (s + 1) * tensor]."""

    id: Name
    devices: tuple[str, ...]
    tensor: Count = 1
    pipeline: Count = 1
    models: tuple[str, ...] = ()


class PlanShape(Shape):
    """Which models sit on which device groups, and what the search said about it."""

    kind_name: ClassVar[str] = "plan"

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["PlacementPlan"] = "PlacementPlan"
    metadata: dict[str, Any] | None = None
    groups: tuple[GroupShape, ...]
    predicted: dict[str, Any] | None = None
    search: dict[str, Any] | None = None
    binding_constraints: tuple[Any, ...] | None = None
    inputs: dict[str, Any] | None = None


def parse_plan(text: str, *, name: str, deployment: Deployment | None = None) -> Plan:
    """With a deployment, models, devices and configurations must be known to it (memory: `check_fit`).

    Raises InvalidInput with line, key path, cause and hint.
    """
    document = read_yaml_or_json(text, name=name)
    shape = check(PlanShape, document)
    _check_groups(shape, document)
    configs = [ParallelConfig(group.tensor, group.pipeline) for group in shape.groups]
    if deployment is not None:
        configs = _located(shape, document, deployment)
        _check_models(shape, configs, document, deployment)
    groups = (
        Group(group.id, group.devices, config, group.models)
        for group, config in zip(shape.groups, configs, strict=True)
    )
    return Plan(
        placement=Placement(tuple(groups)),
        metadata=shape.metadata or {},
        predicted=shape.predicted or {},
        search=shape.search or {},
        binding_constraints=shape.binding_constraints or (),
        inputs=shape.inputs or {},
    )


def format_plan(plan: Plan) -> str:
    """YAML; reading it gives the plan back. Empty sections are left out."""
    sections: dict[str, object] = {
        "metadata": dict(plan.metadata),
        "groups": [_group_mapping(group) for group in plan.placement.groups],
        "predicted": dict(plan.predicted),
        "search": dict(plan.search),
        "binding_constraints": list(plan.binding_constraints),
        "inputs": dict(plan.inputs),
    }
    header: dict[str, object] = {"api_version": "v1alpha1", "kind": "PlacementPlan"}
    return format_yaml(header | {key: value for key, value in sections.items() if value or key == "groups"})


def _group_mapping(group: Group) -> dict[str, object]:
    return {
        "id": group.id,
        "devices": list(group.devices),
        "tensor": group.config.tensor,
        "pipeline": group.config.pipeline,
        "models": list(group.models),
    }


def _check_groups(shape: PlanShape, document: Document) -> None:
    ids: set[str] = set()
    device_groups: dict[str, str] = {}
    for index, group in enumerate(shape.groups):
        path: KeyPath = ("groups", index)
        if group.id in ids:
            raise document.error(
                (*path, "id"), f"id {group.id!r} is taken", hint="give every group its own id"
            )
        ids.add(group.id)
        _check_size(group, document, path)
        for number, device in enumerate(group.devices):
            if device in device_groups:
                message = f"device {device} is in group {device_groups[device]} already"
                raise document.error(
                    (*path, "devices", number), message, hint="groups must not share devices"
                )
            device_groups[device] = group.id
        for number, model in enumerate(group.models):
            if model in group.models[:number]:
                message = f"model {model} is listed twice in group {group.id}"
                hint = "a group holds one replica of a model; use another group for a second"
                raise document.error((*path, "models", number), message, hint=hint)


def _check_size(group: GroupShape, document: Document, path: KeyPath) -> None:
    wanted = group.tensor * group.pipeline
    if len(group.devices) != wanted:
        message = (
            f"group {group.id} has {len(group.devices)} devices, but tensor {group.tensor} x pipeline "
            f"{group.pipeline} needs {wanted}"
        )
        raise document.error(
            (*path, "devices"), message, hint="list tensor x pipeline devices, stage by stage"
        )


def _located(shape: PlanShape, document: Document, deployment: Deployment) -> list[ParallelConfig]:
    """The configuration of every group where it is: its device type, and which stages cross hosts."""
    devices = deployment.cluster.by_id()
    configs: list[ParallelConfig] = []
    for index, group in enumerate(shape.groups):
        path: KeyPath = ("groups", index, "devices")
        for number, device in enumerate(group.devices):
            if device not in devices:
                message = f"the cluster of {deployment.name} has no device {device}"
                raise document.error((*path, number), message, hint=did_you_mean(device, tuple(devices)))
        mine = [devices[device] for device in group.devices]
        types = sorted({device.device_type for device in mine})
        if len(types) > 1:
            message = f"group {group.id} has devices of {len(types)} types ({', '.join(types)})"
            raise document.error(path, message, hint="a group runs on equal devices: make one of each type")
        configs.append(deployment.cluster.located(ParallelConfig(group.tensor, group.pipeline), mine))
    return configs


def _check_models(
    shape: PlanShape, configs: list[ParallelConfig], document: Document, deployment: Deployment
) -> None:
    models = {model.name: model for model in deployment.models}
    for index, (group, config) in enumerate(zip(shape.groups, configs, strict=True)):
        for number, name in enumerate(group.models):
            where: KeyPath = ("groups", index, "models", number)
            if name not in models:
                message = f"{deployment.name} has no model {name}"
                raise document.error(where, message, hint=did_you_mean(name, tuple(models)))
            profile = models[name].profile
            if profile is not None and not profile.supports(config):
                known = ", ".join(str(known) for known in sorted(profile.entries))
                message = f"the profile of {name} has no {config}"
                raise document.error(where, message, hint=f"profile it, or choose among {known}")
