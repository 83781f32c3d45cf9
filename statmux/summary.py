"""Outcomes, simulated or measured, as the document that verbs print."""

from __future__ import annotations

from typing import Any

from vocabulary.errors import InvalidInput
from vocabulary.outcomes import FATES, Outcomes, Statistics, kept_rows, statistics
from vocabulary.request import Fate


def summary(outcomes: Outcomes, *, trim_s: float = 0.0) -> dict[str, Any]:
    """Statistics of all requests and of every model, and why requests were not served.

    Raises InvalidInput when trimming leaves nothing.
    """
    rows = kept_rows(outcomes.trace, trim_s)
    if len(outcomes.trace) and rows.start == rows.stop:
        raise InvalidInput(
            f"{trim_s:g} s at each end leave none of {outcomes.trace.duration_s:g} s to count",
            where="--trim-s",
            hint="trim less",
        )
    arrival_s = outcomes.trace.arrival_s[rows]
    span_s = float(arrival_s[-1] - arrival_s[0]) if len(arrival_s) > 1 else 0.0
    fates = outcomes.fate[rows].tolist()
    late = outcomes.served[rows] & ~outcomes.good[rows]
    return {
        **_figures(statistics(outcomes, rows=rows), span_s),
        "rejections": {
            fate.value: fates.count(code)
            for code, fate in enumerate(FATES)
            if fate is not Fate.SERVED and code in fates
        },
        "num_late": int(late.sum()),
        "models": {
            name: _figures(statistics(outcomes, rows=rows, model_index=index), span_s)
            for index, name in enumerate(outcomes.trace.models)
        },
    }


def _figures(found: Statistics, span_s: float) -> dict[str, Any]:
    return {
        "slo_attainment": found.slo_attainment,
        "num_requests": found.num_requests,
        "num_served": found.num_served,
        "rate_rps": found.num_requests / span_s if span_s else 0.0,
        "goodput_rps": found.goodput_rps,
        "p50_s": found.p50_s,
        "p99_s": found.p99_s,
        "mean_s": found.mean_s,
    }
