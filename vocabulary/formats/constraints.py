"""`placement.constraints` -> PlacementRules: names of models and devices resolved, contradictions told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from vocabulary.deployment import Deployment
from vocabulary.formats.constraints_shape import ApartShape, ConstraintsShape
from vocabulary.formats.document import Document, KeyPath, did_you_mean
from vocabulary.mesh import Cluster
from vocabulary.rules import Apart, PlacementRules

PATH: KeyPath = ("placement", "constraints")


def reserved_devices(
    shape: ConstraintsShape, num_spare: int, cluster: Cluster, document: Document
) -> tuple[str, ...]:
    """Ids of the devices to leave free, ascending: named ones, and the last `num_spare` of the others.

    Raises InvalidInput when none is left.
    """
    path: KeyPath = (*PATH, "reserved")
    reserved = _devices(shape.reserved, cluster, document, path)
    if num_spare:
        path = ("cluster", "reserve", "devices")
        others = [device.id for device in cluster.devices if device.id not in reserved]
        reserved |= frozenset(others[-num_spare:])
    if reserved and len(reserved) == cluster.num_devices:
        message = f"reserves all {cluster.num_devices} devices of the cluster"
        raise document.error(path, message, hint="leave devices for the models")
    return tuple(sorted(reserved))


def rules_of(shape: ConstraintsShape, deployment: Deployment, document: Document) -> PlacementRules:
    """Raises InvalidInput for the first name that is not known, and the first rules that contradict."""
    colocate = tuple(
        _models(names, deployment, document, (*PATH, "colocate", number))
        for number, names in enumerate(shape.colocate)
    )
    separate = tuple(_apart(one, deployment, document, number) for number, one in enumerate(shape.separate))
    cluster = deployment.cluster
    pin: dict[str, frozenset[str]] = {}
    for model, places in shape.pin.items():
        path = (*PATH, "pin", model)
        _check_model(model, deployment, document, path)
        pin[model] = _devices(places, cluster, document, path)
    reserved = frozenset(cluster.reserved)
    rules = PlacementRules(colocate, separate, pin)
    joined = _joined_sets(colocate)
    _check_apart(rules, joined, document)
    _check_pins(rules, joined, reserved, document)
    _check_bounds(rules, joined, deployment, document)
    return rules


def _models(
    names: tuple[str, ...], deployment: Deployment, document: Document, path: KeyPath
) -> tuple[str, ...]:
    for number, name in enumerate(names):
        _check_model(name, deployment, document, (*path, number))
        if name in names[:number]:
            raise document.error((*path, number), f"model {name} is listed twice", hint="name it once")
    return names


def _check_model(name: str, deployment: Deployment, document: Document, path: KeyPath) -> None:
    if name not in deployment.model_names:
        hint = did_you_mean(name, deployment.model_names)
        raise document.error(path, f"{deployment.name} has no model {name}", hint=hint)


def _apart(one: ApartShape, deployment: Deployment, document: Document, number: int) -> Apart:
    path = (*PATH, "separate", number)
    models = _models(one.models, deployment, document, path)
    by = "host" if one.by == "node" else one.by
    if len(models) == 1 and by == "group":
        hint = "name another model, or say `by: host` to keep its replicas on different hosts"
        raise document.error(path, f"only {models[0]} is named: from what is it separate?", hint=hint)
    return Apart(models, by)


def _devices(places: Iterable[str], cluster: Cluster, document: Document, path: KeyPath) -> frozenset[str]:
    """Devices by id, by host (`n-0`) or by node class (`n`)."""
    if not places:
        return frozenset()
    named = _named(cluster)
    found: set[str] = set()
    for number, place in enumerate(places):
        if place not in named:
            hint = did_you_mean(place, tuple(named))
            message = f"the cluster has no device, host or node class {place}"
            raise document.error((*path, number), message, hint=hint)
        found.update(named[place])
    return frozenset(found)


def _named(cluster: Cluster) -> Mapping[str, tuple[str, ...]]:
    """Device ids by every name that stands for some; a class goes before a host of the same name."""
    named: dict[str, tuple[str, ...]] = {
        node.name: tuple(device.id for device in node.devices()) for node in cluster.nodes
    }
    hosts: dict[str, list[str]] = {}
    for device in cluster.devices:
        hosts.setdefault(device.host, []).append(device.id)
    ids = {device.id: (device.id,) for device in cluster.devices}
    return {**ids, **{host: tuple(devices) for host, devices in hosts.items()}, **named}


@dataclass(frozen=True, slots=True)
class _Joined:
    """Models that must be together, and where the file first says so."""

    models: frozenset[str]
    number: int


def _joined_sets(colocate: tuple[tuple[str, ...], ...]) -> list[_Joined]:
    """Sets that share a model are one."""
    joined: list[_Joined] = []
    for number, names in enumerate(colocate):
        overlapping = [one for one in joined if not one.models.isdisjoint(names)]
        together = frozenset(names).union(*(one.models for one in overlapping))
        first = min((one.number for one in overlapping), default=number)
        joined = [one for one in joined if one not in overlapping] + [_Joined(together, first)]
    return joined


def _check_apart(rules: PlacementRules, joined: list[_Joined], document: Document) -> None:
    for number, apart in enumerate(rules.separate):
        for one in joined:
            both = [name for name in apart.models if name in one.models]
            if len(both) > 1:
                message = (
                    f"{both[0]} and {both[1]} are to be separate, and together by colocate[{one.number}]"
                )
                hint = "keep one of the two rules"
                raise document.error((*PATH, "separate", number), message, hint=hint)


def _check_pins(
    rules: PlacementRules, joined: list[_Joined], reserved: frozenset[str], document: Document
) -> None:
    for model, devices in rules.pin.items():
        path = (*PATH, "pin", model)
        if devices <= reserved:
            message = f"all {len(devices)} devices that {model} is pinned to are reserved"
            raise document.error(path, message, hint="pin it to others, or take them out of `reserved`")
        for other in _together_with(model, joined):
            if other in rules.pin and (devices & rules.pin[other]) <= reserved:
                message = f"{model} and {other} are to be together, but are pinned to no common free device"
                raise document.error(path, message, hint="pin both to the same devices, or drop a rule")


def _check_bounds(
    rules: PlacementRules, joined: list[_Joined], deployment: Deployment, document: Document
) -> None:
    for model in deployment.models:
        for other in (deployment.model(name) for name in _together_with(model.name, joined)):
            if other.max_replicas is not None and other.max_replicas < model.min_replicas:
                message = (
                    f"{model.name} and {other.name} are to be together, but replicas.min of {model.name} is "
                    f"{model.min_replicas} and replicas.max of {other.name} is {other.max_replicas}"
                )
                hint = "give both the same bounds, or drop the rule"
                raise document.error((*PATH, "colocate"), message, hint=hint)


def _together_with(model: str, joined: list[_Joined]) -> Iterator[str]:
    for one in joined:
        if model in one.models:
            yield from sorted(one.models - {model})
