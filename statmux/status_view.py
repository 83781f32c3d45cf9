"""The state of a fleet as people read it."""

from __future__ import annotations

from typing import Any

from statmux.render import milliseconds, percent, table

_GROUP_HEADINGS = (
    "group", "from", "devices", "tensor", "pipeline", "state", "restarts", "in flight", "waiting", "busiest",
    "models",
)  # fmt: skip
# The last two: observed over predicted finish, and lone batches over their profile (1.1: a tenth slower).
_MODEL_HEADINGS = (
    "model", "engine", "state", "served", "not served", "attainment", "mean", "of predicted", "of profile",
)  # fmt: skip


def status_text(document: dict[str, Any], *, model: str | None = None) -> str:
    """Head line, what is amiss, groups, models. model: only this one, and the groups that hold it."""
    groups = [one for one in document["groups"] if model is None or model in one["models"]]
    models = {name: one for name, one in document["models"].items() if model in (None, name)}
    lines = [_head(document), *(f"! {one}" for one in document.get("problems", ())), *_moving(document)]
    lines += [f"drained: {', '.join(document['drained'])}"] if document.get("drained") else []
    lines += ["", table(_GROUP_HEADINGS, [_group(one) for one in groups], left=2)]
    lines += ["", table(_MODEL_HEADINGS, [_model(name, one) for name, one in models.items()], left=3)]
    return "\n".join(lines)


def _head(document: dict[str, Any]) -> str:
    engines = f" ({' and '.join(document['engines'])})" if "emulated" in document["engines"] else ""
    return (
        f"{document['fleet']} is {document['state']}{engines}, up {document['uptime_s']:.0f} s, "
        f"{document['num_pending']} requests in flight, {_endpoints(document['endpoints'])}"
    )


def _moving(document: dict[str, Any]) -> list[str]:
    is_moving = document["state"] in ("ready", "degraded") and not document.get("is_converged", True)
    return ["it is on its way to what is wanted of it"] if is_moving else []


def _group(group: dict[str, Any]) -> list[object]:
    state = group.get("state") or ("open" if group["is_open"] else "closed")
    return [
        group["id"], group["devices"][0], len(group["devices"]), group["tensor"], group["pipeline"], state,
        group.get("num_restarts", 0), group["in_flight"], group["waiting"],
        percent(max(group["stage_utilisation"], default=0.0)), ", ".join(group["models"]),
    ]  # fmt: skip


def _model(name: str, one: dict[str, Any]) -> list[object]:
    return [
        name, one["engine"], one["state"], one["num_served"], one["num_failed"],
        percent(one["slo_attainment"]), milliseconds(one["mean_latency_s"]), one["prediction_error_ratio"],
        _stage_ratio(one["stage_time_ratio"]),
    ]  # fmt: skip


def _endpoints(addresses: dict[str, str]) -> str:
    http = f", HTTP http://{addresses['http']}/v1" if "http" in addresses else ""
    return f"gRPC {addresses['grpc']}{http}"


def _stage_ratio(by_group: dict[str, dict[str, float]]) -> str | None:
    """Over the groups that hold the model, from the least to the most."""
    ratios = sorted(one["ratio"] for one in by_group.values())
    if not ratios:
        return None
    low, high = f"{ratios[0]:.2f}", f"{ratios[-1]:.2f}"
    return low if low == high else f"{low} to {high}"
