"""How long queues can get: a limit that nothing reaches need not be watched."""

from __future__ import annotations

import math

from vocabulary.catalog import Catalog
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.units import TIME_TOLERANCE_S


def may_overflow(deployment: Deployment, *, num_requests: int, num_groups: int) -> bool:
    """Whether a model could ever have `max_queued_requests` waiting or running, on so many groups at most.

    False is a proof. Admission takes nobody who would end later than the SLO from now, and the ends of one
    model's requests on one group are apart by at least its last stage.
    """
    limit = deployment.policy.max_queued_requests
    if limit >= num_requests:
        return False
    if deployment.policy.admission != "slo":
        return True
    catalog = deployment.catalog()
    longest = max((_longest(model, catalog) for model in deployment.models), default=0.0)
    return num_groups * longest >= limit


def _longest(model: ModelSpec, catalog: Catalog) -> float:
    """Most requests of a model that one group can hold: infinite where nothing says."""
    latest_s = model.slo_s(catalog.latency) + TIME_TOLERANCE_S
    configs = model.profile.entries if model.profile is not None else ()
    shortest_s = min((catalog.costs(model.name, config).single[-1] for config in configs), default=math.inf)
    if latest_s == math.inf or shortest_s == 0.0:
        return math.inf
    # One more at either end of the time that the SLO spans.
    return latest_s / shortest_s + 2
