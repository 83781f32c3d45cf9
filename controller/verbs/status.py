"""What a running fleet says of itself: groups, models, queues, attainment, and what is not as planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.life.fewer_devices import Fallback
from controller.life.members import GroupState, Member, Members
from controller.metrics import FleetMetrics
from controller.plan_facts import PlanFacts
from controller.server import FleetServer
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.steps import GiveUp


@dataclass(frozen=True, slots=True)
class Situation:
    """How its life goes. state: loading, ready, draining or stopped. fallback: run for want of devices."""

    state: str
    uptime_s: float
    is_converged: bool = False
    given_up: tuple[GiveUp, ...] = ()
    fallback: Fallback | None = None
    drained: tuple[str, ...] = ()
    journal_problem: str = ""


def status_of(
    deployment: Deployment,
    facts: PlanFacts,
    server: FleetServer,
    members: Members,
    metrics: FleetMetrics,
    situation: Situation,
    *,
    addresses: Mapping[str, str],
) -> dict[str, object]:
    """One JSON-able document; `docs/reference` describes its keys."""
    uptime_s = situation.uptime_s
    return {
        "fleet": deployment.name,
        "state": _state(situation, members),
        "is_ready": server.is_ready(),
        "is_converged": situation.is_converged,
        "uptime_s": round(uptime_s, 3),
        "engines": sorted({model.engine for model in deployment.models}),
        "endpoints": dict(addresses),
        "plan": {"id": facts.id, "algorithm": facts.algorithm},
        "num_pending": server.num_pending,
        "drained": list(situation.drained),
        "problems": _problems(situation, members),
        "groups": [_group(member, server, uptime_s) for member in members],
        "models": {
            model.name: _model(model, server, metrics, situation.fallback) for model in deployment.models
        },
    }


def _state(situation: Situation, members: Members) -> str:
    """Still ready where a lost group has replicas elsewhere, but worth a look."""
    is_short = situation.fallback is not None or situation.given_up
    is_degraded = is_short or any(_is_amiss(member) for member in members)
    return "degraded" if situation.state == "ready" and is_degraded else situation.state


def _is_amiss(member: Member) -> bool:
    """One that starts again is not there yet; one that a change of plan starts is not missed."""
    is_again = member.state is GroupState.STARTING and member.num_restarts > 0
    return is_again or member.state in (GroupState.LOST, GroupState.GIVEN_UP)


def _problems(situation: Situation, members: Members) -> list[str]:
    """Sentences for people, the worst first."""
    given_up = [f"group {one.group_id} was given up: {one.why}" for one in situation.given_up]
    lost = [
        f"group {member.group.id} is {member.state.value}: {member.why}"
        for member in members
        if _is_amiss(member) and member.state is not GroupState.GIVEN_UP
    ]
    fewer = [] if situation.fallback is None else [situation.fallback.sentence]
    journal = [f"the journal: {situation.journal_problem}"] if situation.journal_problem else []
    return given_up + lost + fewer + journal


def _group(member: Member, server: FleetServer, uptime_s: float) -> dict[str, object]:
    group, index = member.group, member.index
    beat = server.beat_of(index) if member.is_known else None
    busy_s = beat.stage_busy_s if beat else ()
    return {
        "id": group.id,
        "is_open": member.is_known and server.is_open(index),
        "state": member.state.value,
        "num_restarts": member.num_restarts,
        "why": member.why,
        "pid": member.started.pid if member.started is not None else None,
        "host": member.started.host if member.started is not None else "",
        "devices": list(group.devices),
        "tensor": group.config.tensor,
        "pipeline": group.config.pipeline,
        "models": list(group.models),
        "in_flight": server.in_flight_of(index) if member.is_known else 0,
        "waiting": beat.num_waiting if beat else 0,
        "running": beat.num_running if beat else 0,
        "num_recompiles": beat.num_recompiles if beat else 0,
        "stage_busy_s": [round(seconds, 3) for seconds in busy_s],
        "stage_utilisation": [round(seconds / uptime_s, 4) if uptime_s else 0.0 for seconds in busy_s],
    }


def _model(
    model: ModelSpec, server: FleetServer, metrics: FleetMetrics, fallback: Fallback | None
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
        "predicted_loss": _predicted_loss(name, fallback),
        "mean_latency_s": totals.served_s / totals.num_served if totals.num_served else None,
        "prediction_error_ratio": metrics.prediction_error(name),
        "stage_time_ratio": {
            server.groups[group_index].id: {"ratio": one.factor, "num_samples": one.num_samples}
            for (observed, group_index), one in server.corrections().items()
            if observed == name and group_index in server.groups
        },
    }


def _predicted_loss(model: str, fallback: Fallback | None) -> float:
    """How much SLO attainment the model is predicted to lose for want of devices."""
    losses = () if fallback is None else fallback.losses or ()
    return next((round(loss.before - loss.after, 6) for loss in losses if loss.model == model), 0.0)
