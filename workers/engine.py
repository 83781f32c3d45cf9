"""What a group server asks of an engine, and the emulated one: stages that sleep instead of computing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import msgspec
import numpy as np

from scheduling.pipeline import PipelineClock
from vocabulary.catalog import Catalog
from vocabulary.messages import Batch
from vocabulary.placement import Group
from vocabulary.sampling import SampledToken, Sampling
from vocabulary.tensors import EMULATED_PLATFORM, Tensor, TensorSpec
from workers.multicast import Load, Multicast

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class GenerationInterface:
    """Of a model that generates: its longest context, its vocabulary, the tokens that end an answer."""

    max_model_len: int
    vocab_size: int
    eos_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInterface:
    """What a model takes and gives, as clients see it. generation: None where requests are one-shot."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    platform: str
    max_batch_size: int = 1
    generation: GenerationInterface | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's output tensors, or why its input cannot be taken, in words."""

    tensors: Tensors = ()
    invalid: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One answer per request of the batch, or `error` in words when the batch failed whole.

    finish_s: when the last stage ended, on the loop's clock; the news of it comes a little later. Of a step
    of generation, instead of answers: the tokens drawn, and what `BatchFinished` says of them.
    """

    batch_id: int
    finish_s: float
    answers: tuple[Answer, ...] = ()
    error: str = ""
    tokens: tuple[SampledToken, ...] = ()
    stopped: tuple[tuple[int, int], ...] = ()
    full_pages: tuple[tuple[int, int, int, int], ...] = ()


class Prompt(msgspec.Struct, frozen=True):
    """What an engine has to know to generate a request's answers. token_ids: int32 [tokens]."""

    request_id: int
    model: str
    token_ids: np.ndarray
    output_tokens: int
    num_samples: int = 1
    sampling: Sampling = Sampling()
    block_hashes: tuple[int, ...] = ()


class Engine(Protocol):
    """Runs batches through the stages of one group. All calls and callbacks happen on the server's loop."""

    def interfaces(self) -> Mapping[str, ModelInterface]: ...

    def read(self, *, expected: Collection[str] = ()) -> None:
        """Read the weights of all models but the `expected`; blocks; raises StatmuxError. Off the loop."""

    def load(self, multicasts: Sequence[Multicast] = ()) -> None:
        """Take part in these, then make every model ready; reads first if nobody asked for that.

        Blocks; raises StatmuxError. Called once, off the loop.
        """

    def give(self, multicasts: Sequence[Multicast]) -> None:
        """Give weights to new replicas of other groups; blocks. Off the loop, while the models serve."""

    def loads(self) -> tuple[Load, ...]:
        """How the models' weights came."""

    def start(
        self,
        batch: Batch,
        inputs: tuple[Tensors, ...],
        *,
        start_s: float,
        stage_freed: Freed,
        finished: Finished,
    ) -> None:
        """Run the batch; `stage_freed` when the first stage can take the next, `finished` at the end.

        start_s: since when the batch and the first stage are both there, at most now.
        """

    def admit(self, prompt: Prompt) -> str:
        """Know a request whose tokens steps will compute; why its input cannot be taken, empty if it can."""

    def forget(self, request_id: int) -> None:
        """The request is over; none of its steps runs any more. Nothing happens for one-shot requests."""

    def stage_busy_s(self) -> tuple[float, ...]:
        """Seconds that each stage has been working since the start."""

    @property
    def num_recompiles(self) -> int: ...

    def close(self) -> None: ...


# Hears when the first stage was free, on the loop's clock.
Freed = Callable[[float], None]
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

    Batches start and end at the times that the pipeline clock computes, as in the simulator's engine; timers
    only carry the news.
    """

    def __init__(self, group: Group, *, catalog: Catalog, loop: asyncio.AbstractEventLoop) -> None:
        self._costs = {model: catalog.costs(model, group.config) for model in group.models}
        self._clock = PipelineClock(group.config.pipeline)
        self._busy_s = [0.0] * group.config.pipeline
        self._loop = loop

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return dict.fromkeys(self._costs, ECHO)

    def read(self, *, expected: Collection[str] = ()) -> None:
        return None

    def load(self, multicasts: Sequence[Multicast] = ()) -> None:
        return None

    def give(self, multicasts: Sequence[Multicast]) -> None:
        return None

    def loads(self) -> tuple[Load, ...]:
        return ()

    def start(
        self,
        batch: Batch,
        inputs: tuple[Tensors, ...],
        *,
        start_s: float,
        stage_freed: Freed,
        finished: Finished,
    ) -> None:
        stages_s = self._costs[batch.model].of(batch.size)
        finish_s = self._clock.occupy(start_s, stages_s)
        free_s = self._clock.free_s[0]
        self._busy_s = [busy + stage for busy, stage in zip(self._busy_s, stages_s, strict=True)]
        result = BatchResult(batch.id, finish_s, tuple(_echo(one) for one in inputs))
        now_s = self._loop.time()
        self._at(now_s, free_s, lambda: stage_freed(free_s))
        self._at(now_s, finish_s, lambda: finished(result))

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
