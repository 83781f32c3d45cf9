"""The live shell round GroupScheduler: frames and engine callbacks in, batches and answers out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never, final

import msgspec
import numpy as np

from scheduling.group import GroupScheduler
from vocabulary.errors import RuntimeFailure
from vocabulary.generation import Prefix
from vocabulary.messages import (
    Arrived,
    Batch,
    BatchFinished,
    Cancelled,
    GroupEvent,
    RunBatch,
    Settle,
    StageFreed,
    TellFirstToken,
)
from vocabulary.request import Fate, Request
from vocabulary.sampling import LENGTH, STOP
from vocabulary.units import NEVER_S
from workers.engine import Answer, BatchResult, Engine, Prompt, Tensors
from workers.frames import (
    Beat,
    Done,
    Frame,
    GenerationAsk,
    ModelBeat,
    ReplicaBeat,
    Run,
    Withdrawn,
    tensor_headers,
)
from workers.fronts import Front, Fronts, tell_at_work, tell_tokens
from workers.link import Link

# Runs a callback after everything that is already due at this instant; `loop.call_soon` in production.
Soon = Callable[[Callable[[], None]], object]


# A token id is an int32.
_TOKEN_BYTES = 4


@dataclass(slots=True)
class _Held:
    """A request that the group has not settled yet, and whose it is."""

    front: Front
    model: str
    inputs: Tensors
    received_s: float
    start_s: float = NEVER_S
    finish_s: float = NEVER_S
    batch_size: int = 0
    answer: Answer = Answer()
    error: str = ""
    # Of a request that generates.
    reasons: list[str] = field(default_factory=list)
    is_begun: bool = False
    num_cached: int = 0


@final
class GroupServer:
    """Posts events, lets the machine decide once per loop turn, performs its commands. Decides nothing."""

    def __init__(
        self,
        machine: GroupScheduler,
        engine: Engine,
        *,
        loop: asyncio.AbstractEventLoop,
        soon: Soon,
        page_tokens: Mapping[str, int] | None = None,
    ) -> None:
        """page_tokens: of a page of every model that generates."""
        self._machine = machine
        self._engine = engine
        self._loop = loop
        self._soon = soon
        self._page_tokens = page_tokens or {}
        self._is_decision_due = False
        # When the first stage was free, where that is what the next decision is about.
        self._freed_s: float | None = None
        self._held: dict[int, _Held] = {}
        # Of each model, tokens of prompts that steps have begun with, and of them found in the cache.
        self._num_begun: Counter[str] = Counter()
        self._num_hit: Counter[str] = Counter()
        self.fronts = Fronts()

    def attach(self, link: Link, *, front: int = 0, clock_offset_s: float = 0.0) -> None:
        """A front end's link: it hears of its own requests, and every beat. Its link before is closed.

        clock_offset_s: our clock less its own.
        """
        before = self.fronts[front]
        if before is not None:
            self.detach(before.link)
            before.link.close()
        self.fronts.add(Front(front, link, clock_offset_s))

    def detach(self, link: Link) -> None:
        """The link is lost: nobody waits any more for the requests that came by it."""
        for front in self.fronts:
            if front.link is link:
                self.fronts.remove(front)
                for request_id, held in self._held.items():
                    if held.front is front:
                        self._post(Cancelled(request_id))

    def receive(self, frame: Frame, *, front: int = 0) -> None:
        """A frame by the link of a front end; nothing happens when it has none."""
        sender = self.fronts[front]
        if sender is None:
            return
        match frame.header:
            case Run() as run:
                self._take(run, frame.tensors, sender)
            case Withdrawn(request_id):
                held = self._held.get(request_id)
                if held is not None and held.front is sender:
                    self._post(Cancelled(request_id))
            case _:
                raise RuntimeFailure(f"a front end sent {type(frame.header).__name__}: link is corrupt")

    def beat(self) -> None:
        """Tell every front end how busy the group is."""
        machine, engine = self._machine, self._engine
        num_held = Counter(held.model for held in self._held.values())
        self.fronts.tell_all(
            Beat(
                machine.num_waiting,
                machine.num_running,
                engine.num_recompiles,
                engine.stage_busy_s(),
                self._model_beats(),
                tuple(ReplicaBeat(model, num_held[model]) for model in machine.models),
                machine.backlog_s(self._loop.time()),
            )
        )
        self.fronts.flush()

    def _take(self, run: Run, inputs: Tensors, front: Front) -> None:
        if run.request_id in self._held:
            raise RuntimeFailure(f"request {run.request_id} came twice: link is corrupt")
        held = self._held[run.request_id] = _Held(front, run.model, inputs, self._loop.time())
        offset_s = front.clock_offset_s
        request = Request(
            run.request_id, run.model, run.arrival_s + offset_s, run.slo_s, run.deadline_s + offset_s
        )
        if run.generation is None:
            self._post(Arrived(request))
        else:
            self._take_prompt(request, run.generation, held)

    def _take_prompt(self, request: Request, ask: GenerationAsk, held: _Held) -> None:
        """A request that generates arrives, once the engine knows its prompt."""
        token_ids = np.frombuffer(held.inputs[0].raw, np.int32)
        held.reasons = [LENGTH] * ask.num_samples
        held.error = self._engine.admit(
            Prompt(
                request.id,
                request.model,
                token_ids,
                ask.output_tokens,
                ask.num_samples,
                ask.sampling,
                ask.first_hash,
                ask.block_hashes,
            )
        )
        if held.error:
            self._settle(request.id, Fate.INVALID, self._loop.time())
            self.fronts.flush()
            return
        page_tokens = self._page_tokens[request.model]
        asked = msgspec.structs.replace(
            request,
            input_tokens=len(token_ids),
            output_tokens=ask.output_tokens,
            # Also of a prompt shorter than a page: what is said to it fills pages that the next turn has.
            prefix=None if ask.first_hash is None else Prefix(ask.block_hashes, page_tokens),
            ttft_s=ask.ttft_s,
            tpot_s=ask.tpot_s,
            expected_tokens=ask.expected_tokens,
            num_samples=ask.num_samples,
            tenant=ask.tenant,
        )
        self._post(Arrived(asked))

    def _model_beats(self) -> tuple[ModelBeat, ...]:
        return tuple(
            ModelBeat(
                model,
                one.num_waiting,
                one.num_running,
                one.num_pages,
                one.num_free_pages,
                self._num_hit[model],
                self._num_begun[model],
                one.statistics.num_preempted,
            )
            for model, one in self._machine.generation_schedulers.items()
        )

    def _post(self, event: GroupEvent) -> None:
        self._machine.observe(event)
        if not self._is_decision_due:
            self._is_decision_due = True
            self._soon(self._decide)

    def _decide(self) -> None:
        self._is_decision_due = False
        # A device does not idle between two batches until the news of the first has come round: what follows
        # on a free stage is decided as of when it was free, so that lateness does not add up over a burst.
        now_s, self._freed_s = self._loop.time() if self._freed_s is None else self._freed_s, None
        for command in self._machine.decide(now_s):
            match command:
                case RunBatch(batch):
                    self._run(batch, now_s)
                case TellFirstToken():
                    pass  # whoever waits for it has had the token
                case Settle(request_ids, fate):
                    for request_id in request_ids:
                        self._settle(request_id, fate, now_s)
                case _:
                    assert_never(command)
        if not self._is_decision_due:
            # Where stages take no time the next decision is due already: one write for all of them.
            self.fronts.flush()

    def _run(self, batch: Batch, now_s: float) -> None:
        members = [self._held[request.id] for request in batch.requests]
        start_s = max(now_s, max(held.received_s for held in members))
        begun = []
        for request, held in zip(batch.requests, members, strict=True):
            if held.start_s == NEVER_S:
                held.start_s = start_s
                begun.append((request.id, held.front))
            held.batch_size = batch.size
        tell_at_work(begun)
        for one in batch.slices:
            held = self._held[one.request_id]
            if not held.is_begun:
                held.is_begun, held.num_cached = True, one.start
                self._num_hit[batch.model] += one.start
                self._num_begun[batch.model] += len(held.inputs[0].raw) // _TOKEN_BYTES
        self._engine.start(
            batch,
            tuple(held.inputs for held in members),
            start_s=start_s,
            stage_freed=self._free_stage,
            finished=lambda result: self._finish(batch, result),
        )

    def _free_stage(self, time_s: float) -> None:
        self._freed_s = time_s
        self._post(StageFreed())

    def _finish(self, batch: Batch, result: BatchResult) -> None:
        for index, request in enumerate(batch.requests):
            held = self._held[request.id]
            # Of a request in several steps at once, one may have failed.
            held.error, held.finish_s = held.error or result.error, result.finish_s
            if result.answers:
                held.answer = result.answers[index]
        for request_id, sample in result.stopped:
            self._held[request_id].reasons[sample] = STOP
        if result.tokens:
            tell_tokens(result.tokens, [self._held[one.request_id].front for one in result.tokens])
        self._post(
            BatchFinished(
                batch.id, failed=bool(result.error), stopped=result.stopped, full_pages=result.full_pages
            )
        )

    def _settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        held = self._held.pop(request_id)
        if held.reasons:
            self._engine.forget(request_id)
        if not held.front.is_linked:
            return
        tensors = held.answer.tensors
        if held.answer.invalid:
            fate = Fate.INVALID
        offset_s = held.front.clock_offset_s
        done = Done(
            request_id,
            fate.value,
            held.start_s - offset_s,
            (now_s if held.finish_s == NEVER_S else held.finish_s) - offset_s,
            held.batch_size,
            held.error or held.answer.invalid,
            tensor_headers(tensors),
            tuple(held.reasons),
            held.num_cached,
        )
        held.front.send(done, tensors)
