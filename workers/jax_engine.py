"""The engine that computes: every model of the group as stages on the group's devices, one thread a stage.

What a stage has made is on its way to the next while it computes another batch: within this process, or to
followers on further hosts. Threads only compute and carry; all decisions stay on the server's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import structlog

from resharding.transport.host import HostTransport
from vocabulary.errors import InvalidInput
from vocabulary.messages import Batch
from vocabulary.numpy_tensors import array_of, tensor_of
from workers.crew import Crew
from workers.engine import (
    GENERATION_INPUTS,
    GENERATION_OUTPUTS,
    Answer,
    BatchResult,
    Finished,
    Freed,
    GenerationInterface,
    ModelInterface,
    Prompt,
    Tensors,
)
from workers.generation.host_step import Drawn, HostStep
from workers.generation.model import GeneratingModel
from workers.generation.token_book import TokenBook
from workers.generation.token_books import TokenBooks
from workers.loading import Loader
from workers.model import ShardedModel
from workers.multicast import Load, Multicast
from workers.padding import PaddedBatch
from workers.spec import WorkerSpec
from workers.stage_line import InFlight, StageLine, trace_of

_log = structlog.get_logger("statmux.worker")


@dataclass(frozen=True, slots=True)
class _Job:
    """One batch, as the server gave it. invalid: why a request's input cannot be taken, empty if it can.

    step: of a batch that generates, what it computes.
    """

    batch: Batch
    inputs: tuple[Tensors, ...]
    stage_freed: Freed
    finished: Finished
    invalid: tuple[str, ...] = ()
    step: HostStep | None = None


# Hears that a stage is done with a batch: its number, the stage, when. From the stage's thread.
StageEnded = Callable[[int, int, float], None]


def _ignore(*news: object) -> None:
    return None


@final
class JaxEngine:
    """Runs the group's models with JAX; see `workers.engine.Engine`.

    lost: called on the loop, once, when a follower of the group is gone, or the pages of a model that
    generates; every batch has failed then.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        loop: asyncio.AbstractEventLoop,
        lost: Callable[[str], None] = _ignore,
        stage_ended: StageEnded = _ignore,
        transport: HostTransport | None = None,
    ) -> None:
        self._spec = spec
        self._transport = transport or HostTransport(address=spec.host, timeout_s=spec.peer_timeout_s)
        self._loader = Loader(spec, place=0, transport=self._transport)
        self._is_read = False
        self._loop = loop
        self._tell_lost = lost
        self._models: dict[str, ShardedModel | GeneratingModel] = {}
        self._books = TokenBooks({})
        self._running: dict[int, _Job] = {}
        self._away: dict[int, InFlight] = {}
        # With one stage, the news that a step ended says that the stage is free: one turn of the loop less.
        self._is_one_stage = spec.group.config.pipeline == 1
        self._last_freed: _Job | None = None
        self._why_lost = ""
        self._crew = self._make_crew() if spec.followers else None
        self._line = StageLine(
            spec.stages_of_processes[0],
            pack=_packed,
            leave=self._answer if self._crew is None else self._depart,
            freed=self._free,
            failed=self._fail,
            ended=lambda job, stage: stage_ended(job.ticket.batch.id, stage, time.monotonic()),
        )

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return {name: _interface(model) for name, model in self._models.items()}

    def read(self, *, expected: Collection[str] = ()) -> None:
        """Read all weights but those that are `expected` from other groups. Raises StatmuxError."""
        self._is_read = True
        if self._crew is not None:
            self._crew.join(expected=tuple(expected))
        self._loader.read(expected=expected)
        if self._crew is not None:
            self._crew.muster()

    def load(self, multicasts: Sequence[Multicast] = ()) -> None:
        """Take part in multicasts of weights, then compile every model, all buckets. Raises StatmuxError."""
        if not self._is_read:
            self.read()
        if self._crew is not None:
            self._crew.prepare(multicasts)
        self._loader.receive(multicasts)
        self.take(self._loader.compile())
        if self._crew is not None:
            self._crew.muster()
            self._crew.start()

    def take(self, models: Mapping[str, ShardedModel | GeneratingModel]) -> None:
        """Serve models that are ready."""
        self._models = dict(models)
        self._books = TokenBooks(
            {
                name: TokenBook(eos_ids=model.eos_ids, page_tokens=model.limits.page_tokens)
                for name, model in self._models.items()
                if isinstance(model, GeneratingModel)
            }
        )

    def give(self, multicasts: Sequence[Multicast]) -> None:
        """Give weights to new replicas, while the models serve. Blocks."""
        if self._crew is not None:
            self._crew.give_weights(multicasts)
        self._loader.give(multicasts)

    def loads(self) -> tuple[Load, ...]:
        """How each model's weights came to the devices of this process."""
        return tuple(self._loader.loads)

    def start(
        self,
        batch: Batch,
        inputs: tuple[Tensors, ...],
        *,
        start_s: float,
        stage_freed: Freed,
        finished: Finished,
    ) -> None:
        step = self._books.step(batch) if batch.slices else None
        job = _Job(batch, inputs, stage_freed, finished, step=step)
        self._running[batch.id] = job
        if self._why_lost:
            self._finish(batch.id, error=self._why_lost)
        else:
            self._line.enter(InFlight(job, self._models[batch.model]))

    def admit(self, prompt: Prompt) -> str:
        model = self._models[prompt.model]
        assert isinstance(model, GeneratingModel), prompt.model
        why = _why_not(model, prompt)
        if not why:
            self._books.admit(prompt)
        return why

    def forget(self, request_id: int) -> None:
        self._books.forget(request_id)

    def stage_busy_s(self) -> tuple[float, ...]:
        others = () if self._crew is None else self._crew.stage_busy_s()
        return self._line.stage_busy_s() + others

    @property
    def num_recompiles(self) -> int:
        others = 0 if self._crew is None else self._crew.num_recompiles
        return others + sum(model.num_recompiles for model in self._models.values())

    def close(self) -> None:
        self._line.close()
        if self._crew is not None:
            self._crew.close()
        self._transport.close()

    def _make_crew(self) -> Crew:
        return Crew(
            self._spec,
            transport=self._transport,
            arrived=self._arrive,
            broken=lambda number, words: self._finish(number, error=words),
            lost=self._lose,
        )

    def _finish_step(self, job: _Job, drawn: Drawn, finish_s: float) -> None:
        """On the loop: books are its own."""
        if self._running.pop(job.batch.id, None) is not None:
            job.finished(self._books.result(job.batch, drawn, finish_s))
        if self._is_one_stage:
            job.stage_freed(finish_s)

    # Below here runs on the stages' threads and the crew's.

    def _answer(self, job: InFlight) -> None:
        if isinstance(job.model, GeneratingModel):
            drawn = job.model.drawn(job.parts)
            if self._is_one_stage:
                self._last_freed = job.ticket
            self._tell(self._finish_step, job.ticket, drawn, time.monotonic())
        else:
            self._finish(job.ticket.batch.id, answers=_answers(job))

    def _free(self, job: InFlight) -> None:
        if self._last_freed is job.ticket:
            self._last_freed = None
        else:
            self._tell(job.ticket.stage_freed, time.monotonic())

    def _depart(self, job: InFlight) -> None:
        self._away[job.ticket.batch.id] = job
        assert self._crew is not None
        self._crew.give(job)

    def _arrive(self, number: int, results: tuple[PaddedBatch, ...]) -> None:
        job = self._away.pop(number)
        parts = tuple(
            replace(part, arrays=result.arrays) for part, result in zip(job.parts, results, strict=True)
        )
        self._answer(replace(job, parts=parts))

    def _fail(self, job: InFlight, stage: int, error: Exception) -> None:
        """Whatever goes wrong is told to the batch's requests, and the group goes on.

        Unless the keys and values of others went with it: a group that has lost them is loaded again.
        """
        batch = job.ticket.batch
        _log.error("stage failed", stage=stage, model=batch.model, batch=batch.id, exception=trace_of(error))
        # The client gets the kind, the log the words: they may hold what is not the client's to see.
        words = f"{type(error).__name__} in stage {stage}"
        if isinstance(job.model, GeneratingModel) and not job.model.has_pages(stage):
            self._lose(f"the pages of {batch.model} are lost: {words}")
        else:
            self._finish(batch.id, error=words)

    def _lose(self, why: str) -> None:
        if self._why_lost:
            return
        self._why_lost = why
        self._line.close()
        for number in tuple(self._running):
            self._finish(number, error=why)
        self._tell(self._tell_lost, why)

    def _finish(self, number: int, *, answers: Sequence[Answer] = (), error: str = "") -> None:
        """Once for each batch: the loss of a follower may come between."""
        job = self._running.pop(number, None)
        self._away.pop(number, None)
        if job is not None:
            self._tell(job.finished, BatchResult(number, time.monotonic(), tuple(answers), error=error))

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        # A loop that is closed already needs no news.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def _why_not(model: GeneratingModel, prompt: Prompt) -> str:
    """Why the model cannot take a prompt; the endpoint has checked the same, of the view that it had."""
    token_ids, most = prompt.token_ids, len(prompt.token_ids) + prompt.output_tokens
    if prompt.output_tokens < 1:
        return "an answer has at least one token"
    if not len(token_ids) or token_ids.min() < 0 or token_ids.max() >= model.vocab_size:
        return f"token ids must be between 0 and {model.vocab_size - 1}, and at least one"
    if most > model.max_model_len:
        return f"prompt and answer may have {most} tokens, and the model takes {model.max_model_len}"
    return ""


