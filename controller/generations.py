"""What the fleet's server knows of calls that are answered token by token: their requests, their streams."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from controller.calls import Refusal
from controller.metrics import FleetMetrics
from controller.token_streams import Ended, GenerateCall, TokenStream
from controller.tracing.record import TokenTimes
from scheduling.learned_lengths import LearnedLengths
from vocabulary.deployment import ModelSpec
from vocabulary.generation import GenerationLimits, Prefix
from vocabulary.prefix_hashes import first_hash, page_hashes, prefix_salt
from vocabulary.request import Request
from vocabulary.sampling import SampledToken
from vocabulary.tensors import Tensor
from vocabulary.units import NEVER_S
from workers.frames import GenerationAsk


@dataclass(slots=True)
class Generation:
    """One call that is being answered. timer: of the client's patience."""

    call: GenerateCall
    stream: TokenStream
    timer: asyncio.TimerHandle | None = None
    first_token_s: float = NEVER_S
    last_token_s: float = NEVER_S
    num_tokens: int = 0

    def end(self, answer: Refusal | Ended) -> None:
        """Whoever reads the stream hears how it ended, unless it was told already."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.stream.is_over:
            self.stream.put(answer)

    @property
    def prompt(self) -> tuple[Tensor, ...]:
        """What a worker is given besides the request."""
        token_ids = np.asarray(self.call.prompt_ids, np.int32)
        return (Tensor("input_ids", "INT32", (len(token_ids),), memoryview(token_ids.tobytes())),)


@final
class Generations:
    """Makes requests of calls, deals tokens out to streams, learns how long answers are."""

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        metrics: FleetMetrics,
        limits: Sequence[Mapping[str, GenerationLimits]],
    ) -> None:
        """limits: of each group's models."""
        self._models = models
        self._limits = {index: dict(models) for index, models in enumerate(limits)}
        self._metrics = metrics
        self._lengths = LearnedLengths()
        self._open: dict[int, Generation] = {}

    def adopt(self, models: Mapping[str, ModelSpec]) -> None:
        """The fleet's models are these from now on."""
        self._models = models

    def allow(self, group_index: int, limits: Mapping[str, GenerationLimits]) -> None:
        """What models of the group may take there, besides those that are known."""
        self._limits.setdefault(group_index, {}).update(limits)

    def forget_group(self, group_index: int) -> None:
        self._limits.pop(group_index, None)

    def begin(self, request_id: int, call: GenerateCall, stream: TokenStream) -> Generation:
        generation = self._open[request_id] = Generation(call, stream)
        return generation

    def end(self, request: Request, answer: Refusal | Ended, *, now_s: float) -> None:
        """The request's last news."""
        generation = self._open.pop(request.id)
        if isinstance(answer, Ended):
            self._lengths.observe(request.model, round(generation.num_tokens / request.num_samples))
        self._metrics.generated(
            request,
            answer,
            first_token_s=generation.first_token_s,
            last_token_s=generation.last_token_s,
            num_tokens=generation.num_tokens,
            now_s=now_s,
        )
        generation.end(answer)

    def token_times(self, request_id: int) -> TokenTimes | None:
        """Of an answer that has not ended; None of a call with one reply."""
        generation = self._open.get(request_id)
        return None if generation is None else TokenTimes(generation.first_token_s, generation.num_tokens)

    def request(self, request_id: int, call: GenerateCall, *, now_s: float, slo_s: float) -> Request:
        """The call as the scheduler knows it."""
        model = self._models[call.model]
        slo = model.slo
        return Request(
            request_id,
            call.model,
            now_s,
            slo_s,
            NEVER_S if call.timeout_s is None else now_s + call.timeout_s,
            len(call.prompt_ids),
            call.max_tokens,
            self._prefix(call, model),
            _first_of(call.ttft_s, slo.ttft_s),
            _first_of(call.tpot_s, slo.tpot_s),
            # Who ignores the end of text wants all that was asked for.
            0 if call.sampling.ignores_eos else self._lengths.expected(call.model, call.max_tokens),
            call.num_samples,
            call.tenant,
        )

    def limits_of(self, model: str) -> tuple[GenerationLimits, ...]:
        """Of every group that holds the model."""
        return tuple(models[model] for models in self._limits.values() if model in models)

    def ask(self, request: Request) -> GenerationAsk:
        """What the request's worker has to know besides."""
        call = self._open[request.id].call
        return GenerationAsk(
            request.output_tokens,
            request.expected_tokens,
            request.num_samples,
            call.sampling,
            request.ttft_s,
            request.tpot_s,
            request.tenant,
            first_hash(_salt(call)) if self._models[call.model].generation.has_prefix_cache else None,
            request.prefix.block_hashes if request.prefix is not None else (),
        )

    def tokens(self, drawn: tuple[SampledToken, ...], now_s: float) -> None:
        """What one step of a group drew, of many calls."""
        by_request: dict[int, list[SampledToken]] = defaultdict(list)
        for one in drawn:
            by_request[one.request_id].append(one)
        for request_id, mine in by_request.items():
            generation = self._open.get(request_id)
            if generation is not None:
                self._take(generation, tuple(mine), now_s)

    def _take(self, generation: Generation, drawn: tuple[SampledToken, ...], now_s: float) -> None:
        model = generation.call.model
        if generation.first_token_s == NEVER_S:
            generation.first_token_s = now_s
        else:
            self._metrics.token_came(model, now_s - generation.last_token_s)
        generation.last_token_s = now_s
        generation.num_tokens += len(drawn)
        if not generation.stream.is_over:
            generation.stream.put(drawn)

    def _prefix(self, call: GenerateCall, model: ModelSpec) -> Prefix | None:
        settings = model.generation
        if not settings.has_prefix_cache:
            return None
        hashes = page_hashes(call.prompt_ids, page_tokens=settings.page_tokens, salt=_salt(call))
        return Prefix(hashes, settings.page_tokens) if hashes else None


def _first_of(wanted_s: float | None, default_s: float | None) -> float:
    """The client's own objective, else the model's, else none."""
    if wanted_s is not None:
        return wanted_s
    return NEVER_S if default_s is None else default_s


def _salt(call: GenerateCall) -> str:
    """Calls with different ones share no pages."""
    return prefix_salt(call.model, tenant_salt=call.salt)
