"""The smallest change that makes an infeasible fleet feasible: devices, memory or SLO, each by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from placement.constraints import Constraints
from placement.greedy import with_required
from placement.groups import carve, hosts_of
from placement.memory import allows
from placement.problem import Problem
from placement.required import open_as_needed
from placement.why_limits import impossible_slo
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.parallel import ParallelConfig
from vocabulary.trace import Trace
from vocabulary.units import format_bytes

# Beyond so many times what there is, a change is none that anybody wants to hear of.
MAX_GROWTH = 64
MAX_DEVICES = 4096
# SLOs are found to so much more than the last that is too short.
SLO_STEP = 1.0005

IsFeasible = Callable[[Deployment], bool]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change that alone is enough, and the smallest of its kind.

    kind: devices (of a node class), memory_bytes (of each device) or slo_scale. before, after: in its units;
    what: the node class, or empty.
    """

    kind: str
    before: float
    after: float
    what: str = ""

    @property
    def sentence(self) -> str:
        """What to change, with the numbers."""
        match self.kind:
            case "devices":
                return f"{self.after:.0f} devices of {self.what} instead of {self.before:.0f}"
            case "memory_bytes":
                return (
                    f"{format_bytes(self.after)} a device instead of {format_bytes(self.before)} "
                    f"({self.after:.0f} bytes instead of {self.before:.0f})"
                )
            case _:
                return f"SLOs {math.ceil(1000 * self.after) / 1000:g} times as long"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far changes are looked for, in times what there is, and how finely memory and SLOs are.

    memory_parts: of the smallest device's memory; None: to the byte.
    """

    growth: int = MAX_GROWTH
    memory_parts: int | None = None
    slo_step: float = SLO_STEP


# Where each try is a search: some six of them for every kind of change.
COARSE = Reach(growth=8, memory_parts=32, slo_step=1.05)


def smallest_changes(
    deployment: Deployment, is_feasible: IsFeasible, *, reach: Reach = Reach()
) -> tuple[Remedy, ...]:
    """For a fleet that is not feasible: what alone would be enough, each kind and node class on its own.

    Kinds that do not help within reach are left out. is_feasible: whether a changed deployment is; it is
    taken to stay so when there is more.
    """
    classes = range(len(deployment.cluster.nodes))
    found = [_more_devices(deployment, index, is_feasible, reach) for index in classes]
    found += [_more_memory(deployment, is_feasible, reach), _longer_slos(deployment, is_feasible, reach)]
    return tuple(one for one in found if one is not None)


def can_hold(deployment: Deployment) -> bool:
    """Whether some groups hold all required replicas, and at least one model: what a search needs."""
    nobody = Trace(np.zeros(0), np.zeros(0, dtype=np.int32), deployment.model_names)
    problem = Problem(deployment, nobody)
    hosts = hosts_of(deployment.cluster)
    configs = sorted({config for model in deployment.models for config in _allowed(model)})
    layouts = [layout for config in configs if (layout := carve(hosts, config))]
    if any(model.min_replicas for model in deployment.models):
        return any(with_required(problem, layout) is not None for layout in layouts) or any(
            candidate.num_replicas for candidate in open_as_needed(problem)
        )
    rules = Constraints(deployment)
    meshes = {
        (mesh.kind, mesh.devices if rules.names_devices else ()): mesh for one in layouts for mesh in one
    }
    return any(
        (problem.memory.fitting(mesh, ()) & rules.addable((mesh,), ((),), 0)).any()
        for mesh in meshes.values()
    )


def can_be_in_time(deployment: Deployment, models: Collection[int] | None = None) -> bool:
    """Whether models have a configuration as quick as their SLO: these, or all that ask for an attainment."""
    asked = range(len(deployment.models)) if models is None else models
    return not any(
        impossible_slo(deployment, index)
        for index in asked
        if models is not None or deployment.models[index].slo.attainment
    )


def _more_devices(deployment: Deployment, index: int, is_feasible: IsFeasible, reach: Reach) -> Remedy | None:
    node = deployment.cluster.nodes[index]

    def with_hosts(count: int) -> Deployment:
        nodes = list(deployment.cluster.nodes)
        nodes[index] = replace(node, count=count)
        return replace(deployment, cluster=replace(deployment.cluster, nodes=tuple(nodes)))

    most = min(max(1, node.count) * reach.growth, max(node.count, MAX_DEVICES // node.devices_per_host))
    count = _least(node.count, most, lambda number: is_feasible(with_hosts(number)))
    if count is None:
        return None
    before, after = (number * node.devices_per_host for number in (node.count, count))
    return Remedy("devices", before, after, node.name)


def _more_memory(deployment: Deployment, is_feasible: IsFeasible, reach: Reach) -> Remedy | None:
    """As many bytes more on every device; said of the smallest."""
    nodes = deployment.cluster.nodes
    least = min(node.memory_bytes for node in nodes)

    part = 1 if reach.memory_parts is None else max(1, least // reach.memory_parts)

    def with_parts(number: int) -> Deployment:
        larger = tuple(replace(node, memory_bytes=node.memory_bytes + number * part) for node in nodes)
        return replace(deployment, cluster=replace(deployment.cluster, nodes=larger))

    most = least * reach.growth // part
    number = _least(0, most, lambda number: is_feasible(with_parts(number)))
    return None if number is None else Remedy("memory_bytes", least, least + number * part)


def _longer_slos(deployment: Deployment, is_feasible: IsFeasible, reach: Reach) -> Remedy | None:
    def with_scale(step: int) -> Deployment:
        scale = reach.slo_step**step
        models = tuple(replace(model, slo=model.slo.scaled(scale)) for model in deployment.models)
        return replace(deployment, models=models)

    most = math.ceil(math.log(reach.growth) / math.log(reach.slo_step))
    step = _least(0, most, lambda number: is_feasible(with_scale(number)))
    return None if step is None else Remedy("slo_scale", 1.0, reach.slo_step**step)


def _least(low: int, most: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number above `low`, at most `most`, that holds: doubled until one does, then bisected."""
    step, high = 1, low + 1
    while high < most and not holds(high):
        low, step = high, 2 * step
        high += step
    if high >= most:
        high = most
        if low >= most or not holds(most):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _allowed(model: ModelSpec) -> list[ParallelConfig]:
    profiled = model.profile.entries if model.profile is not None else ()
    return [config for config in profiled if allows(model, config)]
