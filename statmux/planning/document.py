"""A plan as a document for programs: what `statmux plan -o json` prints, key by key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from statmux.planning.bounding import UNASKED
from vocabulary.estimates import estimated_models

if TYPE_CHECKING:
    from placement.search import Found
    from vocabulary.deployment import Deployment, ModelSpec
    from vocabulary.placement import Group
    from vocabulary.plan import Plan
    from vocabulary.trace import Trace


def plan_document(
    plan: Plan,
    deployment: Deployment,
    trace: Trace,
    *,
    tested: dict[str, Any] | None,
    found: Found,
    out: Path | None,
) -> dict[str, Any]:
    """`tested`: predictions for other traffic (`placement.explain.predict`), if there is any.

    What was not asked for (bounds, explanations, moves) is None; who knows it replaces it.
    """
    predicted: Any = plan.predicted
    rates = trace.counts() / trace.duration_s if trace.duration_s > 0 else trace.counts() * 0.0
    estimated = estimated_models(deployment, plan.placement)
    return {
        "deployment": deployment.name,
        "algorithm": found.algorithm,
        "objective": deployment.objective,
        "slo_attainment": predicted["slo_attainment"],
        "slo_attainment_test": None if tested is None else tested["slo_attainment"],
        "overfit_gap": found.overfit_gap,
        "judged_value": found.judged_value,
        **UNASKED,
        "estimated": bool(estimated),
        "search_seconds": found.seconds,
        "num_evaluated": found.num_evaluated,
        "evaluations_per_second": found.evaluations_per_second,
        "candidate_requests_per_second": found.candidate_requests_per_second,
        "is_complete": found.is_complete,
        "num_requests": predicted["num_requests"],
        "goodput_rps": predicted["goodput_rps"],
        "p50_s": predicted["p50_s"],
        "p99_s": predicted["p99_s"],
        "binding_constraints": list(plan.binding_constraints),
        "relaxations": None,
        "not_placed": sorted(set(deployment.model_names) - plan.placement.models),
        "num_devices": sum(len(group.devices) for group in plan.placement.groups),
        "groups": [_group(group, plan, deployment) for group in plan.placement.groups],
        "models": {
            model.name: _model(model, plan, tested, rate_rps=float(rates[index]))
            | {"estimated": model.name in estimated}
            for index, model in enumerate(deployment.models)
        },
        "minimised": None,
        "explanations": None,
        "difference": None,
        "replan": None,
        "inputs": dict(plan.inputs),
        "out": None if out is None else str(out),
        "plot": None,
        "next": None,
    }


def _group(group: Group, plan: Plan, deployment: Deployment) -> dict[str, Any]:
    devices = deployment.cluster.by_id()
    predicted: Any = plan.predicted["groups"]
    return {
        "id": group.id,
        "node": devices[group.devices[0]].node,
        "device_type": devices[group.devices[0]].device_type,
        "devices": list(group.devices),
        "tensor": group.config.tensor,
        "pipeline": group.config.pipeline,
        "models": list(group.models),
        "memory_bytes": predicted[group.id]["memory_bytes"],
        "usable_bytes": min(deployment.cluster.usable_bytes(devices[device]) for device in group.devices),
        "utilisation": predicted[group.id]["utilisation"],
    }


def _model(model: ModelSpec, plan: Plan, tested: dict[str, Any] | None, *, rate_rps: float) -> dict[str, Any]:
    predicted: Any = plan.predicted
    holders = [plan.placement.groups[index].id for index in plan.placement.holders(model.name)]
    busiest = max(holders, key=lambda group: predicted["groups"][group]["utilisation"], default=None)
    return {
        "rate_rps": rate_rps,
        "slo_s": model.slo.latency_s,
        "attainment_wanted": model.slo.attainment,
        **predicted["models"][model.name],
        "slo_attainment_test": None if tested is None else tested["models"][model.name]["slo_attainment"],
        "groups": holders,
        "bottleneck": busiest,
        "provenance": model.profile.provenance.kind if model.profile is not None else None,
    }
