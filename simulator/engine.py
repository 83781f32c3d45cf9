"""The engine of a simulated group: stages take exactly their profiled latencies."""

from __future__ import annotations

from typing import final

import msgspec

from scheduling.pipeline import PipelineClock
from vocabulary.catalog import Catalog
from vocabulary.messages import Batch
from vocabulary.placement import Group


class Run(msgspec.Struct, frozen=True, gc=False):
    """When a started batch frees the first stage and when it leaves the last."""

    stage_free_s: float
    finish_s: float


@final
class ProfileEngine:
    """Runs batches through the group's stages on a virtual clock, `slowness` times as long as profiled."""

    def __init__(self, group: Group, catalog: Catalog) -> None:
        self._config = group.config
        self._costs = {model: catalog.costs(model, group.config) for model in group.models}
        self._times = {model: catalog.step_times(model, group.config) for model in group.models}
        self._clock = PipelineClock(group.config.pipeline)
        self.slowness = 1.0

    def add(self, model: str, catalog: Catalog) -> None:
        """It can run the model, too."""
        self._costs[model] = catalog.costs(model, self._config)
        self._times[model] = catalog.step_times(model, self._config)

    def start(self, batch: Batch, now_s: float) -> Run:
        if batch.tokens:
            num_tokens = sum(batch.tokens)
            stages_s = tuple([one.of(num_tokens, batch.num_kv_tokens) for one in self._times[batch.model]])
        else:
            stages_s = self._costs[batch.model].of(batch.size)
        if self.slowness != 1.0:
            stages_s = tuple([self.slowness * stage_s for stage_s in stages_s])
        finish_s = self._clock.occupy(now_s, stages_s)
        return Run(stage_free_s=self._clock.free_s[0], finish_s=finish_s)
