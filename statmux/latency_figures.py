"""Drawings of latencies: simulated against measured, and how many requests ended within a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from statmux.comparing import latency_quantiles_s
from statmux.reporting.figures import Figure, Mark, Series
from vocabulary.deployment import Deployment
from vocabulary.outcomes import Outcomes

# Points of a curve; more cannot be seen.
_NUM_POINTS = 200
# Colours and markers that can be told apart; further models share one.
_NUM_NAMED = 5


def quantile_figure(measured: Outcomes, simulated: Outcomes, *, title: str) -> Figure:
    """Percentiles of every model's latency, simulated against measured; on the line they agree.

    Of many models, those that are farthest from it have their names.
    """
    points, distance_s = [], []
    for index, name in enumerate(simulated.trace.models):
        x, y = latency_quantiles_s(measured, index), latency_quantiles_s(simulated, index)
        if len(x) and len(y):
            points.append(Series(name, x, y, style="points"))
            distance_s.append(float(np.abs(x - y).max()))
    ends = np.concatenate([side for one in points for side in (one.x, one.y)]) if points else np.array([0, 1])
    line = np.array([ends.min(), ends.max()], dtype=float)
    named = _highest(range(len(points)), distance_s)
    others = [one for index, one in enumerate(points) if index not in named]
    series = [points[index] for index in named]
    if others:
        x, y = (np.concatenate([getattr(one, side) for one in others]) for side in ("x", "y"))
        series.insert(0, Series(f"{len(others)} other models", x, y, style="points"))
    series.append(Series("equal", line, line, style="line"))
    return Figure(title, "measured latency (s)", "simulated latency (s)", tuple(series))


def latency_figure(outcomes: Outcomes, deployment: Deployment, *, title: str) -> Figure:
    """For every model the share of its requests that were served within a latency; SLOs are marks.

    Of many models, those that serve the smallest shares have curves of their own, the others one together.
    """
    index_of = outcomes.trace.model_index
    num_served = np.bincount(index_of[outcomes.served], minlength=len(deployment.models))
    asked = [index for index in range(len(deployment.models)) if num_served[index]]
    shares = num_served / np.maximum(outcomes.trace.counts(), 1)
    named = _highest(asked, [-float(shares[index]) for index in asked])
    curves = [_curve(outcomes, [index], deployment.models[index].name) for index in named]
    others = [index for index in asked if index not in named]
    if others:
        curves.insert(0, _curve(outcomes, others, f"{len(others)} other models"))
    slos = {
        deployment.models[index].slo.latency_s: deployment.models[index].name for index in reversed(asked)
    }
    slos.pop(None, None)
    lines = tuple(
        Mark(slo_s, "SLO" if len(slos) == 1 else f"SLO {name}") for slo_s, name in sorted(slos.items())
    )
    return Figure(title, "latency (s)", "share of requests", tuple(curves), marks=lines, y_range=(0.0, 1.0))


def _curve(outcomes: Outcomes, models: Sequence[int], label: str) -> Series:
    """Of all requests of these models, the share served within a latency."""
    mine = np.isin(outcomes.trace.model_index, models)
    latency_s = np.sort(outcomes.latency_s[mine & outcomes.served])
    keep = np.unique(np.linspace(0, len(latency_s) - 1, _NUM_POINTS).astype(int))
    return Series(label, latency_s[keep], (keep + 1) / mine.sum(), style="line")


def _highest(items: Sequence[int], rank: Sequence[float]) -> list[int]:
    """All of a few, else those that rank highest; in their order."""
    if len(items) <= _NUM_NAMED + 1:
        return list(items)
    order = sorted(range(len(items)), key=lambda place: -rank[place])
    return [items[place] for place in sorted(order[:_NUM_NAMED])]
