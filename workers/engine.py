"""What a group server asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from vocabulary.messages import Batch
from vocabulary.sampling import SampledToken, Sampling
from vocabulary.tensors import Tensor, TensorSpec
from workers.device_memory import DeviceMemory
from workers.multicast import Load, Multicast
from workers.spec import WorkerSpec
from workers.work_times import StageTimes

Tensors = tuple[Tensor, ...]


# A model that generates takes text, or tokens (docs/how-to): endpoints turn the one into the other.
GENERATION_INPUTS = (TensorSpec("text_input", "BYTES", (1,)),)
GENERATION_OUTPUTS = (TensorSpec("text_output", "BYTES", (1,)),)


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
    of generation, instead of answers: the tokens drawn, and what `BatchFinished` says of them. times: of a
    batch that was to be timed.
    """

    batch_id: int
    finish_s: float
    answers: tuple[Answer, ...] = ()
    error: str = ""
    tokens: tuple[SampledToken, ...] = ()
    stopped: tuple[tuple[int, int], ...] = ()
    full_pages: tuple[tuple[int, int, int, int], ...] = ()
    times: StageTimes = ()


class Prompt(msgspec.Struct, frozen=True):
    """What an engine has to know to generate a request's answers. token_ids: int32 [tokens].

    first_hash, block_hashes: as of `workers.frames.GenerationAsk`.
    """

    request_id: int
    model: str
    token_ids: np.ndarray
    output_tokens: int
    num_samples: int = 1
    sampling: Sampling = Sampling()
    first_hash: int | None = None
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

    def read_more(self, spec: WorkerSpec, *, expected: Collection[str] = ()) -> None:
        """Read the weights of those models of `spec` that are not here, but the `expected`.

        They are dropped by `remove`, or by another `read_more`. Blocks; raises StatmuxError, and then all is
        as before. Off the loop, while the others serve.
        """

    def add(self, spec: WorkerSpec, multicasts: Sequence[Multicast] = ()) -> None:
        """Make those models of `spec` ready that are not, while the others serve; reads first if need be.

        Blocks; raises StatmuxError, and then all is as before. Off the loop.
        """

    def remove(self, models: Collection[str]) -> None:
        """Forget models of which nothing runs or waits, and give their memory back.

        Raises RuntimeFailure while weights of one are on their way to another group. On the loop.
        """

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
        is_timed: bool = False,
    ) -> None:
        """Run the batch; `stage_freed` when the first stage can take the next, `finished` at the end.

        start_s: since when the batch and the first stage are both there, at most now. is_timed: the result is
        to say when each stage worked on it.
        """

    def admit(self, prompt: Prompt) -> str:
        """Know a request whose tokens steps will compute; why its input cannot be taken, empty if it can."""

    def forget(self, request_id: int) -> None:
        """The request is over; none of its steps runs any more. Nothing happens for one-shot requests."""

    def stage_busy_s(self) -> tuple[float, ...]:
        """Seconds that each stage has been working since the start."""

    def device_memory(self) -> tuple[DeviceMemory, ...]:
        """What is in use on each device, in the group's order; of as many hosts as have said it."""

    @property
    def num_recompiles(self) -> int: ...

    def close(self) -> None: ...


# Hears when the first stage was free, on the loop's clock.
Freed = Callable[[float], None]
Finished = Callable[[BatchResult], None]
