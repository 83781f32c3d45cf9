"""What to say when no placement can be: which constraint binds, bytes needed and available."""

from __future__ import annotations

from dataclasses import dataclass

from placement.groups import carve, hosts_of
from placement.memory import allows
from placement.problem import Problem
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.units import format_bytes


def check_profiled(deployment: Deployment) -> None:
    """Raises InvalidInput for a model without a profile, or a cluster without devices."""
    if not deployment.cluster.num_devices:
        hint = "list node classes under cluster.nodes"
        raise InvalidInput("there are no devices to plan for", where="cluster", hint=hint)
    for model in deployment.models:
        if model.profile is None:
            hint = "measure it with `statmux profile`, or set `profile:`"
            raise InvalidInput(f"model {model.name} has no profile", where="models[].profile", hint=hint)


def why_nothing(problem: Problem, algorithm: str) -> Infeasible:
    """The error for a search that found no placement."""
    models = problem.deployment.models
    shortages = {model.name: _shortage(problem, index) for index, model in enumerate(models)}
    if all(shortages.values()):
        nearest = min(shortages.values(), key=lambda one: one.missing_bytes)
        return Infeasible(f"no model fits: {nearest.text}", hint=_hint(problem.deployment))
    for model in models:
        if model.min_replicas and shortages[model.name].text:
            text = f"replicas.min of {model.name} cannot be met: {shortages[model.name].text}"
            return Infeasible(text, hint=_hint(problem.deployment))
    for model in models:
        if text := _pinned_away(problem.deployment, model):
            return Infeasible(text, hint="pin it to others, or profile it on these")
    required = [model for model in models if model.min_replicas]
    if required:
        return _too_many(problem.deployment, required)
    num_devices = len(problem.deployment.cluster.free_devices)
    made = f"{algorithm} makes no groups on {num_devices} devices that hold a model"
    if algorithm == "auto" and _has_rules(problem.deployment):
        hint = "loosen a rule, or add devices or memory"
        return Infeasible(f"{made} under placement.constraints, though some would fit without", hint=hint)
    return Infeasible(made, hint="use --algorithm auto")


@dataclass(frozen=True, slots=True)
class _Shortage:
    """Why a model fits nowhere alone; the text is empty where it does."""

    missing_bytes: int = 0
    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.text)


def _shortage(problem: Problem, index: int) -> _Shortage:
    """Of the group on which least is missing."""
    model = problem.deployment.models[index]
    shortages = [_missing(problem, index, config) for config in sorted(_profiled(model))]
    allowed = [one for one in shortages if one is not None]
    if allowed:
        return min(allowed, key=lambda one: one.missing_bytes)
    configs = ", ".join(map(str, sorted(_profiled(model))))
    num_devices = problem.deployment.cluster.num_devices
    text = f"its profile has {configs}, and {num_devices} devices with its `parallelism` allow none of them"
    return _Shortage(2**62, f"{model.name} has no configuration to use: {text}")


def _missing(problem: Problem, index: int, config: ParallelConfig) -> _Shortage | None:
    """For one configuration; None if it is not allowed."""
    model = problem.deployment.models[index]
    found: _Shortage | None = None
    for mesh in carve(hosts_of(problem.deployment.cluster), config):
        if mesh.config.inside != config or not allows(model, config, crosses_hosts=mesh.num_hosts > 1):
            continue
        needed = problem.memory.used(mesh, (index,))
        stage = int(needed.argmax())
        missing = int(needed[stage]) - mesh.usable_bytes
        if missing <= 0:
            return _Shortage()
        if found is None or missing < found.missing_bytes:
            found = _Shortage(missing, _sentence(model, config, stage, int(needed[stage]), mesh.usable_bytes))
    return found


def _sentence(model: ModelSpec, config: ParallelConfig, stage: int, needed: int, usable: int) -> str:
    return (
        f"{model.name} needs {needed} bytes ({format_bytes(needed)}) a device on stage {stage} even with "
        f"{config}, devices have {usable} ({format_bytes(usable)}); device memory binds"
    )


def _pinned_away(deployment: Deployment, model: ModelSpec) -> str:
    """Why a model may be on no device: it is pinned to types that its profile does not have. Else empty."""
    devices = deployment.cluster.by_id()
    allowed = deployment.rules.pin.get(model.name, frozenset())
    pinned = {devices[device].device_type for device in allowed}
    profiled = {config.device_type for config in _profiled(model)}
    if len(deployment.cluster.device_types) < 2 or not pinned or pinned & profiled:
        return ""
    return (
        f"{model.name} is pinned to devices of {', '.join(sorted(pinned))}, its profile is for "
        f"{', '.join(sorted(profiled))}"
    )


def _too_many(deployment: Deployment, required: list[ModelSpec]) -> Infeasible:
    needed = sum(_least_total_bytes(model) * model.min_replicas for model in required)
    available = sum(map(deployment.cluster.usable_bytes, deployment.cluster.free_devices))
    names = ", ".join(f"{model.min_replicas} x {model.name}" for model in required)
    has_rules = _has_rules(deployment)
    under = " under placement.constraints" if has_rules else ""
    held = f"no arrangement of groups found that holds them{under}"
    binds = "device memory binds" if needed > available else held
    return Infeasible(
        f"replicas.min cannot be met together: {names} need {needed} bytes ({format_bytes(needed)}) or "
        f"more, all free devices have {available} ({format_bytes(available)}); {binds}",
        hint=f"lower replicas.min, {'loosen a rule, ' if has_rules else ''}add devices or memory, or use "
        "--algorithm auto",
    )


def _has_rules(deployment: Deployment) -> bool:
    rules = deployment.rules
    return bool(rules.colocate or rules.separate or rules.pin)


def _least_total_bytes(model: ModelSpec) -> int:
    assert model.profile is not None, model
    return min(
        sum(entry.weight_bytes) * config.tensor
        for config, entry in model.profile.entries.items()
        if allows(model, config)
    )


def _profiled(model: ModelSpec) -> tuple[ParallelConfig, ...]:
    return tuple(model.profile.entries) if model.profile is not None else ()


def _hint(deployment: Deployment) -> str:
    reserve = deployment.cluster.reserve
    lower = f"lower cluster.reserve.memory_fraction ({reserve:g}), " if reserve else ""
    return f"{lower}profile more tensor or pipeline splits, or add devices or memory"
