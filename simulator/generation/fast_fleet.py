"""Placements of generating models, compiled: what `simulate` says where every engine is on its own.

Covered: every group holds one model, which generates, on one stage; admission `none`, queue `fcfs`; all
requests ask for tokens; the router is `round_robin` with holders of equal limits, or a model has one holder,
so that a router has no choice. The bound of the queue is looked at afterwards (`may_meet_a_full_queue`).
Not covered: routers that look at loads, admission by SLO, several models or stages on a group, one-shot
requests, preemption to the host, eviction by cost. Totals of steps are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.generation.arrivals import limits_of_groups
from simulator.generation.fast import generate, is_covered
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.token_outcomes import keeps_tpot, keeps_ttft
from vocabulary.trace import Tokens, Trace
from vocabulary.units import TIME_TOLERANCE_S


def supports_generation(placement: Placement, trace: Trace, *, deployment: Deployment) -> bool:
    """Whether `score_generation` says what `simulate` says. Raises what `simulate` raises."""
    policy = deployment.policy
    if trace.tokens is None or not bool(np.all(trace.tokens.output_tokens > 0)):
        return False
    if policy.admission != "none" or policy.queue != "fcfs":
        return False
    limits = limits_of_groups(placement, trace, deployment=deployment)
    for group, one in zip(placement.groups, limits, strict=True):
        if group.config.pipeline != 1 or len(group.models) != 1 or len(one) != 1:
            return False
        if not all(is_covered(of_model, trace.tokens) for of_model in one.values()):
            return False
    for model in deployment.model_names:
        of_model = [one[model] for one in limits if model in one]
        if len(of_model) > 1 and (policy.router != "round_robin" or len(set(of_model)) > 1):
            return False
    return True


def score_generation(
    placement: Placement, trace: Trace, *, deployment: Deployment, tolerance_s: float = 0.0
) -> Outcomes:
    """Outcomes of every request, equal to `simulate`'s but for `generation`; it must be supported.

    tolerance_s: how far times may be from the machines' by rounding (`fast.generate`).
    """
    tokens, overhead_s = trace.tokens, deployment.latency.fixed_overhead_s
    assert tokens is not None
    limits, catalog = limits_of_groups(placement, trace, deployment=deployment), deployment.catalog()
    group_index = routed(placement, trace, limits=limits, deployment=deployment)
    fate = np.full(len(trace), FATE_CODE[Fate.NOT_PLACED], dtype=np.int8)
    placed = {model for group in placement.groups for model in group.models}
    is_placed = np.array([model in placed for model in trace.models], dtype=bool)[trace.model_index]
    fate[is_placed] = FATE_CODE[Fate.INVALID]
    finish_s, first_token_s = np.zeros(len(trace)), np.full(len(trace), np.nan)
    for index, (group, one) in enumerate(zip(placement.groups, limits, strict=True)):
        rows, (model,) = np.flatnonzero(group_index == index), group.models
        (times,) = catalog.step_times(model, group.config)
        asked = tokens.take(rows)
        found = generate(
            trace.arrival_s[rows], asked, times=times, limits=one[model], tolerance_s=tolerance_s
        )
        fate[rows] = found.fate
        finish_s[rows] = found.finish_s + overhead_s
        first_token_s[rows] = found.first_token_s + overhead_s
    nothing = np.zeros(len(trace), dtype=bool)
    return _judged(Outcomes(trace, group_index, finish_s, fate, nothing, first_token_s), deployment)


def may_meet_a_full_queue(outcomes: Outcomes, *, deployment: Deployment) -> bool:
    """Whether a request could have found max_queued_requests of its model: then these outcomes are void."""
    trace, most = outcomes.trace, deployment.policy.max_queued_requests
    for model_index in range(len(trace.models)):
        rows = np.flatnonzero((trace.model_index == model_index) & outcomes.served)
        num_gone = np.searchsorted(np.sort(outcomes.finish_s[rows]), trace.arrival_s[rows], side="left")
        # Those refused for their size ask for a place too, but never keep one.
        if len(rows) and int(np.max(np.arange(len(rows)) + 1 - num_gone)) >= most:
            return True
    return False


def routed(
    placement: Placement,
    trace: Trace,
    *,
    limits: Sequence[Mapping[str, GenerationLimits]],
    deployment: Deployment,
) -> NDArray[np.int32]:
    """The group of every request in turn, NO_GROUP for one that no group holds or could ever run."""
    assert trace.tokens is not None
    group_index = np.full(len(trace), NO_GROUP, dtype=np.int32)
    for model_index, model in enumerate(deployment.model_names):
        holders = [index for index, group in enumerate(placement.groups) if model in group.models]
        if holders:
            rows = np.flatnonzero(trace.model_index == model_index)
            rows = rows[_can_ever_run(trace.tokens, rows, limits[holders[0]][model])]
            group_index[rows] = np.array(holders)[np.arange(len(rows)) % len(holders)]
    return group_index


def _can_ever_run(tokens: Tokens, rows: NDArray[np.int64], limits: GenerationLimits) -> NDArray[np.bool_]:
    """`GenerationLimits.can_ever_run`, of many."""
    inputs = np.maximum(tokens.input_tokens[rows].astype(np.int64), 1)
    most = inputs + np.maximum(tokens.output_tokens[rows], 1) - 1
    at_once = inputs if limits.reserves_output else most
    fits_step = np.full(len(rows), limits.is_chunked) | (at_once <= limits.max_batched_tokens)
    return fits_step & (-(-most // limits.page_tokens) <= limits.num_pages)


def _judged(found: Outcomes, deployment: Deployment) -> Outcomes:
    """With what is good, as `simulate` judges it."""
    trace = found.trace
    slo_s = np.array([model.slo_s(deployment.latency) for model in deployment.models])
    good = found.served & (found.finish_s - trace.arrival_s <= slo_s[trace.model_index] + TIME_TOLERANCE_S)
    found = replace(found, slos=tuple(model.slo for model in deployment.models))
    return replace(found, good=good & keeps_ttft(found) & keeps_tpot(found))
