"""What a fleet may change of itself while it serves: its plan, how many devices it uses, what is resident."""

from __future__ import annotations

from dataclasses import dataclass

# When a plan is made anew: when somebody asks, when traffic or attainment has drifted, or every interval.
TRIGGERS = ("manual", "drift", "interval")


@dataclass(frozen=True, slots=True)
class Replanning:
    """`placement.replan`. window_s: of traffic that is looked at; interval_s: from one plan to the next.

    min_gain: what a move gains at least, as a share of the requests of `horizon_s`, the cost of moving taken
    off. max_moves: replicas that one plan brings to groups that do not hold them; None: any number.
    """

    trigger: str = "manual"
    min_gain: float = 0.01
    max_moves: int | None = None
    interval_s: float = 60.0
    window_s: float = 300.0
    horizon_s: float = 1800.0

    def __post_init__(self) -> None:
        assert self.trigger in TRIGGERS, self.trigger


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """`serving.autoscaling`: how many devices the plan uses, between bounds. max_devices None: all there are.

    upscale_delay_s, downscale_delay_s: for so long more, or fewer, devices must have been enough.
    """

    is_enabled: bool = False
    min_devices: int = 1
    max_devices: int | None = None
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0


@dataclass(frozen=True, slots=True)
class OnDemand:
    """`models[].on_demand`: a model that is loaded when somebody asks for it.

    idle_unload_s: without a request for so long, it goes. max_load_s: a request waits for it at most so long.
    """

    is_enabled: bool = False
    idle_unload_s: float = 900.0
    max_load_s: float = 30.0
