"""The engine that computes: every model of the group as stages on the group's devices, one thread a stage.

A stage's thread runs one batch at a time and hands its output to the next stage's thread, so stages of
different batches overlap. Threads only compute; all decisions stay on the server's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import jax
import structlog

from vocabulary.deployment import ModelSpec
from vocabulary.errors import InvalidInput, StatmuxError
from vocabulary.messages import Batch
from vocabulary.numpy_tensors import array_of, tensor_of
from workers.engine import Answer, BatchResult, Finished, Freed, ModelInterface, Tensors
from workers.model import ShardedModel, load_model
from workers.spec import WorkerSpec

_log = structlog.get_logger("statmux.worker")


@dataclass(frozen=True, slots=True)
class _Job:
    """One batch on its way; `value` is what the next stage takes.

    Request tensors for the first stage, then padded batches: one, unless the requests bring many rows each.
    """

    batch: Batch
    model: ShardedModel
    value: Any
    stage_freed: Freed
    finished: Finished
    # Why each request's input cannot be taken; empty where it can.
    invalid: tuple[str, ...] = ()


@final
class JaxEngine:
    """Runs the group's models with JAX; see `workers.engine.Engine`."""

    def __init__(self, spec: WorkerSpec, *, loop: asyncio.AbstractEventLoop) -> None:
        self._spec = spec
        self._loop = loop
        self._models: dict[str, ShardedModel] = {}
        num_stages = spec.group.config.pipeline
        self._stages = [ThreadPoolExecutor(1, f"stage-{index}") for index in range(num_stages)]
        self._busy_s = [0.0] * num_stages

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return {
            name: ModelInterface(model.inputs, model.outputs, "statmux_jax", max_batch_size=0)
            for name, model in self._models.items()
        }

    def load(self) -> None:
        """Load and compile every model of the group, all buckets. Raises StatmuxError."""
        spec = self._spec
        devices = jax.devices()[: spec.group.config.num_devices]
        if len(devices) < spec.group.config.num_devices:
            raise InvalidInput(
                f"group {spec.group.id} needs {spec.group.config.num_devices} devices, found {len(devices)}",
                hint="check the node's device count in the deployment",
            )
        for model in spec.models:
            try:
                self._models[model.name] = self._load(model, devices)
            except StatmuxError as error:
                place = f"model {model.name}, {error.where}" if error.where else f"model {model.name}"
                raise type(error)(error.message, where=place, hint=error.hint) from error

    def _load(self, model: ModelSpec, devices: Sequence[jax.Device]) -> ShardedModel:
        assert model.source is not None, model
        loaded = load_model(
            model.source,
            architecture=model.architecture,
            config=self._spec.group.config,
            devices=devices,
            batch_buckets=model.batch_sizes,
            sequence_buckets=model.sequence_lengths,
            base_dir=Path(self._spec.source_folder),
        )
        loaded.compile()
        return loaded

    def start(
        self,
        batch: Batch,
        inputs: tuple[Tensors, ...],
        *,
        start_s: float,
        stage_freed: Freed,
        finished: Finished,
    ) -> None:
        model = self._models[batch.model]
        self._submit(0, _Job(batch, model, inputs, stage_freed, finished))

    def stage_busy_s(self) -> tuple[float, ...]:
        return tuple(self._busy_s)

    @property
    def num_recompiles(self) -> int:
        return sum(model.num_recompiles for model in self._models.values())

    def close(self) -> None:
        for stage in self._stages:
            stage.shutdown(wait=False, cancel_futures=True)

    # Below here runs on the stages' threads.

    def _submit(self, stage: int, job: _Job) -> None:
        self._stages[stage].submit(self._run, stage, job)

    def _run(self, stage: int, job: _Job) -> None:
        """One stage of one batch; whatever goes wrong is told to its requests, and the group goes on."""
        try:
            job = _entered(job) if stage == 0 else job
            job = self._compute(stage, job)
            is_last = stage + 1 == len(self._stages)
            answers = _answers(job) if is_last else ()
        except Exception as error:
            _log.exception("stage failed", stage=stage, model=job.batch.model, batch=job.batch.id)
            # The client gets the kind, the log the words: they may hold what is not the client's to see.
            words = f"{type(error).__name__} in stage {stage}"
            self._tell(job.finished, BatchResult(job.batch.id, time.monotonic(), error=words))
            return
        finally:
            if stage == 0:
                self._tell(job.stage_freed, time.monotonic())
        if is_last:
            self._tell(job.finished, BatchResult(job.batch.id, time.monotonic(), answers))
        else:
            self._submit(stage + 1, job)

    def _compute(self, stage: int, job: _Job) -> _Job:
        start_s = time.monotonic()
        value = jax.block_until_ready([job.model.run_stage(stage, part) for part in job.value])
        self._busy_s[stage] += time.monotonic() - start_s
        return replace(job, value=value)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(callback, *arguments)


def _entered(job: _Job) -> _Job:
    """The batch's valid requests padded together."""
    prepared, invalid = [], []
    for tensors in job.value:
        try:
            prepared.append(job.model.prepare({tensor.name: array_of(tensor) for tensor in tensors}))
            invalid.append("")
        except InvalidInput as error:
            invalid.append(error.message)
    return replace(job, value=job.model.parts(prepared), invalid=tuple(invalid))


def _answers(job: _Job) -> tuple[Answer, ...]:
    """Outputs for the valid requests, in the order of the batch."""
    outputs = iter([one for part in job.value for one in job.model.unpad(part)])
    return tuple(
        Answer(invalid=why)
        if why
        else Answer(tuple(tensor_of(name, array) for name, array in next(outputs).items()))
        for why in job.invalid
    )
