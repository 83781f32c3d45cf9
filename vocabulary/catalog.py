"""The costs that decisions use: stage latencies by model, configuration and batch size."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from vocabulary.generation import StepTimes
from vocabulary.mesh import Links
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry

StageSeconds = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """How a profile's latencies become a request's: the artifact's two terms, both 0 by default.

    Every stage latency is multiplied by 1 + stage_scale_per_stage x stages; fixed_overhead_s is added after
    the last stage. Latencies and SLOs are rounded to float32 when either is non-zero (AlpaServe artifact).
    """

    stage_scale_per_stage: float = 0.0
    fixed_overhead_s: float = 0.0

    @property
    def single_precision(self) -> bool:
        return self.stage_scale_per_stage != 0.0 or self.fixed_overhead_s != 0.0

    def rounded_s(self, seconds: float) -> float:
        return float(np.float32(seconds)) if self.single_precision else seconds

    def stages_s(self, latency_s: tuple[float, ...]) -> StageSeconds:
        scale = 1.0 + self.stage_scale_per_stage * len(latency_s)
        return tuple(self.rounded_s(seconds * scale) for seconds in latency_s)


@dataclass(frozen=True, slots=True)
class BatchCosts:
    """Stage latencies of one model on one configuration, by batch size (ascending)."""

    sizes: tuple[int, ...]
    stages_s: tuple[StageSeconds, ...]

    @property
    def single(self) -> StageSeconds:
        """One request alone."""
        return self.stages_s[0]

    @property
    def max_batch_size(self) -> int:
        return self.sizes[-1]

    def of(self, batch_size: int) -> StageSeconds:
        """A size between two profiled ones runs padded to the larger. Sizes above the largest are a bug."""
        return self.stages_s[bisect_left(self.sizes, batch_size)]


@dataclass(frozen=True)
class Catalog:
    """Costs of every model of a fleet, with the latency model applied once and kept.

    A stage that gives its output to another host is busy for as long as `links` take longer than inside one.
    """

    profiles: Mapping[str, Profile]
    latency: LatencyModel = LatencyModel()
    links: Links = Links()
    _costs: dict[tuple[str, ParallelConfig], BatchCosts] = field(default_factory=dict, repr=False)

    def supports(self, model: str, config: ParallelConfig) -> bool:
        return self.profiles[model].supports(config)

    def entry(self, model: str, config: ParallelConfig) -> ProfileEntry:
        return self.profiles[model].entry(config)

    def step_times(self, model: str, config: ParallelConfig) -> tuple[StepTimes, ...]:
        """What a step of generation costs on each stage; empty for a model that does not generate."""
        scale = 1.0 + self.latency.stage_scale_per_stage * config.pipeline
        steps = tuple(times.scaled(scale) for times in self.entry(model, config).step_times)
        return self._sent(model, config, steps) if config.crossings and steps else steps

    def costs(self, model: str, config: ParallelConfig) -> BatchCosts:
        key = (model, config)
        if key not in self._costs:
            entry = self.entry(model, config)
            stages = tuple(self.latency.stages_s(entry.stage_latency_s[size]) for size in entry.batch_sizes)
            if config.crossings:
                stages = tuple(
                    self._with_crossings(each_s, config, entry.stage_output_bytes(size))
                    for size, each_s in zip(entry.batch_sizes, stages, strict=True)
                )
            self._costs[key] = BatchCosts(entry.batch_sizes, stages)
        return self._costs[key]

    def _with_crossings(
        self, stages_s: StageSeconds, config: ParallelConfig, output_bytes: tuple[int, ...]
    ) -> StageSeconds:
        longer_s = list(stages_s)
        for stage in config.crossings:
            longer_s[stage] += self.links.crossing_s(output_bytes[stage])
        return tuple(map(self.latency.rounded_s, longer_s))

    def _sent(
        self, model: str, config: ParallelConfig, steps: tuple[StepTimes, ...]
    ) -> tuple[StepTimes, ...]:
        """Steps with what their tokens take to the next host: of a request's output, one token's part."""
        output_bytes = self.entry(model, config).stage_output_bytes(1)
        num_tokens = self.profiles[model].sequence_length or 1
        sent = list(steps)
        for stage in config.crossings:
            latency_s = self.links.crossing_s(0)
            token_s = (self.links.crossing_s(output_bytes[stage]) - latency_s) / num_tokens
            old = sent[stage]
            sent[stage] = replace(old, constant_s=old.constant_s + latency_s, token_s=old.token_s + token_s)
        return tuple(sent)
