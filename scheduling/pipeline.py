"""The one finish-time predictor: a pipeline of stages, each serving in order (AlpaServe §4.3)."""

from __future__ import annotations

from typing import final

from vocabulary.catalog import StageSeconds


@final
class PipelineClock:
    """When each stage of a group is next free, given the work it was told of.

    Stage s of a request starts when stage s - 1 has ended and the stage has finished what came before.
    """

    __slots__ = ("free_s",)

    def __init__(self, num_stages: int) -> None:
        self.free_s = [0.0] * num_stages

    @property
    def last_s(self) -> float:
        """When the last stage is next free: the artifact's `min_stage_clock` compares this."""
        return self.free_s[-1]

    def finish_s(self, start_s: float, stages_s: StageSeconds) -> float:
        """When work that may start at `start_s` would leave the last stage; changes nothing."""
        time_s = start_s
        for free_s, latency_s in zip(self.free_s, stages_s, strict=True):
            time_s = (free_s if free_s > time_s else time_s) + latency_s
        return time_s

    def occupy(self, start_s: float, stages_s: StageSeconds) -> float:
        """As `finish_s`, and the stages are taken."""
        time_s = start_s
        clocks = self.free_s
        for stage, latency_s in enumerate(stages_s):
            free_s = clocks[stage]
            time_s = (free_s if free_s > time_s else time_s) + latency_s
            clocks[stage] = time_s
        return time_s

    def shift(self, delay_s: float) -> None:
        """Everything turned out to be this much later (negative: earlier) than told."""
        self.free_s = [free_s + delay_s for free_s in self.free_s]

    def end_at(self, time_s: float) -> None:
        """The last stage is taken until `time_s`, the others as far as known but no longer."""
        self.free_s = [*(min(free_s, time_s) for free_s in self.free_s[:-1]), time_s]

    def first_idle_by(self, now_s: float) -> None:
        """The first stage is not taken past `now_s`."""
        self.free_s[0] = min(self.free_s[0], now_s)

    def idle_by(self, now_s: float) -> None:
        """Nothing is in the pipeline: no stage is taken past `now_s`."""
        self.free_s = [min(free_s, now_s) for free_s in self.free_s]
