"""Another plan for the devices that are left, and what each model loses by it. For a process of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from placement.explain import predict
from placement.replan_devices import with_fewest_moves
from placement.search import search
from simulator.fast_or_events import outcomes_of
from simulator.traffic.workload import expected_trace
from vocabulary.deployment import Deployment, Workload
from vocabulary.placement import Placement
from vocabulary.trace import Trace

# What a model is taken to be asked where the file does not say.
_UNKNOWN = Workload(rate_rps=1.0)


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
    """What to run on the devices that are left. losses: of models that lose any, the greatest first."""

    placement: Placement
    missing: tuple[str, ...]
    losses: tuple[Loss, ...]

    @property
    def sentence(self) -> str:
        lost = "; ".join(loss.sentence for loss in self.losses)
        return f"without {', '.join(self.missing)}: {lost or 'no model is predicted to lose attainment'}"


def replan_for(
    devices: Collection[str], deployment: Deployment, current: Placement, *, time_budget_s: float
) -> Fallback:
    """A plan that keeps to `devices` and moves as little as possible of what runs.

    Raises Infeasible when nothing fits there.
    """
    cluster = deployment.cluster
    missing = tuple(sorted(device.id for device in cluster.devices if device.id not in devices))
    reserved = tuple(sorted({*cluster.reserved, *missing}))
    left = replace(deployment, cluster=replace(cluster, reserved=reserved))
    trace = _trace(deployment)
    found = search(left, trace, time_budget_s=time_budget_s)
    placement = with_fewest_moves(_on(current, devices), found.placement, deployment=left)
    before, after = (_attainment(one, trace, deployment) for one in (current, placement))
    losses = [
        Loss(model, was, after.get(model, 0.0))
        for model, was in before.items()
        if after.get(model, 0.0) < was
    ]
    losses.sort(key=lambda loss: (loss.after - loss.before, loss.model))
    return Fallback(placement, missing, tuple(losses))


def _on(placement: Placement, devices: Collection[str]) -> Placement:
    """The groups whose devices are all there."""
    return Placement(tuple(group for group in placement.groups if set(group.devices) <= set(devices)))


def _trace(deployment: Deployment) -> Trace:
    models = tuple(replace(model, workload=model.workload or _UNKNOWN) for model in deployment.models)
    return expected_trace(replace(deployment, models=models))


def _attainment(placement: Placement, trace: Trace, deployment: Deployment) -> dict[str, float]:
    """By model, of those that the trace asks for."""
    aligned = trace.aligned_to(deployment.model_names)
    outcomes = outcomes_of(placement, aligned, deployment=deployment)
    models = predict(placement, outcomes, deployment=deployment)["models"]
    return {name: float(one["slo_attainment"]) for name, one in models.items()}
