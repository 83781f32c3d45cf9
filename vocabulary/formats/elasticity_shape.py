"""`placement.replan`, `serving.autoscaling` and `models[].on_demand` of a deployment file."""

# Defaults are those of the nouns, whose fields are plain texts; the shape says which of them there are.
# pyright: reportAssignmentType=false

from __future__ import annotations

from typing import Annotated, Literal

from vocabulary.elasticity import Autoscaling, OnDemand, Replanning
from vocabulary.formats.shapes import Count, NaturalNumber, NonNegative, Positive, Shape, told

_REPLANNING = Replanning()
_AUTOSCALING = Autoscaling()
_ON_DEMAND = OnDemand()


class ReplanShape(Shape):
    """min_gain: of the requests of horizon_s, those that must be in time besides, moving counted in."""

    trigger: Annotated[
        Literal["manual", "drift", "interval"],
        told(
            "`manual`: never by itself; `drift`: when traffic is not what the plan was made for; "
            "`interval`: always."
        ),
    ] = _REPLANNING.trigger
    min_gain: Annotated[
        NonNegative, told("Share of the requests of `horizon_s` that must be gained, moving taken off.")
    ] = _REPLANNING.min_gain
    max_moves: Annotated[
        NaturalNumber | None,
        told("Replicas that one plan brings to groups that do not hold them; any number without it."),
    ] = _REPLANNING.max_moves
    interval_s: Annotated[
        Positive, told("From one look to the next: with `drift` at least, with `interval` always.")
    ] = _REPLANNING.interval_s
    window_s: Annotated[Positive, told("Of traffic that is looked at.")] = _REPLANNING.window_s
    horizon_s: Annotated[Positive, told("How long traffic is taken to stay as it is.")] = (
        _REPLANNING.horizon_s
    )

    def noun(self) -> Replanning:
        return Replanning(**self.model_dump())


class AutoscalingShape(Shape):
    """Devices that the plan uses, by what the traffic of placement.replan.window_s needs."""

    enabled: Annotated[
        bool, told("Whether plans use as many devices as the traffic of placement.replan.window_s needs.")
    ] = _AUTOSCALING.is_enabled
    min_devices: Annotated[Count, told("At least so many.")] = _AUTOSCALING.min_devices
    max_devices: Annotated[Count | None, told("At most so many; all that there are without it.")] = (
        _AUTOSCALING.max_devices
    )
    upscale_delay_s: Annotated[NonNegative, told("For so long more devices were needed.")] = (
        _AUTOSCALING.upscale_delay_s
    )
    downscale_delay_s: Annotated[NonNegative, told("For so long fewer were.")] = (
        _AUTOSCALING.downscale_delay_s
    )

    def noun(self) -> Autoscaling:
        return Autoscaling(
            self.enabled, self.min_devices, self.max_devices, self.upscale_delay_s, self.downscale_delay_s
        )


class OnDemandShape(Shape):
    enabled: Annotated[bool, told("Whether the model is loaded when somebody asks (scale to zero).")] = (
        _ON_DEMAND.is_enabled
    )
    idle_unload_s: Annotated[Positive, told("Without a request for so long, it goes.")] = (
        _ON_DEMAND.idle_unload_s
    )
    max_load_s: Annotated[Positive, told("A call waits for it at most so long.")] = _ON_DEMAND.max_load_s

    def noun(self) -> OnDemand:
        return OnDemand(self.enabled, self.idle_unload_s, self.max_load_s)
