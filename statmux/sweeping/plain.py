"""Points, groups and sizes as the plain values of documents."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from placement.capacity.bisection import Size
from placement.capacity.points import Point, hourly_cost, resized_cluster
from placement.capacity.results import Result
from statmux.sweeping.answers import Tried
from vocabulary.deployment import Deployment
from vocabulary.mesh import Cluster


def plain_point(point: Point, result: Result, cluster: Cluster) -> dict[str, Any]:
    """A point with its result. `cost_per_hour` is of all its hosts."""
    return {
        "num_devices": point.num_devices,
        "rate_scale": point.rate_scale,
        "slo_scale": point.slo_scale,
        "cv_scale": point.cv_scale,
        "cost_per_hour": hourly_cost(resized_cluster(cluster, point.devices)),
        "slo_attainment": result.slo_attainment,
        "low": result.low,
        "high": result.high,
        "draws": list(result.draws),
        "num_requests": result.num_requests,
        "rate_rps": result.rate_rps,
        "goodput_rps": result.goodput_rps,
        "p50_s": result.p50_s,
        "p99_s": result.p99_s,
        "tokens": None if result.tokens is None else asdict(result.tokens),
        "missed": dict(result.missed),
        "models": {name: asdict(one) for name, one in result.models.items()},
        "bottleneck": None if result.bottleneck is None else asdict(result.bottleneck),
        "infeasible": result.infeasible,
        "num_evaluated": result.num_evaluated,
        "seconds": result.seconds,
    }


def plain_groups(result: Result) -> list[dict[str, Any]]:
    """The groups of the plan; none where there is no plan."""
    return [
        {
            "id": group.id,
            "devices": list(group.devices),
            "tensor": group.config.tensor,
            "pipeline": group.config.pipeline,
            "models": list(group.models),
            "utilisation": result.utilisations.get(group.id),
        }
        for group in (result.placement.groups if result.placement is not None else ())
    ]


def plain_try(one: Tried[Any]) -> dict[str, Any]:
    """What came of one try of a bisection, but not where it was."""
    return {
        "slo_attainment": one.result.slo_attainment,
        "low": one.result.low,
        "high": one.result.high,
        "holds": one.holds,
        "infeasible": one.result.infeasible,
        "seconds": one.result.seconds,
    }


def plain_size(size: Size, cluster: Cluster) -> dict[str, Any]:
    """Devices in all, hosts by node class (a fraction where a host is not whole), and what they cost."""
    return {
        "num_devices": sum(size.devices),
        "hosts": {
            node.name: _hosts(devices, node.devices_per_host)
            for node, devices in zip(cluster.nodes, size.devices, strict=True)
        },
        "cost_per_hour": hourly_cost(resized_cluster(cluster, size.devices)),
    }


def _hosts(num_devices: int, per_host: int) -> int | float:
    return num_devices / per_host if num_devices % per_host else num_devices // per_host


def is_estimated(deployment: Deployment) -> bool:
    """Whether numbers of the fleet rest on an estimated profile."""
    profiles = (model.profile for model in deployment.models)
    return any(one is not None and one.has_estimates for one in profiles)


def shown_share(share: float, *, asked: float | None, is_estimated: bool) -> str:
    """`98.64%`, with more digits where two would make a miss look met; with a tilde if it is an estimate."""
    looks_met = asked is not None and share < asked <= round(share, 4)
    digits = 5 if looks_met else 2
    return f"{'~' if is_estimated else ''}{share:.{digits}%}"
