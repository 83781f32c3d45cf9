"""The emulated engine: stages that sleep as long as the profile says instead of computing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import final

import numpy as np

from scheduling.pipeline import PipelineClock
from vocabulary.catalog import BatchCosts, Catalog, StageSeconds
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.messages import Batch
from vocabulary.placement import Group
from vocabulary.tensors import EMULATED_PLATFORM, Tensor, TensorSpec
from workers.device_memory import DeviceMemory, emulated_bytes, on_devices
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
from workers.generation.host_step import Drawn
from workers.generation.token_book import TokenBook
from workers.generation.token_books import TokenBooks
from workers.multicast import Load, Multicast
from workers.spec import WorkerSpec
from workers.work_times import StageTimes, emulated_times

# An emulated model answers any one INT32 vector with itself.
ECHO = ModelInterface(
    inputs=(TensorSpec("INPUT0", "INT32", (-1,)),),
    outputs=(TensorSpec("OUTPUT0", "INT32", (-1,)),),
    platform=EMULATED_PLATFORM,
)
_ANY_TOKEN = 2**31 - 1


@final
class EmulatedEngine:
    """Takes as long as the profile says, on the loop's clock, and echoes its input.

    A model that generates says its prompt again and again. Batches start and end at the times that the
    pipeline clock computes, as in the simulator's engine; timers only carry the news.
    """

    def __init__(
        self,
        group: Group,
        *,
        catalog: Catalog,
        loop: asyncio.AbstractEventLoop,
        limits: Mapping[str, GenerationLimits] | None = None,
        max_model_len: Mapping[str, int] | None = None,
    ) -> None:
        """limits, max_model_len: of models that generate; contexts are as long as pages allow unless told."""
        self._config = group.config
        self._costs: dict[str, BatchCosts] = {}
        self._held_bytes: dict[str, tuple[int, ...]] = {}
        self._times: dict[str, tuple[StepTimes, ...]] = {}
        self._limits: dict[str, GenerationLimits] = {}
        self._max_model_len = dict(max_model_len or {})
        self._books = TokenBooks({})
        self._take(group.models, catalog=catalog, limits=limits or {})
        self._prompts: dict[int, Prompt] = {}
        self._clock = PipelineClock(group.config.pipeline)
        self._busy_s = [0.0] * group.config.pipeline
        self._loop = loop

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return {model: self._interface(model) for model in tuple(self._costs)}

    def read(self, *, expected: Collection[str] = ()) -> None:
        return None

    def load(self, multicasts: Sequence[Multicast] = ()) -> None:
        return None

    def give(self, multicasts: Sequence[Multicast]) -> None:
        return None

    def read_more(self, spec: WorkerSpec, *, expected: Collection[str] = ()) -> None:
        return None

    def add(self, spec: WorkerSpec, multicasts: Sequence[Multicast] = ()) -> None:
        new = [model for model in spec.models if model.name not in self._costs]
        self._max_model_len |= {one.name: one.max_model_len for one in new if one.max_model_len is not None}
        self._take([one.name for one in new], catalog=spec.catalog, limits=spec.limits)

    def remove(self, models: Collection[str]) -> None:
        for model in models:
            for known in (self._costs, self._held_bytes, self._times, self._limits, self._max_model_len):
                known.pop(model, None)
        self._books.remove(models)

    def loads(self) -> tuple[Load, ...]:
        return ()

    def admit(self, prompt: Prompt) -> str:
        self._prompts[prompt.request_id] = prompt
        self._books.admit(prompt)
        return ""

    def forget(self, request_id: int) -> None:
        self._prompts.pop(request_id, None)
        self._books.forget(request_id)

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
        stages_s = self._stages_s(batch)
        finish_s = self._clock.occupy(start_s, stages_s)
        times = emulated_times(start_s, self._clock.free_s, stages_s) if is_timed else ()
        free_s = self._clock.free_s[0]
        self._busy_s = [busy + stage for busy, stage in zip(self._busy_s, stages_s, strict=True)]
        now_s = self._loop.time()
        self._at(now_s, free_s, lambda: stage_freed(free_s))
        self._at(now_s, finish_s, lambda: finished(self._result(batch, inputs, finish_s, times)))

    def stage_busy_s(self) -> tuple[float, ...]:
        return tuple(self._busy_s)

    def device_memory(self) -> tuple[DeviceMemory, ...]:
        """What the models would hold, by their profiles."""
        return on_devices(self._held_bytes.values(), config=self._config)

    @property
    def num_recompiles(self) -> int:
        return 0

    def close(self) -> None:
        return None

    def _take(
        self, models: Sequence[str], *, catalog: Catalog, limits: Mapping[str, GenerationLimits]
    ) -> None:
        generating = {model: limits[model] for model in models if model in limits}
        self._limits |= generating
        self._times |= {model: catalog.step_times(model, self._config) for model in generating}
        self._books.add(
            {model: TokenBook(eos_ids=(), page_tokens=one.page_tokens) for model, one in generating.items()}
        )
        self._costs |= {model: catalog.costs(model, self._config) for model in models}
        self._held_bytes |= {
            model: emulated_bytes(model, self._config, catalog=catalog, limits=limits.get(model))
            for model in models
        }

    def _interface(self, model: str) -> ModelInterface:
        limits = self._limits.get(model)
        if limits is None:
            return ECHO
        held = limits.num_pages * limits.page_tokens
        generation = GenerationInterface(min(held, self._max_model_len.get(model, held)), _ANY_TOKEN)
        return ModelInterface(GENERATION_INPUTS, GENERATION_OUTPUTS, EMULATED_PLATFORM, generation=generation)

    def _stages_s(self, batch: Batch) -> StageSeconds:
        if not batch.tokens:
            return self._costs[batch.model].of(batch.size)
        num_tokens = sum(batch.tokens)
        return tuple([one.of(num_tokens, batch.num_kv_tokens) for one in self._times[batch.model]])

    def _result(
        self, batch: Batch, inputs: tuple[Tensors, ...], finish_s: float, times: StageTimes
    ) -> BatchResult:
        if not batch.tokens:
            return BatchResult(batch.id, finish_s, tuple(_echo(one) for one in inputs), times=times)
        said = [
            self._said_again(one.request_id, draw.index)
            for one, row in zip(batch.slices, self._books.step(batch).rows, strict=True)
            for draw in row.draws
        ]
        return self._books.result(batch, Drawn(np.asarray(said, np.int32)), finish_s, times)

    def _said_again(self, request_id: int, index: int) -> int:
        token_ids = self._prompts[request_id].token_ids
        return int(token_ids[index % len(token_ids)])

    def _at(self, now_s: float, time_s: float, callback: Callable[[], None]) -> None:
        """A stage that takes no time needs no timer."""
        if time_s <= now_s:
            callback()
        else:
            self._loop.call_at(time_s, callback)


def _echo(inputs: Tensors) -> Answer:
    return Answer(
        tuple(Tensor("OUTPUT0", tensor.datatype, tensor.shape, tensor.raw) for tensor in inputs[:1])
    )
