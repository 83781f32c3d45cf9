"""Outcomes as the document that verbs print: overall, and per model."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vocabulary.outcomes import FATES, Outcomes, kept_rows, statistics
from vocabulary.request import Fate


def summary(outcomes: Outcomes, *, trim_s: float = 0.0) -> dict[str, Any]:
    """slo_attainment, num_requests, goodput_rps, latencies; the same under `models` by name; rejections."""
    rows = kept_rows(outcomes.trace, trim_s)
    fates = Counter(FATES[code] for code in outcomes.fate[rows].tolist())
    arrivals = outcomes.trace.arrival_s[rows]
    span_s = float(arrivals[-1] - arrivals[0]) if len(arrivals) > 1 else 0.0
    models = {}
    for index, name in enumerate(outcomes.trace.models):
        one = statistics(outcomes, rows=rows, model_index=index)
        models[name] = _figures(one) | {"rate_rps": one.num_requests / span_s if span_s else 0.0}
    whole = statistics(outcomes, rows=rows)
    return {
        **_figures(whole),
        "goodput_rps": whole.goodput_rps,
        "models": models,
        "rejections": {fate.value: num for fate, num in fates.most_common() if fate is not Fate.SERVED},
    }


def _figures(one: Any) -> dict[str, Any]:
    return {
        "slo_attainment": one.slo_attainment,
        "num_requests": one.num_requests,
        "num_served": one.num_served,
        "p50_s": one.p50_s,
        "p99_s": one.p99_s,
        "mean_s": one.mean_s,
    }
