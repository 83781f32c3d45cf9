"""`placement.replan`, `serving.autoscaling` and `models[].on_demand` of a deployment file."""

from __future__ import annotations

from typing import Literal

from vocabulary.elasticity import Autoscaling, OnDemand, Replanning
from vocabulary.formats.shapes import Count, NaturalNumber, NonNegative, Positive, Shape

_REPLANNING = Replanning()
_AUTOSCALING = Autoscaling()
_ON_DEMAND = OnDemand()


class ReplanShape(Shape):
    """min_gain: of the requests of horizon_s, those that must be in time besides, moving counted in."""

    trigger: Literal["manual", "drift", "interval"] = _REPLANNING.trigger
    min_gain: NonNegative = _REPLANNING.min_gain
    max_moves: NaturalNumber | None = _REPLANNING.max_moves
    interval_s: Positive = _REPLANNING.interval_s
    window_s: Positive = _REPLANNING.window_s
    horizon_s: Positive = _REPLANNING.horizon_s

    def noun(self) -> Replanning:
        return Replanning(**self.model_dump())


class AutoscalingShape(Shape):
    """Devices that the plan uses, by what the traffic of placement.replan.window_s needs."""

    enabled: bool = _AUTOSCALING.is_enabled
    min_devices: Count = _AUTOSCALING.min_devices
    max_devices: Count | None = _AUTOSCALING.max_devices
    upscale_delay_s: NonNegative = _AUTOSCALING.upscale_delay_s
    downscale_delay_s: NonNegative = _AUTOSCALING.downscale_delay_s

    def noun(self) -> Autoscaling:
        return Autoscaling(
            self.enabled, self.min_devices, self.max_devices, self.upscale_delay_s, self.downscale_delay_s
        )


class OnDemandShape(Shape):
    enabled: bool = _ON_DEMAND.is_enabled
    idle_unload_s: Positive = _ON_DEMAND.idle_unload_s
    max_load_s: Positive = _ON_DEMAND.max_load_s

    def noun(self) -> OnDemand:
        return OnDemand(self.enabled, self.idle_unload_s, self.max_load_s)
