"""A model that generates before its weights are here: how it is cut, and what it generates within."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from placement.stages import even_stages
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationLimits
from vocabulary.parallel import ParallelConfig
from workers.attention.interface import AttentionBackend
from workers.attention.select import AUTO
from workers.families import family_of
from workers.families.family import Family
from workers.generation.eos import eos_ids
from workers.generation.model import GeneratingModel, GenerationTask
from workers.generation.sampler import Sampler
from workers.generation.shapes import StepShapes, step_shapes
from workers.generation.stage import GenerationStage
from workers.generation.stage_attention import attention_backend
from workers.generation.stage_pages import PageLayout, StagePages
from workers.model import StageWeights
from workers.stages import StagePlan, read_weights, stage_meshes, stage_plans
from workers.weights import Checkpoint, open_source


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
