"""What metrics and status say of the plan that is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from vocabulary.placement import Placement
from vocabulary.plan import Plan

# In place of the algorithm: the fleet was changed since its start.
CHANGED = "changed while serving"


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """`id` is equal for equal placements; `predicted` is SLO attainment by model, where the plan has it."""

    id: str
    algorithm: str
    predicted: Mapping[str, float]


def plan_facts(plan: Plan, placement: Placement) -> PlanFacts:
    """Of what is placed now. plan: that of the start, which promises nothing of another placement."""
    if _id(placement) != _id(plan.placement):
        return PlanFacts(_id(placement), CHANGED, {})
    algorithm = plan.search.get("algorithm") or plan.metadata.get("policy") or "by hand"
    models = plan.predicted.get("models")
    predicted = {
        name: float(one["slo_attainment"])
        for name, one in (models.items() if isinstance(models, Mapping) else ())
        if isinstance(one, Mapping) and "slo_attainment" in one
    }
    return PlanFacts(_id(placement), str(algorithm), predicted)


def _id(placement: Placement) -> str:
    groups = [(g.id, g.devices, g.config.tensor, g.config.pipeline, g.models) for g in placement.groups]
    return sha256(repr(groups).encode()).hexdigest()[:12]
