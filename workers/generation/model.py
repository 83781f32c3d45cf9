"""A model that generates, on the devices of one process: cut into stages as any other, with pages on each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, final

import jax
import numpy as np

from vocabulary.generation import GenerationLimits
from vocabulary.messages import NO_MOVES
from workers.generation.drawn_parts import join_drawn
from workers.generation.host_step import Drawn, HostStep
from workers.generation.packing import pack_step
from workers.generation.sampler import Sampler
from workers.generation.shapes import StepBucket, StepShapes
from workers.generation.stage import DRAWN, GenerationStage, StepPart
from workers.passages import NUM_BUFFERS

# Each holds a program in memory while it compiles.
_MOST_COMPILERS = 8


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """What a model generates within. eos_ids: tokens that end an answer."""

    limits: GenerationLimits
    max_model_len: int
    vocab_size: int
    eos_ids: tuple[int, ...]


@final
class GeneratingModel:
    """Steps go in with `pack`, their parts through `run_stage` 0, 1, ... in order, and out with `drawn`.

    run_stage never waits for the devices (but where pages go to the host), so stages work on different steps
    at the same time. Each stage is to be called by one thread at a time, and with all parts in one order:
    the pages remember. first_stage: the stages before it, and those after the last, are other processes'.
    """

    def __init__(
        self,
        stages: tuple[GenerationStage, ...],
        *,
        task: GenerationTask,
        shapes: StepShapes,
        sampler: Sampler | None,
        first_stage: int = 0,
    ) -> None:
        self._stages = dict(enumerate(stages, first_stage))
        self._task = task
        self._shapes = shapes
        self._sampler = sampler
        self._num_compiles_at_ready: int | None = None

    @property
    def limits(self) -> GenerationLimits:
        return self._task.limits

    @property
    def max_model_len(self) -> int:
        """Tokens of the longest prompt with its answer."""
        return self._task.max_model_len

    @property
    def vocab_size(self) -> int:
        return self._task.vocab_size

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        return self._task.eos_ids

    @property
    def num_stages(self) -> int:
        """Those of this process."""
        return len(self._stages)

    @property
    def weight_bytes_per_stage(self) -> tuple[int, ...]:
        """Bytes of parameters on the fullest device of every stage."""
        return tuple(stage.weight_bytes for stage in self._stages.values())

    @property
    def kv_bytes_per_token(self) -> tuple[int, ...]:
        """Bytes of keys and values of a token on each device of every stage."""
        return tuple(stage.pages.bytes_per_token for stage in self._stages.values())

    def pages(self) -> Iterator[jax.Array]:
        """The arrays of pages on the devices, as long as no step runs: one takes them and gives others."""
        for stage in self._stages.values():
            yield from jax.tree.leaves(stage.pages.caches)

    @property
    def num_compiles(self) -> int:
        """Executables made so far."""
        return sum(stage.num_compiles for stage in self._stages.values())

    @property
    def num_recompiles(self) -> int:
        """Executables made after the model was ready."""
        return 0 if self._num_compiles_at_ready is None else self.num_compiles - self._num_compiles_at_ready

    def compile(self) -> None:
        """Compile every stage for every shape and run each once. The model is ready afterwards. Blocks."""
        # The compiler does not hold the interpreter, and one program seldom keeps two cores busy.
        with ThreadPoolExecutor(min(_MOST_COMPILERS, os.cpu_count() or 1)) as pool:
            for done in [pool.submit(*one) for one in self._programs()]:
                done.result()
        for bucket in self._shapes.buckets:
            part = self._blank(bucket)
            for number, stage in self._stages.items():
                stage.reserve(part.arrays, count=NUM_BUFFERS)
                part = jax.block_until_ready(self.run_stage(number, part))
        self._num_compiles_at_ready = self.num_compiles

    def release(self) -> None:
        """Give the devices' memory back; it does not run any more."""
        for stage in self._stages.values():
            stage.release()

    def pack(self, step: HostStep) -> tuple[StepPart, ...]:
        """A step as arrays: one part, or several where no compiled shape holds all its rows. Numpy only."""
        packed = pack_step(step, self._shapes)
        return tuple(
            StepPart(
                one.bucket,
                one.integers,
                one.draws,
                one.numbers,
                moves=step.moves if index == 0 else NO_MOVES,
            )
            for index, one in enumerate(packed)
        )

    def run_stage(self, stage: int, part: StepPart) -> StepPart:
        """Dispatch one stage on what the stage before it gave; returns without waiting."""
        return replace(part, arrays=self._stages[stage].run(part))

    def run(self, parts: Sequence[StepPart]) -> tuple[StepPart, ...]:
        """All parts of a step through all stages; returns without waiting."""
        done = tuple(parts)
        for stage in self._stages:
            done = tuple(self.run_stage(stage, part) for part in done)
        return done

    def take(self, stage: int, part: StepPart) -> StepPart:
        """A part as the stage before gave it, on the devices of `stage`."""
        return replace(part, arrays=self._stages[stage].take(part.arrays))

    def is_copied_to(self, stage: int, part: StepPart) -> bool:
        """Whether `take` works, rather than hand over or dispatch."""
        return self._stages[stage].is_copied(part.arrays)

    def has_pages(self, stage: int) -> bool:
        """Whether the stage can go on after a step that failed. Blocks."""
        return self._stages[stage].pages.are_there()

    def drawn(self, parts: Sequence[StepPart]) -> Drawn:
        """What all parts of a step drew, after the last stage. Blocks until it is there."""
        assert self._sampler is not None, "the last stage is another process's"
        drawing = [part for part in parts if part.draws]
        results = [self._sampler.drawn(part.arrays[DRAWN], len(part.draws)) for part in drawing]
        if len(results) == 1:
            return results[0]
        return join_drawn([part.numbers for part in drawing], results)

    def _programs(self) -> Iterator[tuple[Any, ...]]:
        """Calls that compile something, the slowest first."""
        for stage in self._stages.values():
            yield from ((stage.compile, bucket) for bucket in reversed(self._shapes.buckets))
            yield (stage.pages.compile,)
        if self._sampler is not None:
            for rows in sorted({one.num_rows for one in self._shapes.buckets}):
                yield self._sampler.compile, (rows,)

    def _blank(self, bucket: StepBucket) -> StepPart:
        """A part of nothing, as the first stage here takes it."""
        integers = np.zeros(self._shapes.num_integers(bucket), np.int32)
        self._shapes.view(bucket, integers).slots_T[:] = self._shapes.padding_slot
        first = next(iter(self._stages.values()))
        return StepPart(bucket, integers, (), (), arrays=first.blank(bucket))
