"""Outcomes, simulated or measured, as the document that verbs print."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.fairness import Fairness
from vocabulary.outcomes import FATES, Outcomes, Statistics, kept_rows, statistics
from vocabulary.request import Fate
from vocabulary.tenant_service import service_by_tenant, service_difference
from vocabulary.token_outcomes import token_statistics


def summary(outcomes: Outcomes, *, trim_s: float = 0.0) -> dict[str, Any]:
    """Statistics of all requests and of every model, and why requests were not served.

    Where requests asked for tokens, also how soon these came, and what serving them took by model.
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
    num_by_fate = np.bincount(outcomes.fate[rows], minlength=len(FATES)).tolist()
    late = outcomes.served[rows] & ~outcomes.good[rows]
    return {
        **_figures(statistics(outcomes, rows=rows), span_s),
        **_token_figures(outcomes, rows, None),
        "rejections": {
            fate.value: count
            for fate, count in zip(FATES, num_by_fate, strict=True)
            if fate is not Fate.SERVED and count
        },
        "num_late": int(late.sum()),
        "models": {
            name: {
                **_figures(statistics(outcomes, rows=rows, model_index=index), span_s),
                **_token_figures(outcomes, rows, index),
            }
            for index, name in enumerate(outcomes.trace.models)
        },
        **_generation_figures(outcomes),
    }


def tenant_figures(outcomes: Outcomes, fairness: Fairness) -> dict[str, Any]:
    """Of the whole trace, where it says whose requests are and these ask for tokens: service by tenant.

    Tokens count as `fairness` says, linearly; `service_difference` is that of weighted tokens a second.
    """
    trace = outcomes.trace
    if trace.tenants is None or trace.tokens is None or outcomes.first_token_s is None:
        return {}
    by_tenant = service_by_tenant(outcomes, fairness)
    return {
        "tenants": {
            name: {"weight": fairness.weights.get(name, 1.0), **asdict(one)}
            for name, one in sorted(by_tenant.items(), key=lambda item: -item[1].asked)
        },
        "service_difference": asdict(service_difference(outcomes, fairness)),
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


def _token_figures(outcomes: Outcomes, rows: slice, model_index: int | None) -> dict[str, Any]:
    """`ttft` and `tpot`, each with slo_attainment (null without the objective), p50_s and p99_s."""
    if outcomes.first_token_s is None:
        return {}
    return asdict(token_statistics(outcomes, rows=rows, model_index=model_index))


def _generation_figures(outcomes: Outcomes) -> dict[str, Any]:
    """Of the whole trace, by model: totals of the steps, and the shares that people compare."""
    if outcomes.generation is None:
        return {}
    return {
        "generation": {
            name: {**asdict(one), "waste": one.waste, "mean_sequences": one.mean_sequences}
            for name, one in outcomes.generation.items()
        }
    }
