"""What the models of a fleet lose by a plan for fewer devices. For a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

from placement.explain import predict
from simulator.fast_or_events import outcomes_of
from vocabulary.deployment import Deployment
from vocabulary.placement import Placement
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Loss:
    """SLO attainment of a model as predicted with all devices and with those that are left."""

    model: str
    before: float
    after: float

    @property
    def sentence(self) -> str:
        return f"{self.model} {self.before:.1%} -> {self.after:.1%}"


@dataclass(frozen=True, slots=True)
class Fallback:
    """What is run on the devices that are left.

    losses: of models that are predicted to lose any, the greatest first; None while that is worked out.
    """

    placement: Placement
    missing: tuple[str, ...]
    losses: tuple[Loss, ...] | None = None

    @property
    def sentence(self) -> str:
        if self.losses is None:
            told = "planned for the others"
        else:
            told = "; ".join(loss.sentence for loss in self.losses) or "no model is predicted to lose any"
        return f"without {', '.join(self.missing)}: {told}"


def predicted_losses(
    before: Placement, after: Placement, *, deployment: Deployment, trace: Trace
) -> tuple[Loss, ...]:
    """Both placements under the same traffic."""
    was, now = (_attainment(one, trace, deployment) for one in (before, after))
    losses = [Loss(model, share, now[model]) for model, share in was.items() if now[model] < share]
    return tuple(sorted(losses, key=lambda loss: (loss.after - loss.before, loss.model)))


def _attainment(placement: Placement, trace: Trace, deployment: Deployment) -> dict[str, float]:
    """By model; one that nobody asks for has all."""
    aligned = trace.aligned_to(deployment.model_names)
    outcomes = outcomes_of(placement, aligned, deployment=deployment)
    models = predict(placement, outcomes, deployment=deployment)["models"]
    return {name: 1.0 if one["slo_attainment"] is None else float(one["slo_attainment"])
            for name, one in models.items()}  # fmt: skip
