"""What in a placement breaks the rules of its deployment, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vocabulary.deployment import Deployment
from vocabulary.mesh import Cluster
from vocabulary.placement import Group, Placement


def violations(
    placement: Placement, deployment: Deployment, joined: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    """A sentence for every rule that is broken; none when all are met.

    joined: sets of models that must be together, those that share a model made one.
    """
    return tuple(
        (
            *_bounds_broken(placement, deployment),
            *_colocate_broken(placement, joined),
            *_separate_broken(placement, deployment),
            *_pin_broken(placement, deployment),
            *_reserved_broken(placement, deployment.cluster),
        )
    )


def _bounds_broken(placement: Placement, deployment: Deployment) -> Iterator[str]:
    for model in deployment.models:
        count = len(placement.holders(model.name))
        if count < model.min_replicas:
            yield f"{model.name} has {count} replicas, replicas.min is {model.min_replicas}"
        if model.max_replicas is not None and count > model.max_replicas:
            yield f"{model.name} has {count} replicas, replicas.max is {model.max_replicas}"


def _colocate_broken(placement: Placement, joined: Sequence[Sequence[str]]) -> Iterator[str]:
    for names in joined:
        for group in placement.groups:
            missing = [name for name in names if name not in group.models]
            if 0 < len(missing) < len(names):
                held = ", ".join(name for name in names if name in group.models)
                yield f"colocate: {group.id} holds {held} without {', '.join(missing)}"


def _separate_broken(placement: Placement, deployment: Deployment) -> Iterator[str]:
    for apart in deployment.rules.separate:
        for place, models in _places(placement.groups, apart.by, deployment.cluster):
            held = [name for name in models if name in apart.models]
            if len(apart.models) > 1:
                held = list(dict.fromkeys(held))
            if len(held) > 1:
                yield f"separate: {apart.by} {place} holds {', '.join(held)}"


def _places(groups: Sequence[Group], by: str, cluster: Cluster) -> Iterator[tuple[str, list[str]]]:
    """Every group, or every host, with the models on it, one for each group that has it."""
    if by == "group":
        yield from ((group.id, list(group.models)) for group in groups)
        return
    by_id = cluster.by_id()
    found: dict[str, list[str]] = {}
    for group in groups:
        for host in sorted({by_id[device].host for device in group.devices}):
            found.setdefault(host, []).extend(group.models)
    yield from found.items()


def _pin_broken(placement: Placement, deployment: Deployment) -> Iterator[str]:
    for model, allowed in deployment.rules.pin.items():
        for group in placement.groups:
            outside = [device for device in group.devices if device not in allowed]
            if model in group.models and outside:
                yield f"pin: {group.id} with {model} uses {', '.join(outside)}, to which it is not pinned"


def _reserved_broken(placement: Placement, cluster: Cluster) -> Iterator[str]:
    reserved = frozenset(cluster.reserved)
    for group in placement.groups:
        used = [device for device in group.devices if device in reserved]
        if used:
            yield f"reserved: {group.id} uses {', '.join(used)}"
