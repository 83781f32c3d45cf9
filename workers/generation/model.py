"""A model that generates, on the devices of one process: cut into stages as any other, with pages on each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from placement.stages import even_stages
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits
from vocabulary.messages import NO_MOVES
from vocabulary.parallel import ParallelConfig
from workers.attention.interface import AttentionBackend
from workers.attention.select import AUTO
from workers.families import family_of
from workers.families.family import Family
from workers.generation.drawn_parts import join_drawn
from workers.generation.eos import eos_ids
from workers.generation.host_step import Drawn, HostStep
from workers.generation.packing import pack_step
from workers.generation.sampler import Sampler
from workers.generation.shapes import StepBucket, StepShapes, step_shapes
from workers.generation.stage import DRAWN, GenerationStage, StepPart
from workers.generation.stage_attention import attention_backend
from workers.generation.stage_pages import PageLayout, StagePages
from workers.model import StageWeights
from workers.passages import NUM_BUFFERS
from workers.stages import StagePlan, read_weights, stage_meshes, stage_plans
from workers.weights import Checkpoint, open_source

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


@dataclass(frozen=True, slots=True)
class OpenGeneratingModel:
    """A model whose weights are not here yet. plans: of all stages; meshes: of those of this process."""

    checkpoint: Checkpoint
    plans: tuple[StagePlan, ...]
    meshes: Mapping[int, Mesh]
    task: GenerationTask
    shapes: StepShapes
    backend: AttentionBackend

    def read(self) -> StageWeights:
        """The weights of the stages here, from the source. Raises InvalidInput for bad tensors."""
        return {
            stage: read_weights(self.plans[stage], self.checkpoint, mesh=mesh)
            for stage, mesh in self.meshes.items()
        }

    def stages_of(
        self, config: ParallelConfig, cut: tuple[range, ...] | None = None
    ) -> tuple[StagePlan, ...]:
        """The stages of this model in another configuration, as `open_generating_model` cuts it."""
        some = self.plans[0]
        cut = even_stages(some.config.num_layers, config.pipeline) if cut is None else cut
        return stage_plans(cut, some.family, some.config, output=some.output, dtype=some.dtype)

    def model(self, weights: StageWeights) -> GeneratingModel:
        """With pages of zeros."""
        last = len(self.plans) - 1
        sampler = self._sampler(self.meshes[last]) if last in self.meshes else None
        stages = tuple(
            GenerationStage(
                self.plans[stage],
                weights[stage],
                mesh,
                shapes=self.shapes,
                pages=StagePages(self._layout(stage), self.backend, mesh),
                sampler=sampler if stage == last else None,
            )
            for stage, mesh in self.meshes.items()
        )
        return GeneratingModel(
            stages, task=self.task, shapes=self.shapes, sampler=sampler, first_stage=min(self.meshes)
        )

    def _layout(self, stage: int) -> PageLayout:
        plan, limits = self.plans[stage], self.task.limits
        assert plan.family.kv_heads is not None, plan.family.name
        return PageLayout(
            num_layers=len(plan.layers),
            num_pages=limits.num_pages,
            page_tokens=limits.page_tokens,
            heads=plan.family.kv_heads(plan.config),
            dtype=plan.dtype,
            num_host_pages=limits.num_host_pages,
        )

    def _sampler(self, mesh: Mesh) -> Sampler:
        return Sampler(
            vocab_size=self.task.vocab_size,
            max_model_len=self.task.max_model_len,
            sharding=NamedSharding(mesh, PartitionSpec()),
        )


def open_generating_model(
    source: str,
    *,
    architecture: str = "auto",
    config: ParallelConfig,
    devices: Sequence[jax.Device],
    limits: GenerationLimits,
    base_dir: Path,
    max_model_len: int | None = None,
    cut: tuple[range, ...] | None = None,
    stages: range | None = None,
    attention: str = AUTO,
    dtype: str = "float32",
) -> OpenGeneratingModel:
    """A decoder of any source, to generate with `tensor` devices for one stage after the other.

    max_model_len: of a prompt with its answer; as long as positions and pages allow unless given. `cut`: the
    layers of each stage, as equal as possible unless given. `stages`: those of this process, all unless
    given; `devices` are theirs. attention: the name of a backend, or auto. dtype: of parameters, activations
    and pages, float32 or bfloat16; logits are float32. Raises InvalidInput for a bad source, an encoder, a
    backend that fails here, or a length that positions or pages do not allow; Infeasible for more stages than
    layers.
    """
    stages = range(config.pipeline) if stages is None else stages
    assert len(devices) == config.tensor * len(stages), (len(devices), config, stages)
    checkpoint = open_source(source, base_dir=base_dir)
    family = family_of(checkpoint.config, architecture)
    model_config = family.parse(checkpoint.config)
    task = GenerationTask(
        limits,
        _max_model_len(max_model_len, limits, family, model_config, where=checkpoint.config.where),
        model_config.vocab_size,
        eos_ids(checkpoint),
    )
    cut = even_stages(model_config.num_layers, config.pipeline) if cut is None else cut
    plans = stage_plans(cut, family, model_config, output="logits", dtype=dtype)
    assert len(plans) == config.pipeline, (cut, config)
    return OpenGeneratingModel(
        checkpoint,
        plans,
        stage_meshes(devices, stages, tensor=config.tensor),
        task,
        step_shapes(limits, max_model_len=task.max_model_len),
        attention_backend(
            family.kv_heads(model_config),
            tensor=config.tensor,
            page_tokens=limits.page_tokens,
            dtype=dtype,
            device=devices[0],
            wanted=attention,
        ),
    )


def _max_model_len(
    told: int | None, limits: GenerationLimits, family: Family, config: Any, *, where: str
) -> int:
    if family.kv_heads is None:
        raise InvalidInput(f"a {family.name} does not generate: it is an encoder", where=where)
    held = limits.num_pages * limits.page_tokens
    longest = min(config.max_positions, held)
    if told is not None and told > longest:
        raise InvalidInput(
            f"max_model_len {told} is above the model's {config.max_positions} positions or the {held} "
            f"tokens that {limits.num_pages} pages of {limits.page_tokens} hold",
            where=where,
            hint=f"use at most {longest}",
        )
    return longest if told is None else told
