"""A plan as a document for programs and as tables for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from statmux.render import marked, milliseconds, percent, table
from vocabulary.estimates import estimated_models

if TYPE_CHECKING:
    from vocabulary.deployment import Deployment, ModelSpec
    from vocabulary.placement import Group
    from vocabulary.plan import Plan
    from vocabulary.trace import Trace

MIB = 2**20


def plan_document(
    plan: Plan,
    deployment: Deployment,
    trace: Trace,
    *,
    tested: dict[str, Any] | None,
    search_seconds: float,
    out: Path | None,
) -> dict[str, Any]:
    """`tested`: predictions for other traffic (`placement.explain.predict`), if there is any."""
    predicted: Any = plan.predicted
    rates = trace.counts() / trace.duration_s if trace.duration_s > 0 else trace.counts() * 0.0
    estimated = estimated_models(deployment, plan.placement)
    return {
        "deployment": deployment.name,
        "algorithm": plan.search["algorithm"],
        "slo_attainment": predicted["slo_attainment"],
        "slo_attainment_test": None if tested is None else tested["slo_attainment"],
        "estimated": bool(estimated),
        "search_seconds": search_seconds,
        "num_evaluated": plan.search["num_evaluated"],
        "is_complete": plan.search["is_complete"],
        "num_requests": predicted["num_requests"],
        "goodput_rps": predicted["goodput_rps"],
        "p50_s": predicted["p50_s"],
        "p99_s": predicted["p99_s"],
        "binding_constraints": list(plan.binding_constraints),
        "not_placed": sorted(set(deployment.model_names) - plan.placement.models),
        "groups": [_group(group, plan, deployment) for group in plan.placement.groups],
        "models": {
            model.name: _model(model, plan, tested, rate_rps=float(rates[index]))
            | {"estimated": model.name in estimated}
            for index, model in enumerate(deployment.models)
        },
        "inputs": dict(plan.inputs),
        "out": None if out is None else str(out),
    }


def plan_table(document: dict[str, Any]) -> str:
    """Header, groups, models, the binding constraint."""
    hashes = ", ".join(f"{name} {one['sha256'][:12]}" for name, one in document["inputs"].items())
    header = f"{document['deployment']} by {document['algorithm']} ({hashes})"
    found = f"{document['num_evaluated']} placements simulated in {document['search_seconds']:.3f} s"
    test = document["slo_attainment_test"]
    attained = f"SLO attainment {_attained(document['slo_attainment'], document)}"
    attained += "" if test is None else f", on other traffic {_attained(test, document)}"
    binding = "; ".join(document["binding_constraints"]) or "none: every request is in time"
    parts = [
        header,
        f"{attained}; {found}",
        _group_table(document["groups"]),
        _model_table(document["models"]),
        f"binding constraint: {binding}",
    ]
    return "\n\n".join(parts)


def _attained(share: float, document: dict[str, Any]) -> str | None:
    return marked(percent(share), is_estimated=document["estimated"])


def _group(group: Group, plan: Plan, deployment: Deployment) -> dict[str, Any]:
    devices = deployment.cluster.by_id()
    predicted: Any = plan.predicted["groups"]
    return {
        "id": group.id,
        "node": devices[group.devices[0]].node,
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


def _group_table(groups: list[dict[str, Any]]) -> str:
    rows = [
        (
            one["id"],
            one["node"],
            _span(one["devices"]),
            f"{one['tensor']} x {one['pipeline']}",
            len(one["models"]),
            f"{max(one['memory_bytes']) / MIB:,.0f} of {one['usable_bytes'] / MIB:,.0f}",
            percent(one["utilisation"]),
        )
        for one in groups
    ]
    return table(("group", "node", "devices", "mesh", "models", "MiB a device", "util"), rows, left=3)


def _model_table(models: dict[str, dict[str, Any]]) -> str:
    rows = [
        (
            name,
            one["rate_rps"],
            milliseconds(one["slo_s"]),
            one["replicas"],
            marked(percent(one["slo_attainment"]), is_estimated=one["estimated"]),
            marked(milliseconds(one["p99_s"]), is_estimated=one["estimated"]),
            one["bottleneck"],
        )
        for name, one in models.items()
    ]
    return table(("model", "rate /s", "SLO", "replicas", "predicted attainment", "p99", "bottleneck"), rows)


def _span(devices: list[str]) -> str:
    return devices[0] if len(devices) == 1 else f"{devices[0]} .. {devices[-1]}"
