"""What a report shows beside the numbers: placement, latency curves, a timeline, reasons, provenance.

Plain values only, small enough for a document, whatever the length of the trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from placement.explain import predict
from statmux.reporting.timeline import timeline
from vocabulary.deployment import Deployment
from vocabulary.outcomes import FATES, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate

_CURVE_POINTS = 120
LATE = "late"


def evidence(
    outcomes: Outcomes, placement: Placement, deployment: Deployment, *, num_windows: int = 60
) -> dict[str, Any]:
    """Parts `placement`, `cdf`, `timeline`, `reasons` and `provenance` of a document, for `capacity_page`.

    The trace of the outcomes is aligned to the models of the deployment.
    """
    return {
        "placement": placement_part(outcomes, placement, deployment),
        "cdf": cdf_part(outcomes, deployment),
        "timeline": timeline(outcomes, placement, deployment, num_windows=num_windows),
        "reasons": reasons_part(outcomes),
        "provenance": provenance_part(deployment),
    }


def placement_part(outcomes: Outcomes, placement: Placement, deployment: Deployment) -> dict[str, Any]:
    """Every group with how busy it was and what each device of a stage holds; what every device could."""
    found = predict(placement, outcomes, deployment=deployment)["groups"]
    cluster = deployment.cluster
    groups = [
        {
            "id": group.id,
            "devices": list(group.devices),
            "tensor": group.config.tensor,
            "pipeline": group.config.pipeline,
            "models": list(group.models),
            "utilisation": found[group.id]["utilisation"],
            "memory_bytes": found[group.id]["memory_bytes"],
        }
        for group in placement.groups
    ]
    usable = {device.id: cluster.usable_bytes(device) for device in cluster.devices}
    return {"groups": groups, "usable_bytes": usable}


def cdf_part(outcomes: Outcomes, deployment: Deployment) -> dict[str, Any]:
    """Of each model: the share of all its requests served within a latency; refused ones never are."""
    parts = {}
    latency_s = outcomes.latency_s
    for index, model in enumerate(deployment.models):
        mine = outcomes.trace.model_index == index
        slo_s = model.slo.latency_s
        parts[model.name] = {"slo_s": slo_s, **latency_curve(latency_s[mine], outcomes.good[mine])}
    return parts


def latency_curve(latency_s: NDArray[np.float64], good: NDArray[np.bool_]) -> dict[str, Any]:
    """latency_s: NaN where a request was not served. The curve ends below 1 where some were not."""
    served_s = np.sort(latency_s[~np.isnan(latency_s)])
    keep = np.unique(np.linspace(0, max(len(served_s) - 1, 0), min(len(served_s), _CURVE_POINTS)).astype(int))
    share = (keep + 1) / max(len(latency_s), 1)
    return {
        "num_requests": len(latency_s),
        "num_served": len(served_s),
        "slo_attainment": float(good.mean()) if len(good) else 1.0,
        "latency_s": [float(f"{value:.6g}") for value in served_s[keep].tolist()],
        "share": [round(value, 6) for value in share.tolist()],
    }


def reasons_part(outcomes: Outcomes) -> dict[str, dict[str, int]]:
    """Reason -> model -> requests that were not served, or served late."""
    num_models = len(outcomes.trace.models)
    masks = {fate.value: outcomes.fate == code for code, fate in enumerate(FATES) if fate is not Fate.SERVED}
    masks[LATE] = outcomes.served & ~outcomes.good
    parts = {}
    for reason, mask in masks.items():
        counts = np.bincount(outcomes.trace.model_index[mask], minlength=num_models).tolist()
        by_model = {name: n for name, n in zip(outcomes.trace.models, counts, strict=True) if n}
        if by_model:
            parts[reason] = by_model
    return parts


def provenance_part(deployment: Deployment) -> dict[str, Any]:
    """Where the costs of every model come from, and the policies that were simulated."""
    policy, latency = deployment.policy, deployment.latency
    return {
        "profiles": {
            model.name: {
                "kind": model.profile.provenance.kind,
                "note": model.profile.provenance.note,
                "device_type": model.profile.device_type,
            }
            for model in deployment.models
            if model.profile is not None
        },
        "policy": f"router {policy.router}, queue {policy.queue}, admission {policy.admission}, "
        f"batching {policy.batching}",
        "fixed_overhead_s": latency.fixed_overhead_s,
        "stage_scale_per_stage": latency.stage_scale_per_stage,
    }
