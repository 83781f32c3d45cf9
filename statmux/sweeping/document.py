"""Answers as one document, for programs, for `capacity.json` and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from placement.capacity.axes import DEVICES
from placement.capacity.evaluate import Study, is_drawn, plans_on_what_it_serves
from placement.capacity.results import Requirement, Result
from statmux.sweeping.answers import Answers, At, HeadRoom, Questions
from statmux.sweeping.evidence import plain_smallest
from statmux.sweeping.plain import is_estimated, plain_groups, plain_point, plain_try, shown_share
from vocabulary.deployment import Deployment

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
        "verdict": _verdict(answers.base, questions.requirement, study.deployment),
        "base": [
            {"curve": name, **plain_point(questions.base, result, cluster), "groups": plain_groups(result)}
            for name, result in answers.base.items()
        ],
        "sweeps": [_sweep(sweep.axis, answers, questions, study) for sweep in questions.sweeps],
        "head_room": [
            _head_room(name, found, answers.base[name], questions.requirement)
            for name, found in answers.head_room.items()
        ],
        "minimized": [
            plain_smallest(name, found, questions, study) for name, found in answers.smallest.items()
        ]
        or None,
    }


def _verdict(base: Mapping[str, Result], requirement: Requirement, deployment: Deployment) -> dict[str, Any]:
    """Of the best curve at the base point: whether it holds, in one sentence."""
    name = max(base, key=lambda one: (requirement.holds(base[one]), base[one].slo_attainment))
    result = base[name]
    holds = requirement.holds(result)
    if result.infeasible is not None:
        sentence = f"does not hold: no plan for the base point ({result.infeasible})"
    else:
        says = "holds" if holds else "does not hold"
        share = shown_share(
            result.slo_attainment, asked=requirement.attainment, is_estimated=is_estimated(deployment)
        )
        sentence = (
            f"{says}: {name} attains {share}; asked: {requirement.sentence}{_doubt(result, requirement)}"
        )
    return {"holds": holds, "sentence": sentence, "curve": name}


def _doubt(result: Result, requirement: Requirement) -> str:
    """The verdict is about the traffic given; with other traffic of its kind it might be another."""
    asked = requirement.attainment
    if asked is None or result.low is None or result.high is None or not result.low < asked <= result.high:
        return ""
    return f"; close: the interval is {result.low:.2%} to {result.high:.2%}"


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
        "plans_on_what_it_serves": questions.has_plans and plans_on_what_it_serves(study),
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
    return {"is_estimated": is_estimated(deployment), "profiles": kinds}


def _versions() -> dict[str, str]:
    import platform

    import numpy as np

    from statmux.verbs.version import statmux_version

    return {"statmux": statmux_version(), "python": platform.python_version(), "numpy": np.__version__}


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
    return {"value": at.point.at(axis), **plain_point(at.point, at.result, study.deployment.cluster)}


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
        "probes": [{"rate_scale": one.where, **plain_try(one)} for one in found.tried],
    }
