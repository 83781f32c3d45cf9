"""The one document that the live page reads. All of it is as of now or since the start: no windows are kept.

The page takes differences of successive documents, so its rates and quantiles are those of the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.front.words import Totals
from controller.live.counts import Buckets, Counts, ModelCounts
from controller.metrics import Judged
from vocabulary.deployment import Deployment, ModelSpec

# Counted up when a key changes its meaning or goes; new keys may come.
SCHEMA_VERSION = 1
_NOTHING = ModelCounts()


@dataclass(frozen=True, slots=True)
class Now:
    """What is true at this moment. started_unix_s: of this controller, by which a page tells it from one
    before it. judged: of each model, here; elsewhere: in further front ends."""

    unix_s: float
    started_unix_s: float
    version: str
    judged: Mapping[str, Judged]
    elsewhere: Mapping[str, Totals]


def document_of(
    status: Mapping[str, Any],
    deployment: Deployment,
    counts: Counts,
    *,
    now: Now,
    nodes: Sequence[Mapping[str, Any]],
    decisions: Mapping[str, Any],
) -> dict[str, Any]:
    """status: as `statmux status` shows it. `docs/how-to/live-page.md` describes the keys."""
    unknown = counts.models.get("", _NOTHING)
    return {
        "schema_version": SCHEMA_VERSION,
        "version": now.version,
        "unix_s": round(now.unix_s, 3),
        "started_unix_s": round(now.started_unix_s, 3),
        **{key: value for key, value in status.items() if key not in ("models", "front_ends")},
        "covers": _covers(status),
        "bounds": {name: list(bounds) for name, bounds in counts.bounds.items()},
        "nodes": [_node(node, counts) for node in nodes],
        "models": {
            model.name: _model(model, status, counts.models.get(model.name, _NOTHING), now)
            for model in deployment.models
            if model.name in status["models"]
        },
        "unknown_model": {"answered": unknown.answered, "rejected": unknown.rejected},
        "decisions": dict(decisions),
    }


def _node(node: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
    """With what workers say of each device, where they do."""
    devices = [{**device, **counts.devices.get(device["id"], {})} for device in node["devices"]]
    return {**node, "devices": devices}


def _covers(status: Mapping[str, Any]) -> dict[str, Any]:
    """num_front_ends: that answer calls. Of further ones totals and attainment are known, no more."""
    further = status.get("front_ends", [])
    return {"num_front_ends": 1 + len(further), "front_ends": further}


def _model(spec: ModelSpec, status: Mapping[str, Any], counts: ModelCounts, now: Now) -> dict[str, Any]:
    told = status["models"][spec.name]
    elsewhere = now.elsewhere.get(spec.name, Totals())
    judged = now.judged.get(spec.name, Judged()) + elsewhere.judged
    groups = [group for group in status["groups"] if spec.name in group["models"]]
    return {
        "state": told["state"],
        "reason": told["reason"],
        "engine": told["engine"],
        "generates": told["generates"],
        "is_on_demand": spec.on_demand.is_enabled,
        "predicted_loss": told["predicted_loss"],
        "objectives": {
            "latency_s": spec.slo.latency_s, "ttft_s": spec.slo.ttft_s, "tpot_s": spec.slo.tpot_s
        },
        "target_attainment": spec.slo.attainment,
        "predicted_attainment": counts.predicted_attainment,
        "expected_rps": None if spec.workload is None else spec.workload.rate_rps,
        "groups": [group["id"] for group in groups],
        "waiting": counts.waiting,
        "running": counts.running,
        "counts": {
            "answered": counts.answered + elsewhere.num_served + elsewhere.num_failed,
            "served": counts.served + elsewhere.num_served,
            "met": judged.num_met,
            "missed": judged.num_missed,
            "retried": counts.retried,
            "output_tokens": counts.output_tokens,
            "rejected": counts.rejected,
            "objectives": counts.objectives,
        },
        "histograms": {name: _buckets(one) for name, one in counts.histograms.items()},
    }  # fmt: skip


def _buckets(one: Buckets) -> dict[str, Any]:
    return {"buckets": one.counts, "sum": one.sum}
