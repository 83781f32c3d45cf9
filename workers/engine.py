"""What a group server asks of an engine, and the emulated one: stages that sleep instead of computing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, final

from scheduling.pipeline import PipelineClock
from vocabulary.catalog import Catalog
from vocabulary.messages import Batch
from vocabulary.placement import Group
from vocabulary.tensors import EMULATED_PLATFORM, Tensor, TensorSpec

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class ModelInterface:
    """What a model takes and gives, as clients see it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    platform: str
    max_batch_size: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's output tensors, or why its input cannot be taken, in words."""

    tensors: Tensors = ()
    invalid: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One answer per request of the batch, or `error` in words when the batch failed whole."""

    batch_id: int
    answers: tuple[Answer, ...] = ()
    error: str = ""


class Engine(Protocol):
    """Runs batches through the stages of one group. All calls and callbacks happen on the server's loop."""

    def interfaces(self) -> Mapping[str, ModelInterface]: ...

    def load(self) -> None:
        """Make every model ready; blocks; raises StatmuxError. Called once, off the loop."""

    def start(
        self, batch: Batch, inputs: tuple[Tensors, ...], *, stage_freed: Freed, finished: Finished
    ) -> None:
        """Run the batch; `stage_freed` when the first stage can take the next, `finished` at the end."""

    def stage_busy_s(self) -> tuple[float, ...]:
        """Seconds that each stage has been working since the start."""

    @property
    def num_recompiles(self) -> int: ...

    def close(self) -> None: ...


Freed = Callable[[], None]
Finished = Callable[[BatchResult], None]

# An emulated model answers any one INT32 vector with itself.
ECHO = ModelInterface(
    inputs=(TensorSpec("INPUT0", "INT32", (-1,)),),
    outputs=(TensorSpec("OUTPUT0", "INT32", (-1,)),),
    platform=EMULATED_PLATFORM,
)


@final
class EmulatedEngine:
    """Takes as long as the profile says, on the loop's clock, and echoes its input.

    Timers are set at the absolute times that the pipeline clock computes, as the simulator's engine does. A
    batch that waited for the first stage starts when the stage was free, not when the timer that says so
    fired: a device with a queue does not idle between two batches, and lateness would add up over a burst.
    """

    def __init__(self, group: Group, *, catalog: Catalog, loop: asyncio.AbstractEventLoop) -> None:
        self._costs = {model: catalog.costs(model, group.config) for model in group.models}
        self._clock = PipelineClock(group.config.pipeline)
        self._busy_s = [0.0] * group.config.pipeline
        self._loop = loop
        # When the first stage was free, while the turn that this set off lasts.
        self._freed_s: float | None = None

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return dict.fromkeys(self._costs, ECHO)

    def load(self) -> None:
        return None

    def start(
        self, batch: Batch, inputs: tuple[Tensors, ...], *, stage_freed: Freed, finished: Finished
    ) -> None:
        stages_s = self._costs[batch.model].of(batch.size)
        now_s = self._loop.time()
        finish_s = self._clock.occupy(self._start_s(batch, now_s), stages_s)
        self._busy_s = [busy + stage for busy, stage in zip(self._busy_s, stages_s, strict=True)]
        result = BatchResult(batch.id, tuple(_echo(one) for one in inputs))
        free_s = self._clock.free_s[0]
        # Stages that take no time are never late, and there are many of them a second.
        freed = stage_freed if free_s == now_s else lambda: self._free(free_s, stage_freed)
        self._at(now_s, free_s, freed)
        self._at(now_s, finish_s, lambda: finished(result))

    def _start_s(self, batch: Batch, now_s: float) -> float:
        """Never before the batch's last request arrived."""
        if self._freed_s is None:
            return now_s
        return max(self._freed_s, max(request.arrival_s for request in batch.requests))

    def _free(self, free_s: float, stage_freed: Freed) -> None:
        """What the server decides on hearing it runs before `_forget`: both are due in this turn."""
        self._freed_s = free_s
        stage_freed()
        self._loop.call_soon(self._forget)

    def _forget(self) -> None:
        self._freed_s = None

    def _at(self, now_s: float, time_s: float, callback: Callable[[], None]) -> None:
        """A stage that takes no time needs no timer."""
        if time_s <= now_s:
            callback()
        else:
            self._loop.call_at(time_s, callback)

    def stage_busy_s(self) -> tuple[float, ...]:
        return tuple(self._busy_s)

    @property
    def num_recompiles(self) -> int:
        return 0

    def close(self) -> None:
        return None


def _echo(inputs: Tensors) -> Answer:
    return Answer(
        tuple(Tensor("OUTPUT0", tensor.datatype, tensor.shape, tensor.raw) for tensor in inputs[:1])
    )
