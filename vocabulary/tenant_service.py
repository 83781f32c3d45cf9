"""What tenants had of a fleet over time, and how far apart they were.

The measure of unfairness is that of "Fairness in Serving Large Language Models" (OSDI 2024, §5.1): how much a
tenant was behind the one with most service in a window, as far as it asked for that much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.fairness import Fairness
from vocabulary.outcomes import Outcomes

DEFAULT_WINDOW_S = 60.0
_STEPS_A_WINDOW = 4


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
    """Weighted tokens a second that tenants were behind the one with most service, in windows of window_s.

    Of each window either the tenant that is furthest behind (max_, mean_: over the windows) or all tenants
    together (max_sum, mean_sum), as the published tables count.
    """

    window_s: float
    max_per_s: float
    mean_per_s: float
    max_sum_per_s: float
    mean_sum_per_s: float


def service_by_tenant(outcomes: Outcomes, fairness: Fairness) -> dict[str, TenantService]:
    """By name, whoever has requests in the trace."""
    tenants = outcomes.trace.tenants
    assert tenants is not None, "the trace does not say whose requests are"
    asked, served, ttft_s = _asked(outcomes, fairness), outcomes.served, outcomes.ttft_s
    found: dict[str, TenantService] = {}
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
    """In windows from the first arrival to the last end, a new one every quarter of a window.

    Service and demand by the tenant's weight. Of a request, its prompt is served when its first token comes,
    its answer evenly from then to its end; it is demanded from its arrival until it is served.
    """
    trace = outcomes.trace
    step_s = window_s / _STEPS_A_WINDOW
    start_s, end_s = trace.arrival_s[0], max(trace.arrival_s[-1], outcomes.finish_s.max(initial=0.0))
    num_steps = max(_STEPS_A_WINDOW, int((end_s - start_s) // step_s))
    edges_s = start_s + step_s * np.arange(num_steps + 1)
    served = _by_tenant(outcomes, _served_until(outcomes, fairness, edges_s), fairness)
    arrived = _asked(outcomes, fairness)[:, None] * (trace.arrival_s[:, None] < edges_s)
    demanded = _by_tenant(outcomes, arrived, fairness)
    in_window = served[:, _STEPS_A_WINDOW:] - served[:, :-_STEPS_A_WINDOW]
    # What waited when the window began counts: it could have been served.
    could = np.maximum(demanded[:, _STEPS_A_WINDOW:] - served[:, :-_STEPS_A_WINDOW], in_window)
    behind = (np.minimum(in_window.max(axis=0), could) - in_window) / window_s
    furthest, together = behind.max(axis=0), behind.sum(axis=0)
    return ServiceDifference(
        window_s,
        float(furthest.max()),
        float(furthest.mean()),
        float(together.max()),
        float(together.mean()),
    )


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
    is_begun = edges_s > first_s
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(answer_s > 0, np.clip((edges_s - first_s) / answer_s, 0.0, 1.0), is_begun)
    prompts = fairness.input_cost * tokens.input_tokens[:, None] * is_begun
    return prompts + fairness.output_cost * tokens.output_tokens[:, None] * share


def _by_tenant(outcomes: Outcomes, values: NDArray[np.float64], fairness: Fairness) -> NDArray[np.float64]:
    """Sums by the weight of the tenant [tenants, edges] of values [requests, edges]."""
    tenants = outcomes.trace.tenants
    assert tenants is not None, "the trace does not say whose requests are"
    sums = np.zeros((len(tenants.names), values.shape[1]))
    np.add.at(sums, tenants.index, values)
    weights = np.array([fairness.weights.get(name, 1.0) for name in tenants.names])
    return sums / weights[:, None]
