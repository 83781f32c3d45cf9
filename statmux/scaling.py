"""The same fleet with other objectives, the same traffic faster or slower."""

from __future__ import annotations

from dataclasses import replace

from vocabulary.deployment import Deployment
from vocabulary.trace import Trace


def with_slo_scale(deployment: Deployment, scale: float) -> Deployment:
    """The same deployment with every SLO multiplied; models without one keep none."""
    models = tuple(
        model
        if model.slo.latency_s is None
        else replace(model, slo=replace(model.slo, latency_s=model.slo.latency_s * scale))
        for model in deployment.models
    )
    return replace(deployment, models=models)


def sped_up(trace: Trace, scale: float) -> Trace:
    """The same requests in 1 / scale of the time."""
    return replace(trace, arrival_s=trace.arrival_s / scale)
