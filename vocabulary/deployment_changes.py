"""From the deployment that is served to another one: what may change at once, and what needs a restart."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import cast

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.profile import Profile
from vocabulary.versions import Split, parted


class Effect(Enum):
    """What a change of a key asks for."""

    LIVE = "live"  # heeded from now on
    PLAN = "plan"  # heeded from now on, and the placement may no longer be right
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Change:
    """One key of the file, as `models.chat.slo.latency_s`; before and after as people write them."""

    key: str
    before: str
    after: str
    effect: Effect

    @property
    def sentence(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class DeploymentChanges:
    """What differs. added, removed: names of models; changed: keys of what is in both, in the file's order.

    devices_added, devices_removed: ids.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    devices_added: tuple[str, ...] = ()
    devices_removed: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not (self.added or self.removed or self.changed)

    @property
    def needs_plan(self) -> bool:
        """Whether what is placed now may no longer be what should be: models, devices, rules or costs."""
        return bool(self.added or self.removed) or any(one.effect is Effect.PLAN for one in self.changed)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each difference."""
        added = (f"model {name} is new" for name in self.added)
        removed = (f"model {name} goes" for name in self.removed)
        return (*added, *removed, *(one.sentence for one in self.changed))


def changes(
    running: Deployment, wanted: Deployment, *, devices: frozenset[str] | None = None
) -> DeploymentChanges:
    """What `wanted` changes of `running`. devices: ids of those that are there; None: any may be new.

    Raises InvalidInput for what cannot change while the fleet serves, naming all such keys at once.
    """
    old = {model.name: model for model in running.models}
    new = {model.name: model for model in wanted.models}
    here = {device.id for device in running.cluster.devices}
    there = {device.id for device in wanted.cluster.devices}
    found = DeploymentChanges(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(_changed(running, wanted, old, new)),
        devices_added=tuple(sorted(there - here)),
        devices_removed=tuple(sorted(here - there)),
    )
    _check_live(found)
    _check_devices(there - here, devices)
    return found


def together(wanted: Deployment, running: Deployment) -> Deployment:
    """`wanted` with what only `running` knows: models and hosts that are there until the change is over."""
    names = frozenset(wanted.model_names)
    gone = tuple(model for model in running.models if model.name not in names)
    kept = {node.name: node for node in wanted.cluster.nodes}
    nodes = {node.name: node for node in running.cluster.nodes} | kept
    for node in running.cluster.nodes:
        new = nodes[node.name]
        nodes[node.name] = replace(
            new,
            count=max(node.count, new.count),
            devices_per_host=max(node.devices_per_host, new.devices_per_host),
        )
    cluster = replace(wanted.cluster, nodes=tuple(nodes.values()))
    return replace(wanted, models=(*wanted.models, *gone), cluster=cluster)


def _check_live(found: DeploymentChanges) -> None:
    late = [one for one in found.changed if one.effect is Effect.RESTART]
    if not late:
        return
    message = f"cannot change while the fleet serves: {'; '.join(one.sentence for one in late)}"
    of_models = sorted({one.key.split(".")[1] for one in late if one.key.startswith("models.")})
    hint = (
        "restart the fleet with this file (`statmux stop`, `statmux serve`), or leave these keys as they are"
    )
    if of_models and all(one.key.startswith("models.") for one in late):
        hint = f"give {', '.join(of_models)} another name, or a new version beside the old one (`versions:`)"
    raise InvalidInput(message, where=", ".join(one.key for one in late), hint=hint)


def _check_devices(wanted: set[str], devices: frozenset[str] | None) -> None:
    missing = sorted(wanted - devices) if devices is not None else []
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        hint = "start their nodes first (they join the fleet's Ray), or restart with a cluster of its own"
        raise InvalidInput(f"the cluster has no {shown}", where="cluster.nodes", hint=hint)


# What a change of each field asks for; a field that is not named here needs a restart. Those of the policy
# are in every machine from its start, and so are the costs of `simulation`.
_EFFECTS: Mapping[str, Effect] = {
    **dict.fromkeys(("cluster", "rules", "count_activations"), Effect.PLAN),
    **dict.fromkeys(
        ("algorithm", "beam_width", "seed", "time_budget_s", "objective", "replanning", "autoscaling"),
        Effect.LIVE,
    ),
    **dict.fromkeys(("drain", "journal"), Effect.LIVE),
}
_MODEL_EFFECTS: Mapping[str, Effect] = {
    **dict.fromkeys(("profile", "parallelism", "min_replicas", "max_replicas", "on_demand"), Effect.PLAN),
    **dict.fromkeys(("slo", "weight", "workload", "aliases", "profile_path", "profile_paths"), Effect.LIVE),
}
# Not keys of the file, or compared by themselves.
_APART = frozenset({"models", "splits", "folder", "accepted_only", "warnings", "document"})
# Where the noun's field is not the key of the file.
_KEYS = {
    "name": "metadata.name",
    "policy": "serving.policy",
    "latency": "simulation",
    "grpc": "endpoints.grpc",
    "http": "endpoints.http",
    "metrics": "observability.metrics",
    "limits": "endpoints.limits",
    "drain": "serving.drain",
    "health": "serving.health",
    "front_ends": "serving.front_ends",
    "autoscaling": "serving.autoscaling",
    "count_activations": "placement.count_activations",
    "rules": "placement.constraints",
    "replanning": "placement.replan",
    "algorithm": "placement.search.algorithm",
    "beam_width": "placement.search.beam_width",
    "seed": "placement.search.seed",
    "time_budget_s": "placement.search.time_budget_s",
    "objective": "placement.objective",
    "ray_address": "cluster.address",
    "log_format": "observability.logs.format",
    "log_level": "observability.logs.level",
    "journal": "observability.journal",
    "tracing": "observability.tracing",
}
_MODEL_KEYS = {
    "min_replicas": "replicas.min",
    "max_replicas": "replicas.max",
    "generation": "kv_cache",
    "profile_path": "profile",
    "profile_paths": "profile",
}


def _changed(
    running: Deployment, wanted: Deployment, old: Mapping[str, ModelSpec], new: Mapping[str, ModelSpec]
) -> Iterator[Change]:
    for one in fields(Deployment):
        if one.name not in _APART:
            before, after = getattr(running, one.name), getattr(wanted, one.name)
            effect = _EFFECTS.get(one.name, Effect.RESTART)
            yield from _compared(_KEYS.get(one.name, one.name), before, after, effect)
    for name, model in new.items():
        if name in old:
            yield from _of_model(old[name], model, running.folder, wanted.folder)
    yield from _of_splits(running.splits, wanted.splits)


def _of_model(old: ModelSpec, new: ModelSpec, old_folder: str, new_folder: str) -> Iterator[Change]:
    model, version = parted(new.name)
    start = f"models.{model}.versions.{version}" if version else f"models.{model}"
    for one in fields(ModelSpec):
        before, after = getattr(old, one.name), getattr(new, one.name)
        if one.name == "source":
            before, after = _located(before, old_folder), _located(after, new_folder)
        key = f"{start}.{_MODEL_KEYS.get(one.name, one.name)}"
        yield from _compared(key, before, after, _MODEL_EFFECTS.get(one.name, Effect.RESTART))


def _located(source: str | None, folder: str) -> str | None:
    """What a source names, wherever the file that says so lies."""
    if source is None or "://" in source:
        return source
    return posixpath.normpath(posixpath.join(folder, source))


def _of_splits(running: Sequence[Split], wanted: Sequence[Split]) -> Iterator[Change]:
    """Only of models that had versions before and have them now; others come or go as models do."""
    old = {split.model: split for split in running}
    for split in wanted:
        before = old.get(split.model)
        if before is not None and before != split:
            yield from _compared(
                f"models.{split.model}.split", _weights(before), _weights(split), Effect.LIVE
            )
            yield from _compared(f"models.{split.model}.split_by", before.by, split.by, Effect.LIVE)
            key = f"models.{split.model}.aliases"
            yield from _compared(key, before.aliases, split.aliases, Effect.LIVE)


def _weights(split: Split) -> str:
    return ", ".join(f"{version} {weight:g}" for version, weight in split.shares)


def _compared(key: str, before: object, after: object, effect: Effect) -> Iterator[Change]:
    """Leaf after leaf of nouns of one type; other values as a whole."""
    if before == after:
        return
    is_noun = is_dataclass(before) and type(before) is type(after) and not isinstance(before, Profile)
    if not is_noun or isinstance(before, type) or not is_dataclass(before):
        shown, new = _shown(before), _shown(after)
        yield Change(key, shown, new if new != shown else f"{new}, of other values", effect)
        return
    for one in fields(before):
        yield from _compared(f"{key}.{one.name}", getattr(before, one.name), getattr(after, one.name), effect)


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case Profile():
            return f"a profile of {len(value.entries)} configurations"
        case tuple() | list() | Mapping():
            return _short(str(cast(object, value))) if value else "none"
        case _:
            return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
