"""One generating model on one idle group, step by step: what faster ways to compute it have to equal."""

from __future__ import annotations

from collections.abc import Sequence as Row
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduling.generation import GenerationScheduler
from scheduling.queueing import ORDERS
from vocabulary.generation import GenerationLimits, Prefix, StepTimes
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.request import Request


@dataclass(frozen=True)
class Generated:
    """first_token_s, finish_s: float64 [requests], NaN where a request was refused for its size."""

    first_token_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    statistics: GenerationStatistics

    @property
    def refused(self) -> NDArray[np.bool_]:
        return np.isnan(self.finish_s)


def generate(
    arrival_s: Row[float],
    input_tokens: Row[int],
    output_tokens: Row[int],
    *,
    limits: GenerationLimits,
    times: StepTimes,
    prefixes: Row[Prefix | None] | None = None,
) -> Generated:
    """Every request answered in the order of arrival, one step after the other, on one stage."""
    scheduler = GenerationScheduler(limits, order=ORDERS["fcfs"])
    first_token_s = np.full(len(arrival_s), np.nan)
    finish_s = np.full(len(arrival_s), np.nan)
    now_s, index = 0.0, 0
    while True:
        while index < len(arrival_s) and arrival_s[index] <= now_s:
            prefix = None if prefixes is None else prefixes[index]
            request = Request(
                index,
                "model",
                float(arrival_s[index]),
                prefix=prefix,
                input_tokens=int(input_tokens[index]),
                output_tokens=int(output_tokens[index]),
            )
            if scheduler.can_ever_run(request):
                scheduler.push(request)
            index += 1
        step = scheduler.next_step()
        if step is None:
            assert scheduler.num_running == scheduler.num_waiting == 0, "runnable work and no step"
            if index == len(arrival_s):
                return Generated(first_token_s, finish_s, scheduler.statistics)
            now_s = float(arrival_s[index])
            continue
        now_s += times.of(step.num_tokens, step.num_kv_tokens)
        progress = scheduler.finish(step)
        first_token_s[list(progress.first_token_ids)] = now_s
        finish_s[list(progress.finished_ids)] = now_s
