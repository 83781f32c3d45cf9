"""An engine with a clock: how long each of its steps takes each stage, as the group sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from vocabulary.messages import Batch
from workers.device_memory import DeviceMemory
from workers.engine import BatchResult, Engine, Finished, Freed, ModelInterface, Prompt, Tensors
from workers.multicast import Load, Multicast


@dataclass(frozen=True, slots=True)
class StepMarks:
    """One step of generation, on one clock. num_kv_tokens: of its sequences, in the cache before.

    start_s: when it was decided; stage_ends_s: when each stage but the last was done with it; end_s: when the
    group had heard what it drew and could decide what follows. busy_s: how long stages have computed since
    the end of the step before.
    """

    num_tokens: int
    num_kv_tokens: int
    start_s: float
    stage_ends_s: tuple[float, ...]
    end_s: float
    busy_s: float = 0.0


def stage_times_s(steps: Sequence[StepMarks]) -> list[tuple[float, ...]]:
    """Seconds that each step took each stage, from when it and the stage were both there, in their order.

    So the steps of a stage that is never idle add up to the time that went by: what the host does between
    two steps is in the second's time on the first stage or in the first's on the last, and nowhere twice.
    """
    free_s: list[float] = []
    found = []
    for step in steps:
        ends_s = (*step.stage_ends_s, step.end_s)
        free_s = free_s or [step.start_s] * len(ends_s)
        begins_s = [max(there, free) for there, free in zip((step.start_s, *ends_s), free_s, strict=False)]
        found.append(tuple([end - begin for begin, end in zip(begins_s, ends_s, strict=True)]))
        free_s = list(ends_s)
    return found


@dataclass(slots=True)
class _Running:
    batch: Batch
    start_s: float
    stage_ends_s: dict[int, float] = field(default_factory=dict)


@final
class TimedEngine:
    """Passes everything on to `engine`, and keeps what its steps took: `steps`, in their order.

    stage_ended: to be told when a stage between the first and the last is done with a batch, from any thread.
    """

    def __init__(self, engine: Engine, *, num_stages: int, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._num_stages = num_stages
        self._loop = loop
        self._running: dict[int, _Running] = {}
        self._last_start_s = 0.0
        self._busy_s = 0.0
        self.steps: list[StepMarks] = []

    def stage_ended(self, batch_id: int, stage: int, time_s: float) -> None:
        if 0 < stage < self._num_stages - 1:
            self._running[batch_id].stage_ends_s[stage] = time_s

    def start(
        self,
        batch: Batch,
        inputs: tuple[Tensors, ...],
        *,
        start_s: float,
        stage_freed: Freed,
        finished: Finished,
        is_timed: bool = False,
    ) -> None:
        self._last_start_s = start_s
        running = self._running[batch.id] = _Running(batch, start_s)

        def freed(time_s: float) -> None:
            running.stage_ends_s[0] = time_s
            stage_freed(time_s)

        def told(result: BatchResult) -> None:
            finished(result)
            told_s = self._loop.time()
            # The group decides in this turn of the loop; what it starts then follows without a gap.
            self._loop.call_soon(self._end, batch.id, told_s)

        self._engine.start(
            batch, inputs, start_s=start_s, stage_freed=freed, finished=told, is_timed=is_timed
        )

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return self._engine.interfaces()

    def read(self, *, expected: Collection[str] = ()) -> None:
        self._engine.read(expected=expected)

    def load(self, multicasts: Sequence[Multicast] = ()) -> None:
        self._engine.load(multicasts)

    def give(self, multicasts: Sequence[Multicast]) -> None:
        self._engine.give(multicasts)

    def loads(self) -> tuple[Load, ...]:
        return self._engine.loads()

    def admit(self, prompt: Prompt) -> str:
        return self._engine.admit(prompt)

    def forget(self, request_id: int) -> None:
        self._engine.forget(request_id)

    def stage_busy_s(self) -> tuple[float, ...]:
        return self._engine.stage_busy_s()

    def device_memory(self) -> tuple[DeviceMemory, ...]:
        return self._engine.device_memory()

    @property
    def num_recompiles(self) -> int:
        return self._engine.num_recompiles

    def close(self) -> None:
        self._engine.close()

    def _end(self, batch_id: int, told_s: float) -> None:
        one = self._running.pop(batch_id)
        busy_s, self._busy_s = self._busy_s, sum(self._engine.stage_busy_s())
        self.steps.append(
            StepMarks(
                sum(one.batch.tokens),
                one.batch.num_kv_tokens,
                one.start_s,
                tuple([one.stage_ends_s[stage] for stage in range(self._num_stages - 1)]),
                max(told_s, self._last_start_s) if self._num_stages == 1 else told_s,
                self._busy_s - busy_s,
            )
        )
