"""Models on demand: where one that is asked for goes, what makes room for it, and what goes when it is idle.

Only models that are `on_demand` themselves make room, those used longest ago first; planned ones stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from placement.constraints import Constraints
from placement.groups import Host, equal_meshes, hosts_of, without
from placement.memory import allows
from vocabulary.deployment import Deployment
from vocabulary.errors import StatmuxError
from vocabulary.fit import check_fit, stage_bytes
from vocabulary.generation import GenerationLimits
from vocabulary.page_budget import generation_limits
from vocabulary.placement import Group, Placement

# How an option makes room, the best first.
_BESIDE, _NEW_GROUP, _INSTEAD = range(3)


@dataclass(frozen=True, slots=True)
class Residents:
    """What is wanted now. used_s: when each model on demand was last asked for, or loaded; busy: models with
    requests that run or wait, which do not go."""

    placement: Placement
    used_s: Mapping[str, float]
    busy: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Loading:
    """A placement with the model; evicted: (model, group id) that make room."""

    placement: Placement
    group_id: str
    evicted: tuple[tuple[str, str], ...] = ()


def loading(model: str, residents: Residents, *, deployment: Deployment) -> Loading | None:
    """Where the model goes: beside others where most is free; else on devices that nobody uses; else instead
    of idle models on demand, those used longest ago. None where there is no way."""
    found = [*_in_groups(model, residents, deployment), *_in_new_group(model, residents, deployment)]
    return min(found, key=lambda one: one[0])[1] if found else None


def unloading(residents: Residents, *, deployment: Deployment, now_s: float) -> tuple[str, ...]:
    """Models on demand whose time is up, by name."""
    held = residents.placement.models
    return tuple(
        model.name
        for model in deployment.models
        if model.name in held
        and model.name in residents.used_s
        and model.on_demand.is_enabled
        and model.name not in residents.busy
        and residents.used_s[model.name] + model.on_demand.idle_unload_s <= now_s
    )


def without_models(placement: Placement, names: tuple[str, ...]) -> Placement:
    """The groups without these models; a group that then holds nothing goes, its devices are free."""
    kept = (
        replace(group, models=tuple(model for model in group.models if model not in names))
        for group in placement.groups
    )
    return Placement(tuple(group for group in kept if group.models))


def next_unload_s(residents: Residents, *, deployment: Deployment) -> float:
    """When to look again; infinite where nothing is there on demand."""
    return min(
        (
            residents.used_s[model.name] + model.on_demand.idle_unload_s
            for model in deployment.models
            if model.on_demand.is_enabled
            and model.name in residents.used_s
            and model.name in residents.placement.models
        ),
        default=float("inf"),
    )


_Option = tuple[tuple[float, ...], Loading]


def _in_groups(model: str, residents: Residents, deployment: Deployment) -> Iterator[_Option]:
    free = {device.id for device in deployment.cluster.free_devices}
    for index, group in enumerate(residents.placement.groups):
        if not free.issuperset(group.devices):
            continue
        idle = _idle(group, residents, deployment)
        for count in range(len(idle) + 1):
            gone = idle[:count]
            models = (*(one for one in group.models if one not in gone), model)
            trial = _with_group(residents.placement, index, replace(group, models=models))
            if not _is_possible(trial, residents.placement, index, deployment):
                continue
            evicted = tuple((one, group.id) for one in gone)
            latest_s = max((residents.used_s.get(one, 0.0) for one in gone), default=0.0)
            key = (
                float(_INSTEAD if gone else _BESIDE),
                latest_s,
                -_free_bytes(trial.groups[index], deployment),
            )
            yield (*key, float(index)), Loading(trial, group.id, evicted)
            break


def _in_new_group(model: str, residents: Residents, deployment: Deployment) -> Iterator[_Option]:
    """On the fewest devices that hold it."""
    spec, placement = deployment.model(model), residents.placement
    hosts: tuple[Host, ...] = hosts_of(deployment.cluster)
    hosts = without(hosts, [device for group in placement.groups for device in group.devices])
    entries = spec.profile.entries if spec.profile is not None else ()
    configs = [config for config in entries if allows(spec, config)]
    for config in sorted(configs, key=lambda one: (one.num_devices, one)):
        for mesh in equal_meshes(hosts, config)[:1]:
            group = Group(_new_id(placement), mesh.devices, mesh.config, (model,))
            trial = Placement((*placement.groups, group))
            if _is_possible(trial, placement, len(placement.groups), deployment):
                yield (float(_NEW_GROUP), float(config.num_devices), 0.0, 0.0), Loading(trial, group.id)
                return


def _idle(group: Group, residents: Residents, deployment: Deployment) -> list[str]:
    """Models of the group that may go, those used longest ago first."""
    names = [
        name
        for name in group.models
        if deployment.model(name).on_demand.is_enabled and name not in residents.busy
    ]
    return sorted(names, key=lambda name: (residents.used_s.get(name, 0.0), name))


def _is_possible(trial: Placement, before: Placement, index: int, deployment: Deployment) -> bool:
    """Memory and rules allow it, one engine runs it, and pages that are in use stay as many."""
    group = trial.groups[index]
    if len({deployment.model(name).engine for name in group.models}) > 1:
        return False
    try:
        check_fit(Placement((group,)), deployment)
        limits = generation_limits(group, deployment)
        earlier = before.groups[index] if index < len(before.groups) else None
        known: Mapping[str, GenerationLimits] = {}
        if earlier is not None:
            known = generation_limits(earlier, deployment)
    except StatmuxError:
        return False
    if any(limits[name] != known[name] for name in limits if name in known):
        return False
    rules = Constraints(deployment)
    return set(rules.violations(trial)) <= set(rules.violations(before))


def _free_bytes(group: Group, deployment: Deployment) -> int:
    """On the device that has least left."""
    devices = deployment.cluster.by_id()
    used = stage_bytes(group.config, group.models, catalog=deployment.catalog())
    return min(
        deployment.cluster.usable_bytes(devices[device]) - num_bytes
        for stage, num_bytes in enumerate(used)
        for device in group.stage_devices(stage)
    )


def _with_group(placement: Placement, index: int, group: Group) -> Placement:
    return Placement((*placement.groups[:index], group, *placement.groups[index + 1 :]))


def _new_id(placement: Placement) -> str:
    taken = {group.id for group in placement.groups}
    return next(name for number in range(len(taken) + 1) if (name := f"g{number}") not in taken)
