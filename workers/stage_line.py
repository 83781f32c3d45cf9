"""Consecutive stages of a group in this process, in a line: batches enter the first and leave the last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from traceback import format_exception
from typing import Any, final

import jax

from workers.model import ShardedModel
from workers.padding import PaddedBatch
from workers.passages import Passage, StageThread, raise_it
from workers.work_times import StageTime, StageTimes

# How long an end waits for what is being computed.
_LAST_BATCH_S = 10.0


def trace_of(error: Exception) -> str:
    """For the log: where it was raised, without the values there, which are weights and what clients sent."""
    return "".join(format_exception(error))


@dataclass(frozen=True, slots=True)
class InFlight:
    """A batch on its way: one padded batch, unless its requests bring many rows each.

    ticket: whose it is, in the words of who sent it in. times: of the stages so far; None: nobody asks.
    """

    ticket: Any
    model: ShardedModel
    parts: tuple[PaddedBatch, ...] = ()
    times: StageTimes | None = None


@final
class StageLine:
    """Stages `stages` of every model. Between two of them at most two batches are on their way or waited for.

    pack: makes the parts of a batch, on the first stage's thread. leave: takes a batch from the last stage;
    while it blocks, so does the stage. used: what came in has been computed on, its memory is free again.
    freed: the first stage can take the next. ended: (batch, stage), computed. failed: (batch, stage, what was
    raised). None of them may raise; died: one did, and the line stands still.
    """

    def __init__(
        self,
        stages: range,
        *,
        leave: Callable[[InFlight], None],
        freed: Callable[[InFlight], None],
        failed: Callable[[InFlight, int, Exception], None],
        used: Callable[[InFlight], None] = lambda job: None,
        died: Callable[[Exception], None] = raise_it,
        ended: Callable[[InFlight, int], None] = lambda job, stage: None,
        pack: Callable[[InFlight], InFlight] = lambda job: job,
    ) -> None:
        self._stages = stages
        self._pack = pack
        self._used = used
        self._ended = ended
        self._leave = leave
        self._freed = freed
        self._failed = failed
        self._died = died
        self._busy_s = [0.0] * len(stages)
        self._passages = [self._passage(stage) for stage in stages[1:]]
        self._threads = [self._thread(stage) for stage in stages]

    def enter(self, job: InFlight) -> None:
        """Returns at once."""
        self._threads[0].enter(job)

    def stage_busy_s(self) -> tuple[float, ...]:
        """Seconds that each stage has been computing."""
        return tuple(self._busy_s)

    def close(self) -> None:
        """Batches that have not left are dropped. From any thread."""
        for one in (*self._threads, *self._passages):
            one.close()

    def join(self) -> None:
        """Until nothing is being computed any more, after `close`."""
        for one in (*self._threads, *self._passages):
            one.join(_LAST_BATCH_S)

    def _passage(self, stage: int) -> Passage[InFlight]:
        """To `stage` from the one before it."""
        number = stage - self._stages.start

        def carry(job: InFlight) -> None:
            start_s = time.monotonic()
            taken = tuple(job.model.take(stage, part) for part in job.parts)
            times = _timed(job, stage, start_s, time.monotonic(), is_transfer=True)
            self._threads[number].enter(replace(job, parts=taken, times=times))

        return Passage(
            carry,
            failed=lambda job, error: self._failed(job, stage, error),
            name=f"to-stage-{stage}",
            died=self._died,
            is_instant=lambda job: not any(job.model.is_copied_to(stage, part) for part in job.parts),
        )

    def _thread(self, stage: int) -> StageThread[InFlight]:
        number = stage - self._stages.start
        is_first, is_last = number == 0, number + 1 == len(self._stages)
        return StageThread(
            lambda job: self._compute(stage, job),
            onward=self._leave if is_last else self._passages[number].give,
            freed=self._freed if is_first else lambda job: None,
            failed=lambda job, error: self._failed(job, stage, error),
            name=f"stage-{stage}",
            died=self._died,
        )

    def _compute(self, stage: int, job: InFlight) -> InFlight:
        number = stage - self._stages.start
        try:
            job = self._pack(job) if number == 0 else job
            start_s = time.monotonic()
            parts = jax.block_until_ready(tuple(job.model.run_stage(stage, part) for part in job.parts))
            end_s = time.monotonic()
            self._busy_s[number] += end_s - start_s
            self._ended(job, stage)
        finally:
            if number == 0:
                self._used(job)
            else:
                self._passages[number - 1].free()
        return replace(job, parts=parts, times=_timed(job, stage, start_s, end_s))


def _timed(
    job: InFlight, stage: int, start_s: float, end_s: float, *, is_transfer: bool = False
) -> StageTimes | None:
    if job.times is None:
        return None
    return (*job.times, StageTime(stage, start_s, end_s, is_transfer))
