"""Synthetic traffic: a renewal process per model, merged; one seed gives one trace on any machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from simulator.traffic.generators import generator
from simulator.traffic.renewal import renewal_s, shape_of
from vocabulary.deployment import Deployment, Workload
from vocabulary.errors import InvalidInput
from vocabulary.trace import Trace

# A search needs enough requests to tell placements apart: AlpaServe's artifact trains on as much.
MIN_DURATION_S = 100.0
MIN_REQUESTS = 30_000


def generate(workloads: Mapping[str, Workload], *, duration_s: float, seed: int) -> Trace:
    """Requests in [0, duration_s) with one independent process for each model, in the order of `workloads`.

    Gaps are Gamma distributed, shape 1 / cv^2 and mean 1 / rate: Poisson arrivals at cv 1, even ones at 0.
    Each model draws from a generator of its own, so a model's arrivals do not depend on the others' rates.
    """
    arrivals = [
        arrivals_s(workload, duration_s=duration_s, rng=generator(seed, index))
        for index, workload in enumerate(workloads.values())
    ]
    return merge(dict(zip(workloads, arrivals, strict=True)))


def expected_trace(deployment: Deployment) -> Trace:
    """The traffic that the deployment's `workload` keys describe, long enough to plan with.

    Raises InvalidInput if no model has one.
    """
    total_rps = sum(model.workload.rate_rps for model in deployment.models if model.workload is not None)
    if total_rps <= 0:
        raise InvalidInput(
            "there is no traffic to plan for",
            where="models[].workload",
            hint="pass --trace FILE, or give models `workload: {rate_rps: ..., cv: ...}`",
        )
    duration_s = max(MIN_DURATION_S, MIN_REQUESTS / total_rps)
    workloads = {model.name: model.workload or Workload(0.0) for model in deployment.models}
    return generate(workloads, duration_s=duration_s, seed=deployment.seed)


def power_law(num_models: int, *, total_rps: float, exponent: float = 0.5) -> tuple[float, ...]:
    """Rates in proportion to (i + 1) ** -exponent that sum to `total_rps`; AlpaServe §6 uses exponent 0.5."""
    weights = np.arange(1, num_models + 1, dtype=float) ** -exponent
    return tuple((total_rps * weights / weights.sum()).tolist())


def arrivals_s(workload: Workload, *, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Ascending arrival times of one model in [0, duration_s)."""
    if workload.rate_rps <= 0:
        return np.empty(0)
    if workload.cv == 0:
        times_s = np.arange(1, int(duration_s * workload.rate_rps) + 1) / workload.rate_rps
        return times_s[times_s < duration_s]
    return renewal_s(
        rate_rps=workload.rate_rps, shape=shape_of(workload.cv), duration_s=duration_s, rng=rng,
        is_stationary=False,
    )  # fmt: skip


def merge(arrivals: Mapping[str, NDArray[np.float64]]) -> Trace:
    """One trace of several models' arrivals; within an instant, models in the given order."""
    times_s = np.concatenate([*arrivals.values(), np.empty(0)])
    sizes = [len(times) for times in arrivals.values()]
    model_index = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    order = np.argsort(times_s, kind="stable")
    return Trace(times_s[order], model_index[order], tuple(arrivals))
