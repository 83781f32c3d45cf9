"""What a placement is worth under each objective, from the counts of one simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.fast import Tally
from vocabulary.deployment import OBJECTIVES, Deployment

# Of equal minima, and of equal shortfalls, the better rest decides: a point of what comes first is worth so
# many of what comes second.
TIE_WEIGHT = 0.01
# AlpaServe's artifact divides by requests plus this, so that of equally unserved models the better served
# one leads.
EPSILON = 1e-6

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Objective:
    """One of `vocabulary.deployment.OBJECTIVES`, with what it needs to know of each model.

    weights: of weighted_slo_attainment [models]. asked: `slo.attainment`, 0 for a model without [models].
    """

    name: str
    weights: tuple[float, ...]
    asked: tuple[float, ...]

    def __post_init__(self) -> None:
        assert self.name in OBJECTIVES, self.name
        assert len(self.weights) == len(self.asked), self


def objective_of(deployment: Deployment) -> Objective:
    """What a deployment asks of its plan."""
    models = deployment.models
    return Objective(
        deployment.objective,
        tuple(model.weight for model in models),
        tuple(model.slo.attainment or 0.0 for model in models),
    )


def objective_value(objective: Objective, tally: Tally, *, num_requests: int | None = None) -> float:
    """What a search maximises: at most 1, and 1 when every request is good.

    slo_attainment: share of all requests that are good. weighted_slo_attainment: mean of the models'
    attainments by weight, so that a request of a cold model counts for more. min_model_attainment: the lowest
    attainment of a model, 1 % of the mean over models added to decide between equals. The objectives that
    minimise or maximise something else value a placement by slo_attainment.

    Where models ask for a minimal attainment (`slo.attainment`), that comes first: let the shortfall be the
    sum over models of what their attainment is below the asked one. Without shortfall the value is as above,
    0 to 1. With it the value is minus the shortfall, minus 1 % of what the value above lacks to 1: so any
    placement that keeps all promises is above any that breaks one, less broken is better, and only then the
    mean counts.

    Models without requests count as attained, and for nothing in a mean. `num_requests`: what slo_attainment
    is relative to, when the tally is of a part of the trace.
    """
    plain = VALUES[objective.name](objective, tally, num_requests)
    shortfall = float(shortfalls(objective, tally).sum())
    return plain if shortfall == 0.0 else -shortfall - TIE_WEIGHT * (1.0 - plain)


def shortfalls(objective: Objective, tally: Tally) -> Shares:
    """What every model's attainment is below the one it asks for, 0 where nothing is missing [models]."""
    return np.maximum(0.0, np.array(objective.asked) - model_attainments(tally))


def unserved(objective: Objective, tally: Tally) -> Shares:
    """How much each model stands to gain from a replica; which to add first, by greedy searches [models].

    Under slo_attainment requests that are not good, as AlpaServe's artifact computes them; else the share
    of the model's requests, by weight where there is one. Models below what they ask for come before others,
    by what they are short of.
    """
    share = 1 - tally.num_good / (tally.num_requests + EPSILON)
    wanted = tally.num_requests * share
    if objective.name == "weighted_slo_attainment":
        wanted = np.array(objective.weights) * share * (tally.num_requests > 0)
    elif objective.name == "min_model_attainment":
        wanted = share * (tally.num_requests > 0)
    short = shortfalls(objective, tally)
    return np.where(short > 0, wanted.max(initial=0.0) + short, wanted) if short.any() else wanted


def model_attainments(tally: Tally) -> Shares:
    """Share of good requests of every model, 1 where there were none [models]."""
    counts = np.maximum(tally.num_requests, 1)
    return np.where(tally.num_requests > 0, tally.num_good / counts, 1.0)


def _overall(objective: Objective, tally: Tally, num_requests: int | None) -> float:
    total = max(1, int(tally.num_requests.sum())) if num_requests is None else num_requests
    return int(tally.num_good.sum()) / total if tally.num_requests.any() else 1.0


def _weighted(objective: Objective, tally: Tally, num_requests: int | None) -> float:
    return _mean(model_attainments(tally), np.array(objective.weights) * (tally.num_requests > 0))


def _lowest(objective: Objective, tally: Tally, num_requests: int | None) -> float:
    shares, is_asked = model_attainments(tally), (tally.num_requests > 0).astype(float)
    return (1.0 - TIE_WEIGHT) * float(shares.min(initial=1.0)) + TIE_WEIGHT * _mean(shares, is_asked)


def _mean(shares: Shares, weights: Shares) -> float:
    total = float(weights.sum())
    return float((shares * weights).sum() / total) if total > 0 else 1.0


VALUES: Mapping[str, Callable[[Objective, Tally, int | None], float]] = {
    "slo_attainment": _overall,
    "weighted_slo_attainment": _weighted,
    "min_model_attainment": _lowest,
    "min_devices": _overall,
    "min_cost": _overall,
    "max_rate_scale": _overall,
}


def objective_values(
    objective: Objective, num_good: NDArray[np.int64], num_requests: NDArray[np.int64]
) -> Shares:
    """`objective_value` of many candidates [n] at once; num_good: [n, models]."""
    if VALUES[objective.name] is _overall and not any(objective.asked):
        return num_good.sum(axis=1) / max(1, int(num_requests.sum()))
    nobody = np.zeros(0, dtype=np.int64)
    return np.array([objective_value(objective, Tally(good, num_requests, nobody, 0.0)) for good in num_good])
