"""Answers as one document, for programs, for `capacity.json` and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from placement.capacity.axes import DEVICES
from placement.capacity.bisection import Size
from placement.capacity.evaluate import Study, is_drawn
from placement.capacity.points import Point, hourly_cost, resized_cluster
from placement.capacity.results import Requirement, Result
from statmux.sweeping.answers import Answers, At, HeadRoom, Questions, Smallest, Tried
from vocabulary.deployment import Deployment
from vocabulary.mesh import Cluster
from vocabulary.placement import Placement

LABELS = {
    "devices": "devices",
    "rate_scale": "rate, as a multiple of the trace",
    "slo_scale": "SLO scale",
    "cv_scale": "burstiness, as a multiple of the trace's CV",
}


def capacity_document(
    answers: Answers, questions: Questions, study: Study, *, inputs: Mapping[str, Any], run_id: str
) -> dict[str, Any]:
    """Plain values only. The same for the same input, but for what is called `seconds` or `num_resumed`."""
    cluster = study.deployment.cluster
    trace = study.trace
    return {
        "kind": "CapacityRecord",
        "deployment": study.deployment.name,
        "run_id": run_id,
        "inputs": dict(inputs),
        "settings": _settings(questions, study),
        "provenance": _provenance(study.deployment),
        "versions": _versions(),
        "cluster": [asdict(node) for node in cluster.nodes],
        "traffic": {
            "num_requests": len(trace),
            "duration_s": trace.duration_s,
            "rate_rps": len(trace) / trace.duration_s if trace.duration_s > 0 else 0.0,
        },
        "curves": [{"name": curve.name, "algorithm": curve.algorithm} for curve in questions.curves],
        "verdict": verdict(answers.base, questions.requirement),
        "base": [
            {"curve": name, **_point(questions.base, result, cluster), "groups": _groups(result)}
            for name, result in answers.base.items()
        ],
        "sweeps": [_sweep(sweep.axis, answers, questions, study) for sweep in questions.sweeps],
        "head_room": [
            _head_room(name, found, answers.base[name], questions.requirement)
            for name, found in answers.head_room.items()
        ],
        "minimized": [_smallest(name, found, questions, study) for name, found in answers.smallest.items()]
        or None,
    }


def verdict(base: Mapping[str, Result], requirement: Requirement) -> dict[str, Any]:
    """Of the best curve at the base point: whether it holds, in one sentence."""
    name = max(base, key=lambda one: (requirement.holds(base[one]), base[one].slo_attainment))
    result = base[name]
    holds = requirement.holds(result)
    if result.infeasible is not None:
        sentence = f"does not hold: no plan for the base point ({result.infeasible})"
    else:
        says = "holds" if holds else "does not hold"
        sentence = f"{says}: {name} attains {result.slo_attainment:.2%}; asked: {requirement.sentence}"
    return {"holds": holds, "sentence": sentence, "curve": name}


def _settings(questions: Questions, study: Study) -> dict[str, Any]:
    requirement = questions.requirement
    return {
        "required_attainment": requirement.attainment,
        "required_of_models": dict(requirement.models),
        "requirement": requirement.sentence,
        "requirement_is_assumed": requirement.is_assumed,
        "is_replanned": questions.is_replanned,
        "num_seeds": study.num_draws,
        "seed": study.seed,
        "trim_s": study.trim_s,
        "is_resampled": study.is_drawn,
        "window_s": study.window_s,
        "objective": questions.objective,
        "resized_node_class": study.deployment.cluster.nodes[questions.resized].name,
        "interval": _interval(study),
    }


def _interval(study: Study) -> str:
    replayed = "a bootstrap of 40 windows of the replayed trace"
    if study.num_draws == 1:
        return f"95 %: {replayed}"
    return f"95 %: Student's t over {study.num_draws} draws where traffic is drawn, else {replayed}"


def _provenance(deployment: Deployment) -> dict[str, Any]:
    kinds = {m.name: m.profile.provenance.kind for m in deployment.models if m.profile is not None}
    return {"is_estimated": "estimated" in kinds.values(), "profiles": kinds}


def _versions() -> dict[str, str]:
    import platform

    import numpy as np

    from statmux.verbs.version import statmux_version

    return {"statmux": statmux_version(), "python": platform.python_version(), "numpy": np.__version__}


def _point(point: Point, result: Result, cluster: Cluster) -> dict[str, Any]:
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
        "missed": dict(result.missed),
        "models": {name: asdict(one) for name, one in result.models.items()},
        "bottleneck": None if result.bottleneck is None else asdict(result.bottleneck),
        "infeasible": result.infeasible,
        "num_evaluated": result.num_evaluated,
        "seconds": result.seconds,
    }


def _groups(result: Result) -> list[dict[str, Any]]:
    return [] if result.placement is None else _plain_groups(result.placement, result.utilisations)


def _plain_groups(placement: Placement, utilisations: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "id": group.id,
            "devices": list(group.devices),
            "tensor": group.config.tensor,
            "pipeline": group.config.pipeline,
            "models": list(group.models),
            "utilisation": utilisations.get(group.id),
        }
        for group in placement.groups
    ]


def _sweep(axis: str, answers: Answers, questions: Questions, study: Study) -> dict[str, Any]:
    is_replanned = questions.is_replanned or axis == DEVICES
    base_value = questions.base.at(axis)
    return {
        "axis": axis,
        "label": LABELS[axis],
        "unit": "",
        "base_value": 1.0 if base_value is None else base_value,
        "is_log": axis != DEVICES,
        "is_replanned": is_replanned,
        "note": _note(axis, answers, questions, study, is_replanned=is_replanned),
        "curves": [
            {"curve": name, "points": [_on_axis(axis, at, study) for at in points]}
            for name, points in answers.swept.get(axis, {}).items()
        ],
    }


def _on_axis(axis: str, at: At, study: Study) -> dict[str, Any]:
    return {"value": at.point.at(axis), **_point(at.point, at.result, study.deployment.cluster)}


def _note(axis: str, answers: Answers, questions: Questions, study: Study, *, is_replanned: bool) -> str:
    parts = ["a plan for every point" if is_replanned else "the plan of the base point at every point"]
    points = [at.point for one in answers.swept.get(axis, {}).values() for at in one]
    if any(is_drawn(study, point) for point in points):
        parts.append("arrivals drawn anew from the trace's rate and CV per window")
    elif axis == "rate_scale":
        parts.append("the same requests in less or more time, so with the same CV")
    nodes = study.deployment.cluster.nodes
    if axis == DEVICES and len(nodes) > 1:
        parts.append(f"nodes of {nodes[questions.resized].name} come and go, the others stay")
    return "; ".join(parts)


def _head_room(name: str, found: HeadRoom, base: Result, requirement: Requirement) -> dict[str, Any]:
    scale = found.rate_scale
    return {
        "curve": name,
        "rate_scale": scale,
        "rate_rps": None if scale is None else base.rate_rps * scale,
        "is_at_least": found.is_at_least,
        "required_attainment": requirement.attainment,
        "probes": [{"rate_scale": one.where, **_tried(one)} for one in found.tried],
    }


def _smallest(name: str, found: Smallest, questions: Questions, study: Study) -> dict[str, Any]:
    assert questions.objective is not None
    chosen = max(found.tried, key=lambda one: (one.result.slo_attainment, -one.where.price))
    if found.best is not None:
        chosen = next(one for one in found.tried if one.where == found.best)
    cluster = study.deployment.cluster
    placement = chosen.result.placement if found.best is not None else None
    return {
        "curve": name,
        "objective": questions.objective,
        "required_attainment": questions.requirement.attainment,
        "is_met": found.best is not None,
        **_size(chosen.where, cluster),
        "slo_attainment": chosen.result.slo_attainment,
        "is_monotone": found.is_monotone,
        "sentence": _sentence(found, chosen, questions, cluster),
        "remedy": None if found.best is not None else _remedy(chosen),
        "plan": None
        if placement is None
        else {"groups": _plain_groups(placement, chosen.result.utilisations)},
        "probes": [
            {
                "order": order,
                **_size(one.where, cluster),
                **_tried(one),
                "is_confirmation": one.is_confirmation,
            }
            for order, one in enumerate(found.tried, start=1)
        ],
    }


def _tried(one: Tried[Any]) -> dict[str, Any]:
    return {
        "slo_attainment": one.result.slo_attainment,
        "low": one.result.low,
        "high": one.result.high,
        "holds": one.holds,
        "infeasible": one.result.infeasible,
        "seconds": one.result.seconds,
    }


def _size(size: Size, cluster: Cluster) -> dict[str, Any]:
    return {
        "num_devices": sum(size.devices),
        "hosts": {
            node.name: devices / node.devices_per_host
            if devices % node.devices_per_host
            else devices // node.devices_per_host
            for node, devices in zip(cluster.nodes, size.devices, strict=True)
        },
        "cost_per_hour": hourly_cost(resized_cluster(cluster, size.devices)),
    }


def _sentence(found: Smallest, chosen: Tried[Size], questions: Questions, cluster: Cluster) -> str:
    size = _size(chosen.where, cluster)
    hosts = ", ".join(f"{count:g} x {name}" for name, count in size["hosts"].items() if count)
    cost = "" if size["cost_per_hour"] is None else f", {size['cost_per_hour']:g} an hour"
    what = f"{size['num_devices']} devices ({hosts}{cost})"
    if found.best is None:
        attained = f"the best, {what}, attains {chosen.result.slo_attainment:.2%}"
        return f"no cluster in the range holds {questions.requirement.sentence}; {attained}"
    word = "cheapest" if questions.objective == "cost" else "fewest"
    warning = "" if found.is_monotone else "; a larger one failed, so leave some room"
    return f"{what} are the {word} that hold, with {chosen.result.slo_attainment:.2%}{warning}"


def _remedy(nearest: Tried[Size]) -> str:
    why = nearest.result.infeasible
    if why is None and nearest.result.bottleneck is not None:
        why = nearest.result.bottleneck.sentence
    binding = f" ({why})" if why else ""
    return f"look at more devices with --within LO..HI, loosen SLOs, or ask for less{binding}"
