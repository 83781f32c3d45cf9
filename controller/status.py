"""What a running fleet says of itself: groups, models, queues, attainment so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.metrics import FleetMetrics
from controller.plan_facts import PlanFacts
from controller.ray_nouns import StartedGroup
from controller.server import FleetServer
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.placement import Placement


def status_of(
    deployment: Deployment,
    placement: Placement,
    facts: PlanFacts,
    server: FleetServer,
    metrics: FleetMetrics,
    *,
    addresses: Mapping[str, str],
    started: Sequence[StartedGroup],
    state: str,
    uptime_s: float,
) -> dict[str, object]:
    """One JSON-able document; `docs/reference` describes its keys."""
    return {
        "fleet": deployment.name,
        "state": _state(state, server, len(placement.groups)),
        "is_ready": server.is_ready(),
        "uptime_s": round(uptime_s, 3),
        "engines": sorted({model.engine for model in deployment.models}),
        "endpoints": dict(addresses),
        "plan": {"id": facts.id, "algorithm": facts.algorithm},
        "num_pending": server.num_pending,
        "groups": [
            _group(index, placement, server, started, uptime_s) for index in range(len(placement.groups))
        ],
        "models": {model.name: _model(model, placement, server, metrics) for model in deployment.models},
    }


def _state(state: str, server: FleetServer, num_groups: int) -> str:
    """Still ready where a lost group has replicas elsewhere, but worth a look."""
    is_whole = all(server.is_open(index) for index in range(num_groups))
    return state if is_whole or state != "ready" else "degraded"


def _group(
    index: int, placement: Placement, server: FleetServer, started: Sequence[StartedGroup], uptime_s: float
) -> dict[str, object]:
    group, beat = placement.groups[index], server.beat_of(index)
    busy_s = beat.stage_busy_s if beat else ()
    return {
        "id": group.id,
        "is_open": server.is_open(index),
        "pid": started[index].pid if index < len(started) else None,
        "devices": list(group.devices),
        "tensor": group.config.tensor,
        "pipeline": group.config.pipeline,
        "models": list(group.models),
        "in_flight": server.in_flight_of(index),
        "waiting": beat.num_waiting if beat else 0,
        "running": beat.num_running if beat else 0,
        "num_recompiles": beat.num_recompiles if beat else 0,
        "stage_busy_s": [round(seconds, 3) for seconds in busy_s],
        "stage_utilisation": [round(seconds / uptime_s, 4) if uptime_s else 0.0 for seconds in busy_s],
    }


def _model(
    model: ModelSpec, placement: Placement, server: FleetServer, metrics: FleetMetrics
) -> dict[str, object]:
    name = model.name
    view, totals = server.models()[name], metrics.statistics(name)
    return {
        "engine": model.engine,
        "generates": view.generation is not None,
        "state": view.state.value,
        "reason": view.state_reason,
        "num_served": totals.num_served,
        "num_failed": totals.num_failed,
        "slo_attainment": metrics.attainment(name),
        "mean_latency_s": totals.served_s / totals.num_served if totals.num_served else None,
        "prediction_error_ratio": metrics.prediction_error(name),
        "stage_time_ratio": {
            placement.groups[group_index].id: {"ratio": one.factor, "num_samples": one.num_samples}
            for (observed, group_index), one in server.corrections().items()
            if observed == name
        },
    }
