"""The fewest devices or the lowest cost that attain what is asked; the fastest traffic that still does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from placement.budget import Budget
from placement.capacity.results import ASSUMED_ATTAINMENT, Requirement, requirement_of
from placement.incumbent import Report, ignore
from placement.minimised import Minimised
from placement.seeker import Seeker
from vocabulary.deployment import OBJECTIVES, VALUED_OBJECTIVES, Deployment
from vocabulary.trace import Trace

SOUGHT = tuple(name for name in OBJECTIVES if name not in VALUED_OBJECTIVES)


def minimise(
    deployment: Deployment,
    trace: Trace,
    *,
    objective: str | None = None,
    algorithm: str | None = None,
    trim_s: float = 0.0,
    attainment: float | None = None,
    time_budget_s: float | None = None,
    progress: Callable[[Report], None] = ignore,
) -> Minimised:
    """Search size after size, or scale after scale, for the objective of the deployment or the given one.

    What must hold is `attainment` of all requests; else, where models ask for an attainment, that of each,
    and 99 % of each that does not ask, so that none is given up; else 99 % of all requests. Sizes are parts
    of the cluster as it is, never larger; reserved devices stay free, and those that models are pinned to are
    the last to go.

    Raises Infeasible when not even the whole cluster, or the slowest traffic, holds. An interruption, or the
    end of the time budget, ends with the best so far, and rises if there is none.
    """
    name = deployment.objective if objective is None else objective
    assert name in SOUGHT, name
    budget_s = deployment.time_budget_s if time_budget_s is None else time_budget_s
    seeker = Seeker(
        deployment=replace(deployment, objective=name),
        trace=trace.aligned_to(deployment.model_names),
        requirement=_required(deployment, attainment),
        algorithm=algorithm,
        trim_s=trim_s,
        time_budget_s=budget_s,
        budget=Budget(budget_s),
        progress=progress,
    )
    return seeker.fastest() if name == "max_rate_scale" else seeker.cheapest()


def _required(deployment: Deployment, attainment: float | None) -> Requirement:
    found = requirement_of(deployment, attainment)
    if not found.models:
        return found
    asked = {model.name: found.models.get(model.name, ASSUMED_ATTAINMENT) for model in deployment.models}
    return Requirement(None, asked)
