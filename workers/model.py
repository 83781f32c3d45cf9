"""A model on the devices of a group: cut into pipeline stages, each shared by `tensor` devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import jax
import numpy as np
from jax.sharding import Mesh

from placement.stages import even_stages
from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from vocabulary.parallel import ParallelConfig
from vocabulary.tensors import TensorSpec
from workers.families import family_of
from workers.families.family import Family
from workers.families.pooling import Pooling, parse_pooling
from workers.padding import (
    Bucket,
    Buckets,
    PaddedBatch,
    Prepared,
    check_names,
    pack,
    prepare_ids,
    prepare_texts,
    unpack,
)
from workers.passages import NUM_BUFFERS
from workers.sources import read_json, read_json_value
from workers.stages import Stage, StagePlan, Weights, read_weights, stage_meshes, stage_plans
from workers.tokenize import TextTokenizer, decode_texts, open_tokenizer
from workers.weights import Checkpoint, open_source

# Of the stages of a process, by number.
StageWeights = Mapping[int, Weights]


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is asked for. A tokenizer makes text its input, a pooling one vector a row its output."""

    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    vocab_size: int
    tokenizer: TextTokenizer | None = None
    pooling: Pooling | None = None

    def prepare(self, request: Mapping[str, np.ndarray]) -> Prepared:
        """Check one request, and tokenise it. Raises InvalidInput."""
        if self.tokenizer is None:
            return prepare_ids(request, vocab_size=self.vocab_size, takes_mask=len(self.inputs) > 1)
        check_names(request, required={"text_input"}, optional=set())
        texts = decode_texts(request["text_input"])
        if not texts:
            raise InvalidInput("text_input holds no text")
        return prepare_texts(self.tokenizer.ids(texts), is_single=request["text_input"].ndim == 0)


