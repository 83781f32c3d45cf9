"""The traffic that a running fleet is planned for: what was observed of late, and what the file expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simulator.traffic.workload import expected_trace, generate
from vocabulary.deployment import Deployment, Workload
from vocabulary.trace import Tokens, Trace

# Fewer arrivals say nothing about rates; more than these, the latest, tell a search nothing new.
MIN_OBSERVED, MAX_OBSERVED = 200, 50_000
# Where nothing is known at all, every model is taken to be asked for as often.
_UNKNOWN = Workload(1.0)


def traffic_expected(deployment: Deployment, observed: Trace | None) -> Trace:
    """What was observed, for models that are still there; for the others, what `workload` says.

    A model that was served and not asked for has no traffic, whatever its `workload`. Without enough that was
    observed, all by `workload`; without any of it, as many requests for each model.
    """
    if observed is None or not says_enough(observed):
        return expected_trace(_with_workloads(deployment))
    observed = _latest(observed, MAX_OBSERVED)
    known = _known(observed, deployment)
    unseen = {
        model.name: model.workload
        for model in deployment.models
        if model.name not in observed.models and model.workload is not None and model.workload.rate_rps > 0
    }
    if not unseen:
        return known.aligned_to(deployment.model_names)
    drawn = generate(unseen, duration_s=observed.duration_s, seed=deployment.seed)
    if known.tokens is not None:
        drawn = replace(drawn, tokens=_mean_tokens(drawn, unseen, deployment))
    return _merged(known, drawn, deployment.model_names)


def says_enough(observed: Trace) -> bool:
    """Whether it counts more than what the file expects."""
    return len(observed) >= MIN_OBSERVED and observed.duration_s > 0.0


def _latest(trace: Trace, count: int) -> Trace:
    """From time 0."""
    if len(trace) <= count:
        return trace
    part = trace.take(np.arange(len(trace) - count, len(trace)))
    return replace(part, arrival_s=part.arrival_s - part.arrival_s[0])


def _with_workloads(deployment: Deployment) -> Deployment:
    if any(model.workload is not None and model.workload.rate_rps > 0 for model in deployment.models):
        return deployment
    models = tuple(
        model if model.on_demand.is_enabled else replace(model, workload=_UNKNOWN)
        for model in deployment.models
    )
    return replace(deployment, models=models)


def _known(observed: Trace, deployment: Deployment) -> Trace:
    """Without models that are gone."""
    names = tuple(name for name in observed.models if name in deployment.model_names)
    positions = {name: number for number, name in enumerate(names)}
    lookup = np.array([positions.get(name, -1) for name in observed.models], dtype=np.int32)
    index = lookup[observed.model_index]
    rows = index >= 0
    kept = observed.take(rows)
    return replace(kept, model_index=index[rows], models=names)


def _mean_tokens(drawn: Trace, workloads: Mapping[str, Workload], deployment: Deployment) -> Tokens:
    """Every request as long as the mean of its model; of a one-shot model, without tokens."""
    lengths = np.zeros((len(drawn.models), 2), dtype=np.int32)
    for number, name in enumerate(drawn.models):
        if deployment.model(name).generates:
            workload = workloads[name]
            lengths[number] = max(1, round(workload.input_tokens)), max(1, round(workload.output_tokens))
    inputs, outputs = lengths[drawn.model_index].T
    return Tokens(inputs, outputs)


def _merged(one: Trace, other: Trace, models: tuple[str, ...]) -> Trace:
    """Without hashes of prefixes: the second has none."""
    one, other = one.aligned_to(models), other.aligned_to(models)
    start_s = float(one.arrival_s[0]) if len(one) else 0.0
    arrival_s = np.concatenate([one.arrival_s, other.arrival_s + start_s])
    order = np.argsort(arrival_s, kind="stable")
    index = np.concatenate([one.model_index, other.model_index])
    tokens = None
    if one.tokens is not None and other.tokens is not None:
        inputs = np.concatenate([one.tokens.input_tokens, other.tokens.input_tokens])
        outputs = np.concatenate([one.tokens.output_tokens, other.tokens.output_tokens])
        tokens = Tokens(inputs[order], outputs[order])
    return Trace(arrival_s[order], index[order], models, tokens)
