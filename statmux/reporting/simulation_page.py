"""The report of one simulation: the page of a capacity study with a single point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from placement.explain import binding_constraints, utilisations
from statmux.reporting.capacity_page import capacity_page
from statmux.reporting.comparison_sections import comparison_part
from statmux.reporting.evidence import evidence
from statmux.reporting.record import Rows
from statmux.reporting.timeline import generating
from vocabulary.deployment import Deployment
from vocabulary.estimates import estimated_models
from vocabulary.outcomes import FATES, Outcomes
from vocabulary.placement import Placement

_CURVE = "this plan"


def simulation_page(
    document: Mapping[str, Any],
    outcomes: Outcomes,
    placement: Placement,
    deployment: Deployment,
    *,
    measured: Outcomes | None = None,
) -> str:
    """`document` is what `statmux simulate` prints, alone or beside a record; `measured` are its outcomes.

    A self-contained HTML page, as `capacity_page`.
    """
    # Beside a record the simulation is a part of the document, with its own intervals.
    found = document["simulated"] if measured is not None else document
    trace = outcomes.trace
    part = {
        "deployment": deployment.name,
        "verdict": _verdict(found, measured is not None),
        "settings": _settings(found, deployment),
        "provenance": _provenance(deployment, placement),
        "cluster": [asdict(node) for node in deployment.cluster.nodes],
        "traffic": {
            "num_requests": len(trace),
            "duration_s": trace.duration_s,
            "rate_rps": len(trace) / trace.duration_s if trace.duration_s > 0 else 0.0,
        },
        "base": [_base(found, outcomes, placement, deployment)],
        "sweeps": [],
        "head_room": [],
        "minimized": None,
        "versions": _versions(),
        "evidence": evidence(outcomes, placement, deployment),
    }
    if measured is not None:
        part["comparison"] = comparison_part(rows_of(measured), rows_of(outcomes), trace.models)
    return capacity_page(part)


def rows_of(outcomes: Outcomes) -> Rows:
    """Outcomes in the shape of a record's file."""
    import numpy as np

    trace = outcomes.trace
    reasons = np.array(["" if fate.value == "served" else fate.value for fate in FATES])
    return Rows(
        model=np.array(trace.models)[trace.model_index],
        arrival_s=trace.arrival_s,
        latency_s=outcomes.latency_s,
        good=outcomes.good,
        reason=reasons[outcomes.fate],
    )


def _verdict(found: Mapping[str, Any], is_compared: bool) -> dict[str, Any]:
    beside = ", beside a live run" * is_compared
    sentence = f"{found['slo_attainment']:.2%} of {found['num_requests']} requests within their SLO{beside}"
    return {"holds": None, "sentence": sentence, "curve": _CURVE}


def _settings(found: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    settings = {"required_attainment": None, "requirement": "", "seed": deployment.seed, "num_seeds": 1}
    if "confidence" in found:
        settings["interval"] = (
            f"95 %: a bootstrap of {found['num_resamples']} resamples of the trace's windows"
        )
    return settings


def _provenance(deployment: Deployment, placement: Placement) -> dict[str, Any]:
    kinds = {m.name: m.profile.provenance.kind for m in deployment.models if m.profile is not None}
    return {"is_estimated": bool(estimated_models(deployment, placement)), "profiles": kinds}


def _versions() -> dict[str, str]:
    import platform

    import numpy as np

    from statmux.verbs.version import statmux_version

    return {"statmux": statmux_version(), "python": platform.python_version(), "numpy": np.__version__}


def _base(
    found: Mapping[str, Any], outcomes: Outcomes, placement: Placement, deployment: Deployment
) -> dict[str, Any]:
    interval = found.get("confidence", {}).get("slo_attainment") or {"low": None, "high": None}
    late = {"late": found["num_late"]} if found["num_late"] else {}
    return {
        "curve": _CURVE,
        "slo_attainment": found["slo_attainment"],
        "low": interval["low"],
        "high": interval["high"],
        "goodput_rps": found["goodput_rps"],
        "p50_s": found["p50_s"],
        "p99_s": found["p99_s"],
        "missed": {**found["rejections"], **late},
        "models": found["models"],
        "infeasible": None,
        "groups": [],
        "bottleneck": _bottleneck(outcomes, placement, deployment),
    }


def _bottleneck(outcomes: Outcomes, placement: Placement, deployment: Deployment) -> dict[str, Any] | None:
    busy = utilisations(placement, outcomes, deployment)
    # Steps of many requests at once are no work of single ones.
    if not busy or not len(outcomes.trace) or generating(outcomes):
        return None
    most = max(range(len(busy)), key=busy.__getitem__)
    sentences = binding_constraints(placement, outcomes, deployment=deployment)
    return {
        "group": placement.groups[most].id,
        "utilisation": busy[most],
        "sentence": "; ".join(sentences) or "nothing binds: every request is in time",
    }
