"""What a placement is predicted to do, group by group and model by model, and what holds it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from placement.memory import Memory
from placement.why import candidate_of
from placement.why_missed import binding, relaxations
from vocabulary.deployment import Deployment
from vocabulary.outcomes import Outcomes, Statistics, kept_rows, statistics
from vocabulary.placement import Placement


def predict(
    placement: Placement, outcomes: Outcomes, *, deployment: Deployment, trim_s: float = 0.0
) -> dict[str, Any]:
    """SLO attainment, latencies and goodput: of all requests, of every model, and how busy every group is."""
    rows = kept_rows(outcomes.trace, trim_s)
    memory = Memory(deployment, deployment.catalog())
    busy = utilisations(placement, outcomes, deployment)
    there = candidate_of(placement, deployment)
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
                "memory_bytes": memory.used(mesh, models).tolist(),
            }
            for group, mesh, models, share in zip(
                placement.groups, there.layout, there.content, busy, strict=True
            )
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
    shares: list[float] = []
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
    """One sentence on what the model that misses most requests would need, found by simulating it.

    Further ones for models whose SLO nothing can meet; none if nothing is missed.
    """
    return binding(relaxations(placement, outcomes, deployment=deployment))


def _span_s(outcomes: Outcomes) -> float:
    """From the first arrival to the last end."""
    arrival_s = outcomes.trace.arrival_s
    if not len(arrival_s):
        return 0.0
    last_s = outcomes.finish_s[outcomes.served].max(initial=float(arrival_s[-1]))
    return float(last_s - arrival_s[0])
