"""What tenants had of a fleet over time, and how far apart they were.

The measure of unfairness is that of "Fairness in Serving Large Language Models" (OSDI 2024): in a window, the
most that a tenant was behind the one with most service, as far as it asked for that much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.fairness import Fairness
from vocabulary.outcomes import Outcomes

DEFAULT_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class TenantService:
    """service: tokens that were computed for the tenant, weighted; asked: the same of all its requests."""

    num_requests: int
    num_served: int
    service: float
    asked: float
    ttft_p50_s: float | None
    ttft_p99_s: float | None


@dataclass(frozen=True, slots=True)
class ServiceDifference:
    """Over all windows of window_s: the largest, and the mean."""

    window_s: float
    max_difference: float
    mean_difference: float


def service_by_tenant(outcomes: Outcomes, fairness: Fairness) -> dict[str, TenantService]:
    """By name, whoever has requests in the trace."""
    tenants = outcomes.trace.tenants
    assert tenants is not None, "the trace does not say whose requests are"
    asked, served, ttft_s = _asked(outcomes, fairness), outcomes.served, outcomes.ttft_s
    found = {}
    for index, name in enumerate(tenants.names):
        rows = tenants.index == index
        if not rows.any():
            continue
        known = ttft_s[rows & ~np.isnan(ttft_s)]
        p50_s, p99_s = np.quantile(known, [0.5, 0.99]).tolist() if len(known) else (None, None)
        found[name] = TenantService(
            num_requests=int(rows.sum()),
            num_served=int((rows & served).sum()),
            service=float(asked[rows & served].sum()),
            asked=float(asked[rows].sum()),
            ttft_p50_s=p50_s,
            ttft_p99_s=p99_s,
        )
    return found


def service_difference(
    outcomes: Outcomes, fairness: Fairness, *, window_s: float = DEFAULT_WINDOW_S
) -> ServiceDifference:
    """In windows from the first arrival on that end before the last one.

    Service and demand by the tenant's weight. Of a request, its prompt is served when its first token comes,
    its answer evenly from then to its end; it is demanded when it arrives, until it is served.
    """
    trace = outcomes.trace
    num_windows = max(1, int(trace.duration_s // window_s))
    edges_s = trace.arrival_s[0] + window_s * np.arange(num_windows + 1)
    service = _by_tenant(outcomes, _served_until(outcomes, fairness, edges_s), fairness)
    asked = _asked(outcomes, fairness)
    arrived = asked[:, None] * (trace.arrival_s[:, None] < edges_s)
    demanded = _by_tenant(outcomes, arrived, fairness)
    in_window = np.diff(service, axis=1)
    # What waited when the window began counts: it could have been served.
    could = np.maximum(demanded[:, 1:] - service[:, :-1], in_window)
    behind = np.minimum(in_window.max(axis=0), could) - in_window
    worst = behind.max(axis=0)
    return ServiceDifference(window_s, float(worst.max()), float(worst.mean()))


def _asked(outcomes: Outcomes, fairness: Fairness) -> NDArray[np.float64]:
    """Of each request, its tokens by what they cost [requests]."""
    tokens = outcomes.trace.tokens
    assert tokens is not None, "no request asked for tokens"
    return fairness.input_cost * tokens.input_tokens + fairness.output_cost * tokens.output_tokens


def _served_until(
    outcomes: Outcomes, fairness: Fairness, edges_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each request, its service before each edge [requests, edges]."""
    tokens, firsts = outcomes.trace.tokens, outcomes.first_token_s
    assert tokens is not None and firsts is not None, "no request asked for tokens"
    served = outcomes.served & ~np.isnan(firsts)
    first_s = np.where(served, firsts, np.inf)[:, None]
    answer_s = np.where(served, outcomes.finish_s - firsts, 1.0)[:, None]
    is_begun = edges_s >= first_s
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(answer_s > 0, np.clip((edges_s - first_s) / answer_s, 0.0, 1.0), is_begun)
    prompts = fairness.input_cost * tokens.input_tokens[:, None] * is_begun
    return prompts + fairness.output_cost * tokens.output_tokens[:, None] * share


def _by_tenant(
    outcomes: Outcomes, values: NDArray[np.float64], fairness: Fairness
) -> NDArray[np.float64]:
    """Sums by the weight of the tenant [tenants, edges] of values [requests, edges]."""
    tenants = outcomes.trace.tenants
    assert tenants is not None, "the trace does not say whose requests are"
    sums = np.zeros((len(tenants.names), values.shape[1]))
    np.add.at(sums, tenants.index, values)
    weights = np.array([fairness.weights.get(name, 1.0) for name in tenants.names])
    return sums / weights[:, None]
