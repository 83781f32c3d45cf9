"""How load went over time: arrivals, misses, requests that wait or run, and how busy every stage was.

Outcomes say when a request ended, not when each stage had it: its stages are taken to have followed one
another without a gap, one request a batch. A stage's total work is exact so, its place in time nearly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabulary.deployment import Deployment
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement

Times = NDArray[np.float64]


def timeline(
    outcomes: Outcomes, placement: Placement, deployment: Deployment, *, num_windows: int
) -> dict[str, Any]:
    """Means over windows of equal length, from the first arrival to the last end.

    `start_s` is of each window; `groups` has one list a stage. `note` says what is left out and why.
    """
    edges = _edges(outcomes, num_windows)
    window_s = float(edges[1] - edges[0])
    arrival_s, served = outcomes.trace.arrival_s, outcomes.served
    part = {
        "window_s": window_s,
        "start_s": _rounded(edges[:-1]),
        "arrivals_rps": _rounded(np.histogram(arrival_s, edges)[0] / window_s),
        "missed_rps": _rounded(np.histogram(arrival_s[~outcomes.good], edges)[0] / window_s),
        "in_system": _rounded(_mean_inside(arrival_s[served], outcomes.finish_s[served], edges)),
        "waiting": None,
        "groups": [],
        "note": "",
    }
    emitting = generating(outcomes)
    starts_s, stages = _stage_times(outcomes, placement, deployment)
    if emitting:
        part["note"] = "groups that generate are not drawn: their steps are of many requests at once"
    else:
        begun_s = np.maximum(starts_s, arrival_s)[served]
        part["waiting"] = _rounded(_mean_inside(arrival_s[served], begun_s, edges))
    for group, times in zip(placement.groups, stages, strict=True):
        if not emitting & set(group.models):
            busy = [_rounded(_mean_inside(begin_s, end_s, edges)) for begin_s, end_s in times]
            part["groups"].append({"id": group.id, "stages": busy})
    if deployment.policy.batching != "none" and not part["note"]:
        part["note"] = "every request counts as a batch of one, so a stage that batches may exceed 100 %"
    return part


def generating(outcomes: Outcomes) -> frozenset[str]:
    """Models that answered token by token."""
    if outcomes.first_token_s is None:
        return frozenset()
    rows = np.isfinite(outcomes.first_token_s)
    return frozenset(outcomes.trace.models[index] for index in np.unique(outcomes.trace.model_index[rows]))


def _edges(outcomes: Outcomes, num_windows: int) -> Times:
    arrival_s = outcomes.trace.arrival_s
    first_s, last_s = (float(arrival_s[0]), float(arrival_s[-1])) if len(arrival_s) else (0.0, 0.0)
    last_s = float(outcomes.finish_s[outcomes.served].max(initial=last_s))
    return np.linspace(first_s, last_s if last_s > first_s else first_s + 1.0, num_windows + 1)


def _stage_times(
    outcomes: Outcomes, placement: Placement, deployment: Deployment
) -> tuple[Times, list[list[tuple[Times, Times]]]]:
    """When each request began (NaN: not served), and for every stage of every group the spells of work."""
    catalog, latency = deployment.catalog(), deployment.latency
    starts_s = np.full(len(outcomes.trace), np.nan)
    stages = []
    index_of = {name: index for index, name in enumerate(outcomes.trace.models)}
    for number, group in enumerate(placement.groups):
        rows = np.flatnonzero(outcomes.served & (outcomes.group_index == number))
        cost_s = np.zeros((len(index_of), group.config.pipeline))
        for name in group.models:
            cost_s[index_of[name]] = catalog.costs(name, group.config).single
        took_s = cost_s[outcomes.trace.model_index[rows]]
        end_s = (outcomes.finish_s[rows] - latency.fixed_overhead_s)[:, None] - _after(took_s)
        starts_s[rows] = end_s[:, 0] - took_s[:, 0]
        columns = range(group.config.pipeline)
        stages.append([(end_s[:, stage] - took_s[:, stage], end_s[:, stage]) for stage in columns])
    return starts_s, stages


def _after(took_s: Times) -> Times:
    """Seconds that the later stages of each request take [requests, stages]."""
    return took_s[:, ::-1].cumsum(axis=1)[:, ::-1] - took_s


def _mean_inside(begin_s: Times, end_s: Times, edges: Times) -> Times:
    """How many of the spells were under way in each window, on average over its time."""
    total_s = _elapsed(np.sort(begin_s), edges) - _elapsed(np.sort(end_s), edges)
    return np.diff(total_s) / (edges[1] - edges[0])


def _elapsed(since_s: Times, edges: Times) -> Times:
    """At each edge, the sum over `since_s` (ascending) of the time that went by since then."""
    # Counted from the first edge, so that sums of long traces keep their digits.
    since_s, edges = since_s - edges[0], edges - edges[0]
    sums = np.concatenate([[0.0], np.cumsum(since_s)])
    passed = np.searchsorted(since_s, edges)
    return passed * edges - sums[passed]


def _rounded(values: Times) -> list[float]:
    return [float(f"{value:.5g}") for value in np.maximum(values, 0.0).tolist()]
