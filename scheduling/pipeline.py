"""The one finish-time predictor: a pipeline of stages, each serving in order (AlpaServe §4.3)."""

from __future__ import annotations

from typing import final

from vocabulary.catalog import StageNs


@final
class PipelineClock:
    """When each stage of a group is next free, given the work it was told of.

    Stage s of a request starts when stage s - 1 has ended and the stage has finished what came before.
    """

    __slots__ = ("free_ns",)

    def __init__(self, num_stages: int) -> None:
        self.free_ns = [0] * num_stages

    @property
    def last_ns(self) -> int:
        """When the last stage is next free: the artifact's `min_stage_clock` compares this."""
        return self.free_ns[-1]

    def finish_ns(self, start_ns: int, stages_ns: StageNs) -> int:
        """When work that may start at `start_ns` would leave the last stage; changes nothing."""
        time_ns = start_ns
        for free_ns, latency_ns in zip(self.free_ns, stages_ns, strict=True):
            time_ns = (free_ns if free_ns > time_ns else time_ns) + latency_ns
        return time_ns

    def occupy(self, start_ns: int, stages_ns: StageNs) -> int:
        """As `finish_ns`, and the stages are taken."""
        time_ns = start_ns
        clocks = self.free_ns
        for stage, latency_ns in enumerate(stages_ns):
            free_ns = clocks[stage]
            time_ns = (free_ns if free_ns > time_ns else time_ns) + latency_ns
            clocks[stage] = time_ns
        return time_ns

    def shift(self, delay_ns: int) -> None:
        """Everything turned out to be this much later (negative: earlier) than told."""
        self.free_ns = [free_ns + delay_ns for free_ns in self.free_ns]

    def first_idle_by(self, now_ns: int) -> None:
        """The first stage is not taken past `now_ns`."""
        self.free_ns[0] = min(self.free_ns[0], now_ns)

    def idle_by(self, now_ns: int) -> None:
        """Nothing is in the pipeline: no stage is taken past `now_ns`."""
        self.free_ns = [min(free_ns, now_ns) for free_ns in self.free_ns]
