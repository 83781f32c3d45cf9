"""A plan as a picture: what `--plot` draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statmux.render import marked, percent
from statmux.reporting.placement_picture import Column, Picture, Stage
from statmux.reporting.words import listed
from vocabulary.deployment import Deployment
from vocabulary.placement import Group, Placement


def picture_of(placement: Placement, deployment: Deployment, document: Mapping[str, Any]) -> Picture:
    """document: of `statmux plan`, for what the plan attains and how busy groups are."""
    rows = {one["id"]: one for one in document["groups"]}
    columns = tuple(_column(group, deployment, rows[group.id]) for group in placement.groups)
    test = document["slo_attainment_test"]
    words = f"SLO attainment {_share(document['slo_attainment'], document)}"
    words += "" if test is None else f", on other traffic {_share(test, document)}"
    num_free = len(deployment.cluster.free_devices) - sum(len(group.devices) for group in placement.groups)
    replicas = _counted(placement.num_replicas, "replica")
    of_models = _counted(len(placement.models), "model")
    counted = f"{_counted(len(placement.groups), 'group')}, {replicas} of {of_models}"
    lines = (
        f"{words}; {counted}",
        "Rows are stages; the bar is the memory of a device, its colours are the models on it.",
    )
    remarks = []
    if document["not_placed"]:
        remarks.append(f"Without a place: {listed(list(document['not_placed']))}")
    if num_free:
        remarks.append("1 device is free" if num_free == 1 else f"{num_free} devices are free")
    return Picture(f"{document['deployment']} by {document['algorithm']}", lines, columns, tuple(remarks))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _share(value: float, document: Mapping[str, Any]) -> str | None:
    return marked(percent(value), is_estimated=document["estimated"])


def _column(group: Group, deployment: Deployment, row: Mapping[str, Any]) -> Column:
    numbers = {name: number for number, name in enumerate(deployment.model_names)}
    catalog = deployment.catalog()
    weights = [catalog.entry(model, group.config).weight_bytes for model in group.models]
    stages = []
    for index, used in enumerate(row["memory_bytes"]):
        held = tuple(stage_bytes[index] for stage_bytes in weights)
        stages.append(Stage(held, max(0, used - sum(held))))
    first, last = group.devices[0], group.devices[-1]
    return Column(
        id=group.id,
        mesh=f"{group.config.tensor} × {group.config.pipeline}",
        devices=first if first == last else f"{first} .. {last}",
        models=tuple((model, numbers[model]) for model in group.models),
        stages=tuple(stages),
        usable_bytes=row["usable_bytes"],
        utilisation=row["utilisation"],
    )