@final
class ShardedModel:
    """Batches go in with `pad`, through `run_stage` 0, 1, ... in order, and out with `unpad`.

    run_stage never waits for the devices, so stages work on different batches at the same time;
    `jax.block_until_ready(batch)` does. Each stage is to be called by one thread at a time. first_stage: the
    stages before it, and those after the last, are other processes'.
    """

    def __init__(
        self, stages: tuple[Stage, ...], *, task: Task, buckets: Buckets, first_stage: int = 0
    ) -> None:
        self._stages = dict(enumerate(stages, first_stage))
        self._task = task
        self._buckets = buckets
        self._num_compiles_at_ready: int | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._task.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (self._task.output,)

    @property
    def num_stages(self) -> int:
        """Those of this process."""
        return len(self._stages)

    @property
    def weight_bytes_per_stage(self) -> tuple[int, ...]:
        """Bytes of parameters on the fullest device of every stage."""
        return tuple(stage.weight_bytes for stage in self._stages.values())

    def activation_bytes_per_stage(self, batch_size: int) -> tuple[int, ...]:
        """Bytes that a device of every stage needs for a batch at the longest sequence."""
        bucket = self._buckets.largest_for(batch_size)
        return tuple(stage.activation_bytes(bucket) for stage in self._stages.values())

    @property
    def num_compiles(self) -> int:
        """Executables made so far: stages x buckets when ready."""
        return sum(stage.num_compiles for stage in self._stages.values())

    @property
    def num_recompiles(self) -> int:
        """Executables made after the model was ready."""
        return 0 if self._num_compiles_at_ready is None else self.num_compiles - self._num_compiles_at_ready

    def compile(self) -> None:
        """Compile every stage for every bucket and run each once. The model is ready afterwards. Blocks."""
        for bucket in self._buckets:
            batch = PaddedBatch(bucket, (), self._blank(bucket))
            for number, stage in self._stages.items():
                stage.compile(bucket)
                if number == min(self._stages) > 0:
                    stage.reserve_arriving(bucket, count=NUM_BUFFERS)
                stage.reserve(batch.arrays, count=NUM_BUFFERS)
                batch = self.run_stage(number, batch)
            if self._task.output.name in batch.arrays:
                self.unpad(batch)
            jax.block_until_ready(batch)
        self._num_compiles_at_ready = self.num_compiles

    def release(self) -> None:
        """Give the devices' memory back; it does not run any more."""
        for stage in self._stages.values():
            stage.release()

    def _blank(self, bucket: Bucket) -> dict[str, np.ndarray]:
        """A batch of nothing, as the first stage here takes it."""
        structs = next(iter(self._stages.values())).structs(bucket)
        return {
            name: np.ones(struct.shape, bool)
            if name == "attention_mask"
            else np.zeros(struct.shape, struct.dtype)
            for name, struct in structs.items()
        }

    def structs(self, stage: int, bucket: Bucket) -> Mapping[str, jax.ShapeDtypeStruct]:
        """What a stage takes, by name, as it lies on the stage's devices."""
        return self._stages[stage].structs(bucket)

    def take(self, stage: int, batch: PaddedBatch) -> PaddedBatch:
        """A batch as the stage before gave it, on the devices of `stage`."""
        return replace(batch, arrays=self._stages[stage].take(batch.arrays))

    def sent(self, batch: PaddedBatch) -> PaddedBatch:
        """What the process with the next stage needs of what the last stage here gave; or the results."""
        return replace(batch, arrays=self._stages[max(self._stages)].sent(batch.arrays))

    def is_copied_to(self, stage: int, batch: PaddedBatch) -> bool:
        """Whether `take` works, rather than hand over or dispatch."""
        return self._stages[stage].is_copied(batch.arrays)

    def prepare(self, request: Mapping[str, np.ndarray]) -> Prepared:
        """Check and tokenise one request, so that a bad one fails alone. Raises InvalidInput."""
        prepared = self._task.prepare(request)
        self._buckets.check_length(prepared.length)
        self._buckets.check_rows(prepared.num_rows)
        return prepared

    def pack(self, requests: Sequence[Prepared]) -> PaddedBatch:
        """Prepared requests side by side, padded to the smallest bucket. Raises InvalidInput if none fits."""
        return pack(requests, self._buckets)

    def parts(self, requests: Sequence[Prepared]) -> list[PaddedBatch]:
        """As `pack`, in as few batches as hold all rows: requests may bring several rows each."""
        most = self._buckets.batch_sizes[-1]
        parts: list[list[Prepared]] = []
        num_rows = most
        for request in requests:
            if num_rows + request.num_rows > most:
                parts.append([])
                num_rows = 0
            parts[-1].append(request)
            num_rows += request.num_rows
        return [self.pack(part) for part in parts]

    def pad(self, requests: Sequence[Mapping[str, np.ndarray]]) -> PaddedBatch:
        """`prepare` and `pack` in one."""
        return self.pack([self.prepare(request) for request in requests])

    def run_stage(self, stage: int, batch: PaddedBatch) -> PaddedBatch:
        """Dispatch one stage on the batch that the stage before it gave; returns without waiting."""
        return replace(batch, arrays=self._stages[stage].run(batch.arrays, batch.bucket))

    def run(self, batch: PaddedBatch) -> PaddedBatch:
        """All stages in order; returns without waiting."""
        for stage in self._stages:
            batch = self.run_stage(stage, batch)
        return batch

    def unpad(self, batch: PaddedBatch) -> list[dict[str, np.ndarray]]:
        """Every request's outputs by name, after the last stage. Blocks until they are there."""
        name = self._task.output.name
        output = np.asarray(batch.arrays[name])
        parts = unpack(output, batch.rows, has_sequence=self._task.pooling is None)
        return [{name: part} for part in parts]


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model whose weights are not here yet. plans: of all stages; meshes: of those of this process."""

    checkpoint: Checkpoint
    plans: tuple[StagePlan, ...]
    meshes: Mapping[int, Mesh]
    task: Task
    buckets: Buckets

    def read(self) -> StageWeights:
        """The weights of the stages here, from the source. Raises InvalidInput for bad tensors."""
        return {
            stage: read_weights(self.plans[stage], self.checkpoint, mesh=mesh)
            for stage, mesh in self.meshes.items()
        }

    def stages_of(
        self, config: ParallelConfig, cut: tuple[range, ...] | None = None
    ) -> tuple[StagePlan, ...]:
        """The stages of this model in another configuration, as `load_model` cuts it."""
        some = self.plans[0]
        cut = even_stages(some.config.num_layers, config.pipeline) if cut is None else cut
        return stage_plans(cut, some.family, some.config, output=some.output, pooling=some.pooling)

    def model(self, weights: StageWeights) -> ShardedModel:
        stages = tuple(Stage(self.plans[stage], weights[stage], mesh) for stage, mesh in self.meshes.items())
        return ShardedModel(stages, task=self.task, buckets=self.buckets, first_stage=min(self.meshes))


def load_model(
    source: str,
    *,
    architecture: str = "auto",
    config: ParallelConfig,
    devices: Sequence[jax.Device],
    batch_buckets: tuple[int, ...],
    sequence_buckets: tuple[int, ...],
    base_dir: Path,
    cut: tuple[range, ...] | None = None,
    stages: range | None = None,
) -> ShardedModel:
    """Open a source and put its parameters on devices, `tensor` of them for one stage after the other.

    A BERT with a sentence-transformers modules.json embeds text; any other encodes ids; decoders give logits.
    `cut`: the layers of each stage, as equal as possible unless given. `stages`: those of this process, all
    unless given; `devices` are theirs. Call `compile` before serving.
    Raises InvalidInput for a bad source or bucket, Infeasible for more stages than layers.
    """
    opened = open_model(
        source,
        architecture=architecture,
        config=config,
        devices=devices,
        batch_buckets=batch_buckets,
        sequence_buckets=sequence_buckets,
        base_dir=base_dir,
        cut=cut,
        stages=stages,
    )
    return opened.model(opened.read())


def open_model(
    source: str,
    *,
    architecture: str = "auto",
    config: ParallelConfig,
    devices: Sequence[jax.Device],
    batch_buckets: tuple[int, ...],
    sequence_buckets: tuple[int, ...],
    base_dir: Path,
    cut: tuple[range, ...] | None = None,
    stages: range | None = None,
    dtype: str = "float32",
) -> OpenModel:
    """As `load_model`, but for the weights. Raises InvalidInput for a `dtype` other than float32."""
    if dtype != "float32":
        raise InvalidInput(
            f"dtype {dtype} is for models that generate; one-shot requests are computed in float32",
            hint="write dtype: auto, or task: generate and profile it again",
        )
    stages = range(config.pipeline) if stages is None else stages
    assert len(devices) == config.tensor * len(stages), (len(devices), config, stages)
    checkpoint = open_source(source, base_dir=base_dir)
    family = family_of(checkpoint.config, architecture)
    model_config = family.parse(checkpoint.config)
    buckets = Buckets(tuple(sorted(set(batch_buckets))), tuple(sorted(set(sequence_buckets))))
    _check_positions(buckets, model_config, checkpoint)
    task = _task_of(checkpoint, family, model_config)
    cut = even_stages(model_config.num_layers, config.pipeline) if cut is None else cut
    plans = stage_plans(cut, family, model_config, output=task.output.name, pooling=task.pooling)
    assert len(plans) == config.pipeline, (cut, config)
    return OpenModel(checkpoint, plans, stage_meshes(devices, stages, tensor=config.tensor), task, buckets)


def _check_positions(buckets: Buckets, config: Any, checkpoint: Checkpoint) -> None:
    longest = buckets.sequence_lengths[-1]
    if longest > config.max_positions:
        raise InvalidInput(
            f"sequence length {longest} is above the model's {config.max_positions} positions",
            where=checkpoint.config.where,
            hint=f"use sequence lengths up to {config.max_positions}",
        )


def _task_of(checkpoint: Checkpoint, family: Family, config: Any) -> Task:
    ids = TensorSpec("input_ids", "INT64", (-1, -1))
    if family.is_causal:
        return Task((ids,), TensorSpec("logits", "FP32", (-1, -1, config.vocab_size)), config.vocab_size)
    if checkpoint.directory is not None and (checkpoint.directory / "modules.json").is_file():
        return _embedding_task(checkpoint.directory, config)
    mask = TensorSpec("attention_mask", "INT64", (-1, -1))
    output = TensorSpec("last_hidden_state", "FP32", (-1, -1, config.hidden_size))
    return Task((ids, mask), output, config.vocab_size)


def _embedding_task(directory: Path, config: Any) -> Task:
    pooling_path = directory / "1_Pooling" / "config.json"
    pooling = parse_pooling(
        read_json_value(directory / "modules.json"),
        HubConfig(read_json(pooling_path), str(pooling_path)),
        where=directory / "modules.json",
    )
    return Task(
        (TensorSpec("text_input", "BYTES", (-1,)),),
        TensorSpec("embedding", "FP32", (-1, config.hidden_size)),
        config.vocab_size,
        tokenizer=open_tokenizer(directory, max_positions=config.max_positions),
        pooling=pooling,
    )