def _interface(model: ShardedModel | GeneratingModel) -> ModelInterface:
    if not isinstance(model, GeneratingModel):
        return ModelInterface(model.inputs, model.outputs, "statmux_jax", max_batch_size=0)
    generation = GenerationInterface(model.max_model_len, model.vocab_size, tuple(model.eos_ids))
    return ModelInterface(
        GENERATION_INPUTS, GENERATION_OUTPUTS, "statmux_jax", max_batch_size=0, generation=generation
    )


def _packed(job: InFlight) -> InFlight:
    """The batch's valid requests padded together, or its step in arrays."""
    if job.ticket.step is not None:
        return replace(job, parts=job.model.pack(job.ticket.step))
    prepared, invalid = [], []
    for tensors in job.ticket.inputs:
        try:
            prepared.append(job.model.prepare({tensor.name: array_of(tensor) for tensor in tensors}))
            invalid.append("")
        except InvalidInput as error:
            invalid.append(error.message)
    parts = tuple(job.model.parts(prepared))
    return replace(job, parts=parts, ticket=replace(job.ticket, invalid=tuple(invalid)))


def _answers(job: InFlight) -> tuple[Answer, ...]:
    """Outputs for the valid requests, in the order of the batch."""
    outputs = iter([one for part in job.parts for one in job.model.unpad(part)])
    return tuple(
        Answer(invalid=why)
        if why
        else Answer(tuple(tensor_of(name, array) for name, array in next(outputs).items()))
        for why in job.ticket.invalid
    )
