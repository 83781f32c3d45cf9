"""Drawings of latencies: simulated against measured, and how many requests ended within a time."""

from __future__ import annotations

import numpy as np

from statmux.comparing import latency_quantiles_s
from statmux.reporting.figures import Figure, Mark, Series
from vocabulary.deployment import Deployment
from vocabulary.outcomes import Outcomes

# Points of a curve; more cannot be seen.
_NUM_POINTS = 200


def quantile_figure(measured: Outcomes, simulated: Outcomes, *, title: str) -> Figure:
    """Percentiles of every model's latency, simulated against measured; on the line they agree."""
    points = []
    for index, name in enumerate(simulated.trace.models):
        x, y = latency_quantiles_s(measured, index), latency_quantiles_s(simulated, index)
        if len(x) and len(y):
            points.append(Series(name, x, y, style="points"))
    ends = np.concatenate([side for one in points for side in (one.x, one.y)]) if points else np.array([0, 1])
    line = np.array([ends.min(), ends.max()], dtype=float)
    series = (*points, Series("equal", line, line, style="line"))
    return Figure(title, "measured latency (s)", "simulated latency (s)", series)


def latency_figure(outcomes: Outcomes, deployment: Deployment, *, title: str) -> Figure:
    """For every model the share of its requests that were served within a latency; SLOs are marks."""
    curves, marks = [], {}
    for index, model in enumerate(deployment.models):
        mine = outcomes.trace.model_index == index
        latency_s = np.sort(outcomes.latency_s[mine & outcomes.served])
        if not len(latency_s):
            continue
        keep = np.unique(np.linspace(0, len(latency_s) - 1, _NUM_POINTS).astype(int))
        curves.append(Series(model.name, latency_s[keep], (keep + 1) / mine.sum(), style="line"))
        if model.slo.latency_s is not None:
            marks.setdefault(model.slo.latency_s, []).append(model.name)
    lines = tuple(
        Mark(slo_s, "SLO" if len(marks) == 1 else f"SLO {names[0]}") for slo_s, names in marks.items()
    )
    return Figure(title, "latency (s)", "share of requests", tuple(curves), marks=lines, y_range=(0.0, 1.0))
