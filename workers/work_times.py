"""When the stages of a group worked on a request whose trace is recorded. Of others, nothing is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import msgspec
from msgspec.structs import replace

# A prompt that is computed in pieces: of so many of its steps the stages are told one by one.
MAX_TOLD_STEPS = 8


class StageTime(msgspec.Struct, frozen=True, array_like=True):
    """When a stage computed a batch; is_transfer: when its input came from the stage before.

    A transfer to the stage after the last brings the results back to the group's first host.
    """

    stage: int
    start_s: float
    end_s: float
    is_transfer: bool = False


StageTimes = tuple[StageTime, ...]


class StepsTime(msgspec.Struct, frozen=True, array_like=True):
    """Several steps of generation. busy_s: of each stage, how long it computed them, with what ran beside."""

    start_s: float
    end_s: float
    num_steps: int
    busy_s: tuple[float, ...]


class WorkTimes(msgspec.Struct, frozen=True, array_like=True):
    """Of one request. stages: of its batch, or of the steps that computed its prompt, in order of time.

    prefill: the steps up to the first token; decode: those after it. None where there were none.
    """

    stages: StageTimes = ()
    prefill: StepsTime | None = None
    decode: StepsTime | None = None


@dataclass(slots=True)
class _Steps:
    start_s: float
    end_s: float
    num_steps: int = 0
    busy_s: list[float] = field(default_factory=list)

    def add(self, times: StageTimes) -> None:
        self.end_s = max(self.end_s, times[-1].end_s)
        self.num_steps += 1
        for one in times:
            if not one.is_transfer:
                self.busy_s += [0.0] * (one.stage + 1 - len(self.busy_s))
                self.busy_s[one.stage] += one.end_s - one.start_s

    def told(self) -> StepsTime:
        return StepsTime(self.start_s, self.end_s, self.num_steps, tuple(self.busy_s))


@final
class Timesheet:
    """Notes what ran of one request, as its batches end."""

    def __init__(self) -> None:
        self._stages: StageTimes = ()
        self._prefill: _Steps | None = None
        self._decode: _Steps | None = None
        self._has_drawn = False

    def note_batch(self, times: StageTimes) -> None:
        """The request is one-shot."""
        self._stages = times

    def note_step(self, times: StageTimes, *, draws: bool) -> None:
        """draws: a token of the request came of the step."""
        if not times:
            return
        if self._has_drawn:
            self._decode = self._decode or _Steps(times[0].start_s, times[0].end_s)
            self._decode.add(times)
            return
        self._prefill = self._prefill or _Steps(times[0].start_s, times[0].end_s)
        self._prefill.add(times)
        if self._prefill.num_steps <= MAX_TOLD_STEPS:
            self._stages += times
        self._has_drawn = draws

    def told(self, *, offset_s: float) -> WorkTimes:
        """On a clock that is so much behind."""
        prefill, decode = (
            None if steps is None else _earlier_steps(steps.told(), offset_s)
            for steps in (self._prefill, self._decode)
        )
        return WorkTimes(earlier(self._stages, offset_s), prefill, decode)


def earlier(times: Sequence[StageTime], offset_s: float) -> StageTimes:
    """The same times on a clock that is so much behind."""
    if offset_s == 0.0:
        return tuple(times)
    return tuple(replace(one, start_s=one.start_s - offset_s, end_s=one.end_s - offset_s) for one in times)


def followed_by(times: StageTimes, later: StageTime) -> StageTimes:
    """With what came next; clocks of two hosts may disagree about that by a fraction of a millisecond."""
    if times and later.start_s < (end_s := times[-1].end_s):
        later = replace(later, start_s=end_s, end_s=max(later.end_s, end_s))
    return (*times, later)


def emulated_times(start_s: float, ends_s: Sequence[float], stages_s: Sequence[float]) -> StageTimes:
    """Of stages that took `stages_s` and ended at `ends_s`; the first may have begun at `start_s`."""
    times: StageTimes = ()
    before_s = start_s
    for stage, (end_s, took_s) in enumerate(zip(ends_s, stages_s, strict=True)):
        times += (StageTime(stage, max(end_s - took_s, before_s), end_s),)
        before_s = end_s
    return times


def _earlier_steps(steps: StepsTime, offset_s: float) -> StepsTime:
    return replace(steps, start_s=steps.start_s - offset_s, end_s=steps.end_s - offset_s)
