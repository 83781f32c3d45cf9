"""The engine that computes: every model of the group as stages on the group's devices, one thread a stage.

What a stage has made is on its way to the next while it computes another batch: within this process, or to
followers on further hosts. Threads only compute and carry; all decisions stay on the server's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

import structlog

from resharding.transport.host import HostTransport
from vocabulary.messages import Batch
from workers.crew import Crew
from workers.device_memory import DeviceMemory
from workers.engine import (
    Answer,
    BatchResult,
    Finished,
    Freed,
    ModelInterface,
    Prompt,
    Tensors,
)
from workers.generation.host_step import Drawn
from workers.generation.model import GeneratingModel
from workers.generation.token_book import TokenBook
from workers.generation.token_books import TokenBooks
from workers.jax_batches import Job, answers_of, interface_of, packed, why_not
from workers.loading import LoadedModel, Loader
from workers.multicast import Load, Multicast
from workers.padding import PaddedBatch
from workers.spec import WorkerSpec
from workers.stage_line import InFlight, StageLine, trace_of
from workers.work_times import StageTimes

_log = structlog.get_logger("statmux.worker")
# How XLA's errors begin where a device has no room for a batch.
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"


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
        self._models: dict[str, LoadedModel] = {}
        self._books = TokenBooks({})
        self._running: dict[int, Job] = {}
        self._away: dict[int, InFlight] = {}
        # With one stage, the news that a step ended says that the stage is free: one turn of the loop less.
        self._is_one_stage = spec.group.config.pipeline == 1
        self._last_freed: Job | None = None
        self._why_lost = ""
        self._crew = self._make_crew() if spec.followers else None
        self._line = StageLine(
            spec.stages_of_processes[0],
            pack=packed,
            leave=self._answer if self._crew is None else self._depart,
            freed=self._free,
            failed=self._fail,
            died=self._die,
            ended=lambda job, stage: stage_ended(job.ticket.batch.id, stage, time.monotonic()),
        )

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return {name: interface_of(model) for name, model in self._models.items()}

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

    def take(self, models: Mapping[str, LoadedModel]) -> None:
        """Serve these, which are ready, too."""
        self._books.add(
            {
                name: TokenBook(eos_ids=model.eos_ids, page_tokens=model.limits.page_tokens)
                for name, model in models.items()
                if isinstance(model, GeneratingModel)
            }
        )
        # Not changed in place: others read it on other threads.
        self._models = {**self._models, **models}

    def read_more(self, spec: WorkerSpec, *, expected: Collection[str] = ()) -> None:
        """Read the weights of further models, while the others serve. Raises StatmuxError."""
        new = self._missing(spec)
        with self._all_or_none(new):
            if self._crew is not None and new:
                self._crew.read_more(new, expected=tuple(expected))
            elif self._crew is not None:
                self._crew.drop(())
            self._loader.read_more(spec, expected=expected)

    def add(self, spec: WorkerSpec, multicasts: Sequence[Multicast] = ()) -> None:
        """Make further models ready, while the others serve. Raises StatmuxError."""
        new = self._missing(spec)
        if new and not self._loader.has_opened(new):
            self.read_more(spec)
        with self._all_or_none(new):
            if self._crew is not None and new:
                self._crew.prepare(multicasts)
            self._loader.receive(multicasts)
            models = self._loader.compile()
        self.take(models)

    def remove(self, models: Collection[str]) -> None:
        """On the loop, when nothing of them runs. Raises RuntimeFailure while one is being given."""
        self._loader.remove(models)
        if self._crew is not None:
            self._crew.drop(tuple(models))
        self._models = {name: model for name, model in self._models.items() if name not in models}
        self._books.remove(models)

    def _missing(self, spec: WorkerSpec) -> tuple[str, ...]:
        return tuple(one.name for one in spec.models if one.name not in self._models)

    @contextlib.contextmanager
    def _all_or_none(self, new: Sequence[str]) -> Iterator[None]:
        """All processes of the group do what is asked inside for the `new` models, or none has them."""
        try:
            try:
                yield
            finally:
                if self._crew is not None and new:
                    self._crew.muster_serving()
        except BaseException:
            self._loader.drop_unfinished()
            self._loader.remove(new)
            if self._crew is not None and new:
                self._crew.drop(new)
            raise

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
        is_timed: bool = False,
    ) -> None:
        step = self._books.step(batch) if batch.slices else None
        job = Job(batch, inputs, stage_freed, finished, step=step)
        self._running[batch.id] = job
        if self._why_lost:
            self._finish(batch.id, error=self._why_lost)
        else:
            self._line.enter(InFlight(job, self._models[batch.model], times=() if is_timed else None))

    def admit(self, prompt: Prompt) -> str:
        model = self._models[prompt.model]
        assert isinstance(model, GeneratingModel), prompt.model
        why = why_not(model, prompt)
        if not why:
            self._books.admit(prompt)
        return why

    def forget(self, request_id: int) -> None:
        self._books.forget(request_id)

    def stage_busy_s(self) -> tuple[float, ...]:
        others = () if self._crew is None else self._crew.stage_busy_s()
        return self._line.stage_busy_s() + others

    def device_memory(self) -> tuple[DeviceMemory, ...]:
        others = () if self._crew is None else self._crew.device_memory()
        return self._loader.device_memory() + others

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

    def _finish_step(self, job: Job, drawn: Drawn, finish_s: float, times: StageTimes) -> None:
        """On the loop: books are its own."""
        if self._running.pop(job.batch.id, None) is not None:
            job.finished(self._books.result(job.batch, drawn, finish_s, times))
        if self._is_one_stage:
            job.stage_freed(finish_s)

    # Below here runs on the stages' threads and the crew's.

    def _answer(self, job: InFlight) -> None:
        if isinstance(job.model, GeneratingModel):
            drawn = job.model.drawn(job.parts)
            if self._is_one_stage:
                self._last_freed = job.ticket
            self._tell(self._finish_step, job.ticket, drawn, time.monotonic(), job.times or ())
        else:
            self._finish(job.ticket.batch.id, answers=answers_of(job), times=job.times or ())

    def _free(self, job: InFlight) -> None:
        if self._last_freed is job.ticket:
            self._last_freed = None
        else:
            self._tell(job.ticket.stage_freed, time.monotonic())

    def _depart(self, job: InFlight) -> None:
        self._away[job.ticket.batch.id] = job
        assert self._crew is not None
        self._crew.give(job)

    def _arrive(self, number: int, results: tuple[PaddedBatch, ...], times: StageTimes | None) -> None:
        job = self._away.pop(number)
        parts = tuple(
            replace(part, arrays=result.arrays) for part, result in zip(job.parts, results, strict=True)
        )
        self._answer(replace(job, parts=parts, times=times))

    def _fail(self, job: InFlight, stage: int, error: Exception) -> None:
        """Whatever goes wrong is told to the batch's requests, and the group goes on.

        Unless the keys and values of others went with it: a group that has lost them is loaded again.
        """
        batch = job.ticket.batch
        _log.error("stage failed", stage=stage, model=batch.model, batch=batch.id, exception=trace_of(error))
        # The client gets the kind, the log the words: they may hold what is not the client's to see.
        words = f"{_kind_of(error)} in stage {stage}"
        if isinstance(job.model, GeneratingModel) and not job.model.has_pages(stage):
            self._lose(f"the pages of {batch.model} are lost: {words}")
        else:
            self._finish(batch.id, error=words)

    def _die(self, error: Exception) -> None:
        """A thread of ours is gone."""
        _log.error("stages stand still", exception=trace_of(error))
        self._lose(f"its stages stand still: {type(error).__name__}")

    def _lose(self, why: str) -> None:
        if self._why_lost:
            return
        self._why_lost = why
        self._line.close()
        for number in tuple(self._running):
            self._finish(number, error=why)
        self._tell(self._tell_lost, why)

    def _finish(
        self, number: int, *, answers: Sequence[Answer] = (), error: str = "", times: StageTimes = ()
    ) -> None:
        """Once for each batch: the loss of a follower may come between."""
        job = self._running.pop(number, None)
        self._away.pop(number, None)
        if job is not None:
            result = BatchResult(number, time.monotonic(), tuple(answers), error=error, times=times)
            self._tell(job.finished, result)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        # A loop that is closed already needs no news.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def _kind_of(error: Exception) -> str:
    """What a client may know of it."""
    is_memory = isinstance(error, MemoryError) or _OUT_OF_MEMORY in str(error)
    return "out of memory" if is_memory else type(error).__name__
