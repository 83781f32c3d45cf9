"""What a placement is predicted to do, group by group and model by model, and what holds it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from placement.groups import Mesh
from placement.memory import NOWHERE, Memory
from vocabulary.deployment import Deployment
from vocabulary.outcomes import Outcomes, Statistics, kept_rows, statistics
from vocabulary.placement import Group, Placement
from vocabulary.units import format_bytes

# A share of missed requests below this is not worth a constraint.
NEGLIGIBLE = 1e-4


def predict(
    placement: Placement, outcomes: Outcomes, *, deployment: Deployment, trim_s: float = 0.0
) -> dict[str, Any]:
    """SLO attainment, latencies and goodput: of all requests, of every model, and how busy every group is."""
    rows = kept_rows(outcomes.trace, trim_s)
    memory = Memory(deployment, deployment.catalog())
    busy = utilisations(placement, outcomes, deployment)
    return {
        **statistics_row(statistics(outcomes, rows=rows)),
        "models": {
            name: {
                **statistics_row(statistics(outcomes, rows=rows, model_index=index)),
                "replicas": len(placement.holders(name)),
            }
            for index, name in enumerate(outcomes.trace.models)
        },
        "groups": {
            group.id: {
                "utilisation": share,
                "memory_bytes": memory.used(*_mesh_and_models(group, deployment)).tolist(),
            }
            for group, share in zip(placement.groups, busy, strict=True)
        },
    }


def statistics_row(found: Statistics) -> Mapping[str, Any]:
    """Statistics as plain values, by the names that documents and plan files use."""
    return {
        "slo_attainment": found.slo_attainment,
        "num_requests": found.num_requests,
        "goodput_rps": found.goodput_rps,
        "p50_s": found.p50_s,
        "p99_s": found.p99_s,
    }


def utilisations(placement: Placement, outcomes: Outcomes, deployment: Deployment) -> list[float]:
    """Share of the time that the busiest stage of each group works, with every request a batch of one."""
    catalog = deployment.catalog()
    index = {name: number for number, name in enumerate(outcomes.trace.models)}
    span_s = _span_s(outcomes)
    shares = []
    for number, group in enumerate(placement.groups):
        here = outcomes.served & (outcomes.group_index == number)
        counts = np.bincount(outcomes.trace.model_index[here], minlength=len(index))
        busy_s = np.zeros(group.config.pipeline)
        for model in group.models:
            busy_s += counts[index[model]] * np.array(catalog.costs(model, group.config).single)
        shares.append(float(busy_s.max() / span_s) if span_s > 0 else 0.0)
    return shares


def binding_constraints(
    placement: Placement, outcomes: Outcomes, *, deployment: Deployment
) -> tuple[str, ...]:
    """One sentence on what the model that misses most requests would need; none if nothing is missed."""
    missed = np.bincount(outcomes.trace.model_index[~outcomes.good], minlength=len(outcomes.trace.models))
    if not len(outcomes.trace) or missed.sum() <= NEGLIGIBLE * len(outcomes.trace):
        return ()
    model = int(missed.argmax())
    spec = deployment.models[model]
    asked = int(outcomes.trace.counts()[model])
    who = f"{spec.name} misses most, {int(missed[model])} of {asked} requests"
    num_replicas = len(placement.holders(spec.name))
    if spec.max_replicas is not None and num_replicas >= spec.max_replicas:
        return (f"replicas.max of {spec.name} ({spec.max_replicas}); {who}",)
    shortages = _shortages(placement, deployment, model)
    if shortages and min(shortages)[0] > 0:
        missing, stage, group = min(shortages)
        if missing >= NOWHERE // 2:
            return (f"parallelism of {spec.name}: no other group has a configuration it may use; {who}",)
        return (f"memory of stage {stage} on {group}: {format_bytes(missing)} short of a replica; {who}",)
    busy = utilisations(placement, outcomes, deployment)
    busiest = int(np.argmax(busy))
    return (f"stage time on {placement.groups[busiest].id}, {busy[busiest]:.0%} busy; {who}",)


def _shortages(placement: Placement, deployment: Deployment, model: int) -> list[tuple[int, int, str]]:
    """Of every group without the model: bytes missing for it (0 or less: it fits), on which stage, where."""
    memory = Memory(deployment, deployment.catalog())
    found = []
    for group in placement.groups:
        if deployment.models[model].name not in group.models:
            mesh, models = _mesh_and_models(group, deployment)
            total = memory.used(mesh, (*models, model))
            stage = int(total.argmax())
            found.append((int(total[stage]) - mesh.usable_bytes, stage, group.id))
    return found


def _span_s(outcomes: Outcomes) -> float:
    """From the first arrival to the last end."""
    arrival_s = outcomes.trace.arrival_s
    if not len(arrival_s):
        return 0.0
    last_s = outcomes.finish_s[outcomes.served].max(initial=float(arrival_s[-1]))
    return float(last_s - arrival_s[0])


def _mesh_and_models(group: Group, deployment: Deployment) -> tuple[Mesh, tuple[int, ...]]:
    devices = deployment.cluster.by_id()
    usable = min(deployment.cluster.usable_bytes(devices[device]) for device in group.devices)
    hosts = {devices[device].host for device in group.devices}
    index = {name: number for number, name in enumerate(deployment.model_names)}
    models = tuple(index[model] for model in group.models)
    return Mesh(group.devices, group.config, usable, len(hosts)), models
