"""Limits that no search can move: SLOs below every latency, rates that are more than any one group takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from placement.groups import equal_meshes, hosts_of
from placement.memory import allows
from vocabulary.catalog import BatchCosts
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.mesh import Cluster
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S


def impossible_slo(deployment: Deployment, model: int) -> str:
    """Why no placement keeps a model's SLO: all that it may use is too slow. Empty if something is not.

    Of a model that generates: why answers of several tokens are late whatever there is.
    """
    spec, seconds = deployment.models[model], alone_s(deployment, model)
    if spec.generates:
        return _impossible_steps(deployment, spec)
    if not seconds or _is_quick(deployment, model, min(seconds.values())):
        return ""
    config = min(seconds, key=lambda one: (seconds[one], one))
    return f"{_slo(spec)} is below its quickest latency, {1e3 * seconds[config]:.1f} ms on {config}"


def foreign_profile(deployment: Deployment, model: int) -> str:
    """Why a model may be on no device: its profile is of others. Empty if it is of some that are there."""
    spec, types = deployment.models[model], deployment.cluster.device_types
    if spec.profile is None or len(types) < 2:
        return ""
    profiled = {config.device_type for config in spec.profile.entries}
    if profiled & set(types):
        return ""
    known, there = ", ".join(sorted(profiled)), ", ".join(types)
    return f"profile of {spec.name}: it is for {known}, the cluster has {there}"


def slow_groups(deployment: Deployment, model: int, placement: Placement) -> str:
    """Why no group keeps a model's SLO, though another configuration would. Empty if some group does."""
    spec, seconds = deployment.models[model], alone_s(deployment, model)
    here: dict[ParallelConfig, str] = {}
    for group in placement.groups:
        if group.config.inside in seconds:
            here.setdefault(group.config.inside, group.id)
    if not here or _is_quick(deployment, model, min(seconds[config] for config in here)):
        return ""
    near, best = min(here, key=lambda one: seconds[one]), min(seconds, key=lambda one: (seconds[one], one))
    if not _is_quick(deployment, model, seconds[best]):
        return ""
    return (
        f"parallelism: {_slo(spec)} is below its latency on every group, {1e3 * seconds[near]:.1f} ms on "
        f"{here[near]}; {best} would take {1e3 * seconds[best]:.1f} ms"
    )


def alone_s(deployment: Deployment, model: int) -> Mapping[ParallelConfig, float]:
    """Seconds of a lone request in every configuration that a model may use, on these devices.

    None without an SLO to keep.
    """
    spec = deployment.models[model]
    if spec.slo.latency_s is None or spec.profile is None or spec.generates:
        return {}
    catalog, overhead_s = deployment.catalog(), deployment.latency.fixed_overhead_s
    return {
        config: sum(catalog.costs(spec.name, config).single) + overhead_s
        for config in spec.profile.entries
        if allows(spec, config) and _has_devices(deployment.cluster, config)
    }


def _impossible_steps(deployment: Deployment, spec: ModelSpec) -> str:
    """Where a step for one token takes longer than the first, or each further, may."""
    assert spec.profile is not None, spec
    step_s = {
        config: sum(step.of(1, 0) for step in entry.step_times)
        for config, entry in spec.profile.entries.items()
        if entry.step_times and allows(spec, config) and _has_devices(deployment.cluster, config)
    }
    if not step_s:
        return ""
    config = min(step_s, key=lambda one: (step_s[one], one))
    for key, limit_s in (("ttft_ms", spec.slo.ttft_s), ("tpot_ms", spec.slo.tpot_s)):
        if limit_s is not None and step_s[config] > limit_s + TIME_TOLERANCE_S:
            shown = f"slo.{key} of {spec.name} ({1e3 * limit_s:.1f} ms)"
            return f"{shown} is below its quickest step, {1e3 * step_s[config]:.1f} ms on {config}"
    return ""


@lru_cache(maxsize=1024)
def _has_devices(cluster: Cluster, config: ParallelConfig) -> bool:
    """Whether a group of this configuration can be made; asked for every model of a fleet."""
    return bool(equal_meshes(hosts_of(cluster), config))


def _is_quick(deployment: Deployment, model: int, seconds: float) -> bool:
    return seconds <= deployment.models[model].slo_s(deployment.latency) + TIME_TOLERANCE_S


def _slo(spec: ModelSpec) -> str:
    assert spec.slo.latency_s is not None, spec
    return f"SLO of {spec.name} ({1e3 * spec.slo.latency_s:.1f} ms)"


def exceeding_rate(deployment: Deployment, trace: Trace, model: int) -> str:
    """Where the rate of a model is more than any one group takes, how many it needs. Empty if one can do."""
    spec = deployment.models[model]
    if trace.duration_s <= 0 or spec.profile is None or spec.generates:
        return ""
    rate_rps = float(trace.counts()[model]) / trace.duration_s
    catalog = deployment.catalog()
    limits_rps = {
        config: _most_rps(catalog.costs(spec.name, config))
        for config in spec.profile.entries
        if allows(spec, config) and _has_devices(deployment.cluster, config)
    }
    if not limits_rps or rate_rps <= max(limits_rps.values()):
        return ""
    config = max(limits_rps, key=lambda one: (limits_rps[one], -one.num_devices))
    number = math.ceil(rate_rps / limits_rps[config])
    takes = f"one of {config} takes {limits_rps[config]:.3g}/s, so {number} are needed"
    return f"rate of {spec.name} exceeds any group: {rate_rps:.3g}/s, {takes}"


def _most_rps(costs: BatchCosts) -> float:
    """Requests a second that the slowest stage takes at most, in batches of the best size."""
    return max(size / max(*stages, 1e-12) for size, stages in zip(costs.sizes, costs.stages_s, strict=True))
