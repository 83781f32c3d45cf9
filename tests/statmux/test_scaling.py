"""Objectives of a fleet, looser or tighter: what `simulate` and `bench` mean by --slo-scale."""

from __future__ import annotations

from statmux.scaling import with_slo_scale
from tests.placement.fleets import deployment, model
from vocabulary.deployment import Slo


def test_objectives_of_tokens_are_scaled_with_the_latency() -> None:
    # The latency alone was scaled once, and `capacity` disagreed with `simulate` on the same scale.
    slo = Slo(latency_s=8.0, attainment=0.9, ttft_s=1.0, tpot_s=0.25)
    scaled = with_slo_scale(deployment(model("a", 10, slo=slo)), 2.0)
    assert scaled.models[0].slo == Slo(latency_s=16.0, attainment=0.9, ttft_s=2.0, tpot_s=0.5)
