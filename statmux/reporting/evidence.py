"""What a report shows beside the numbers: placement, latency curves, a timeline, reasons, provenance.

Plain values only, small enough for a document, whatever the length of the trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from placement.explain import predict
from statmux.reporting.timeline import generating, timeline
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
    cluster, emitting = deployment.cluster, generating(outcomes)
    groups = [
        {
            "id": group.id,
            "devices": list(group.devices),
            "tensor": group.config.tensor,
            "pipeline": group.config.pipeline,
            "models": list(group.models),
            "utilisation": None if emitting & set(group.models) else found[group.id]["utilisation"],
            "memory_bytes": found[group.id]["memory_bytes"],
        }
        for group in placement.groups
    ]
    usable = {device.id: cluster.usable_bytes(device) for device in cluster.devices}
    return {"groups": groups, "usable_bytes": usable}


def cdf_part(outcomes: Outcomes, deployment: Deployment) -> dict[str, Any]:
    """Of each model: the share of all its requests served within a latency; refused ones never are.

    Of one that generates also `ttft` and `tpot`, over all its requests too.
    """
    parts: dict[str, Any] = {}
    latency_s, ttft_s, tpot_s = outcomes.latency_s, outcomes.ttft_s, outcomes.tpot_s
    emitting = generating(outcomes)
    for index, model in enumerate(deployment.models):
        mine = outcomes.trace.model_index == index
        slo_s = model.slo.latency_s
        part = {"slo_s": slo_s, **latency_curve(latency_s[mine], outcomes.good[mine])}
        if model.name in emitting:
            part["ttft"] = {"slo_s": model.slo.ttft_s, **_curve(ttft_s[mine])}
            part["tpot"] = {"slo_s": model.slo.tpot_s, **_curve(tpot_s[mine])}
        parts[model.name] = part
    return parts


def latency_curve(latency_s: NDArray[np.float64], good: NDArray[np.bool_]) -> dict[str, Any]:
    """latency_s: NaN where a request was not served. The curve ends below 1 where some were not."""
    return {
        "num_requests": len(latency_s),
        "num_served": int(np.isfinite(latency_s).sum()),
        "slo_attainment": float(good.mean()) if len(good) else 1.0,
        **_curve(latency_s),
    }


def _curve(times_s: NDArray[np.float64]) -> dict[str, list[float]]:
    """`latency_s` ascending, and the share of all that came so soon."""
    came_s = np.sort(times_s[np.isfinite(times_s)])
    keep = np.unique(np.linspace(0, max(len(came_s) - 1, 0), min(len(came_s), _CURVE_POINTS)).astype(int))
    share = (keep + 1) / max(len(times_s), 1)
    return {
        "latency_s": [float(f"{value:.6g}") for value in came_s[keep].tolist()],
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
