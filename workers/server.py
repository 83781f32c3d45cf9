"""The live shell round GroupScheduler: frames and engine callbacks in, batches and answers out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import assert_never, final

from scheduling.group import GroupScheduler
from vocabulary.errors import RuntimeFailure
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
from workers.busy_shares import BusyShares
from workers.engine import BatchResult, Engine, Tensors
from workers.frames import Beat, DeviceBeat, Frame, GenerationAsk, ModelBeat, ReplicaBeat, Run, Withdrawn
from workers.fronts import Front, Fronts, tell_at_work, tell_tokens
from workers.held import Held, generating_request, prompt_of, request_of, why_not
from workers.link import Link
from workers.spec import WorkerSpec
from workers.work_times import Timesheet

# Runs a callback after everything that is already due at this instant; `loop.call_soon` in production.
Soon = Callable[[Callable[[], None]], object]
# More than any front end's limits let through: what floods a group is refused, and its memory bounded.
MAX_HELD = 100_000
MAX_HELD_BYTES = 2**33


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
        max_held: int = MAX_HELD,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        """page_tokens: of a page of every model that generates.

        max_held, max_held_bytes: requests, and of their inputs; further ones are refused.
        """
        self._max_held, self._max_held_bytes = max_held, max_held_bytes
        self._num_held_bytes = 0
        self._machine = machine
        self._engine = engine
        self._loop = loop
        self._soon = soon
        self._page_tokens = dict(page_tokens or {})
        self._is_decision_due = False
        # When the first stage was free, where that is what the next decision is about.
        self._freed_s: float | None = None
        self._held: dict[int, Held] = {}
        # Of these, those whose batches are to be timed.
        self._num_timed = 0
        # Of each model, tokens of prompts that steps have begun with, and of them found in the cache.
        self._num_begun: Counter[str] = Counter()
        self._num_hit: Counter[str] = Counter()
        self._busy_shares = BusyShares()
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

    def add_models(self, spec: WorkerSpec) -> None:
        """Those of `spec` that are not here yet take requests from now on; the engine has them."""
        for model in spec.models:
            if not self._machine.has(model.name):
                limits = spec.limits.get(model.name)
                if limits is not None:
                    self._page_tokens[model.name] = limits.page_tokens
                self._machine.add_model(model.name, catalog=spec.catalog, limits=limits)

    def end_requests(self, models: Collection[str]) -> int:
        """Requests of these models end, such as run with their batch or step; returns how many are held."""
        ending = [(request_id, held) for request_id, held in self._held.items() if held.model in models]
        for request_id, held in ending:
            if not held.is_ended:
                held.is_ended = True
                self._post(Cancelled(request_id))
        return len(ending)

    def remove_models(self, models: Collection[str]) -> None:
        """They take no more requests, and the engine forgets them. Those that are not here are none.

        Raises RuntimeFailure while requests of one are held: nothing is removed then.
        """
        here = [model for model in models if self._machine.has(model)]
        num_held = Counter(held.model for held in self._held.values())
        busy = [f"{num_held[model]} of {model}" for model in here if num_held[model]]
        if busy:
            raise RuntimeFailure(
                f"the group holds requests: {', '.join(busy)}",
                hint="close the replicas and wait until they are idle",
            )
        self._engine.remove(models)
        for model in here:
            self._machine.remove_model(model)
            self._page_tokens.pop(model, None)
            self._num_begun.pop(model, None)
            self._num_hit.pop(model, None)

    def beat(self) -> None:
        """Tell every front end how busy the group is."""
        machine, engine, now_s = self._machine, self._engine, self._loop.time()
        self.fronts.tell_all(
            Beat(
                machine.num_waiting,
                machine.num_running,
                engine.num_recompiles,
                engine.stage_busy_s(),
                self._model_beats(),
                self._replica_beats(),
                machine.backlog_s(now_s),
                self._device_beats(now_s),
            )
        )
        self.fronts.flush()

    def _take(self, run: Run, inputs: Tensors, front: Front) -> None:
        if run.request_id in self._held:
            raise RuntimeFailure(f"request {run.request_id} came twice: link is corrupt")
        times = Timesheet() if run.is_timed else None
        held = self._held[run.request_id] = Held(front, run.model, inputs, self._loop.time(), times)
        self._num_timed += run.is_timed
        self._num_held_bytes += held.num_bytes
        held.error = why_not(run, inputs, generates=run.model in self._page_tokens)
        if not self._machine.has(run.model):
            held.error = f"{run.model} is not on this group"
            self._refuse(run.request_id, Fate.UNAVAILABLE)
        elif held.error:
            self._refuse(run.request_id, Fate.INVALID)
        elif len(self._held) > self._max_held or self._num_held_bytes > self._max_held_bytes:
            num_bytes = self._num_held_bytes - held.num_bytes
            held.error = f"the group holds {len(self._held) - 1} requests with {num_bytes} bytes"
            self._refuse(run.request_id, Fate.QUEUE_FULL)
        elif run.generation is None:
            self._post(Arrived(request_of(run, clock_offset_s=front.clock_offset_s)))
        else:
            request = request_of(run, clock_offset_s=front.clock_offset_s)
            self._take_prompt(request, run.generation, held)

    def _take_prompt(self, request: Request, ask: GenerationAsk, held: Held) -> None:
        """A request that generates arrives, once the engine knows its prompt."""
        held.reasons = [LENGTH] * ask.num_samples
        held.error = self._engine.admit(prompt_of(request, ask, held.token_ids))
        if held.error:
            self._refuse(request.id, Fate.INVALID)
            return
        page_tokens = self._page_tokens[request.model]
        asked = generating_request(request, ask, num_prompt=held.num_prompt, page_tokens=page_tokens)
        self._post(Arrived(asked))

    def _refuse(self, request_id: int, fate: Fate) -> None:
        """The machine has not heard of it."""
        self._settle(request_id, fate, self._loop.time())
        self.fronts.flush()

    def _replica_beats(self) -> tuple[ReplicaBeat, ...]:
        num_held = Counter(held.model for held in self._held.values())
        num_running = Counter(held.model for held in self._held.values() if held.start_s != NEVER_S)
        return tuple(
            ReplicaBeat(model, num_held[model], num_running[model]) for model in self._machine.models
        )

    def _device_beats(self, now_s: float) -> tuple[DeviceBeat, ...]:
        shares = self._busy_shares.of(self._engine.stage_busy_s(), now_s=now_s)
        return tuple(
            DeviceBeat(one.used_bytes, one.total_bytes, shares[one.stage])
            for one in self._engine.device_memory()
        )

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
                self._num_begun[batch.model] += held.num_prompt
        self._engine.start(
            batch,
            tuple(held.inputs for held in members),
            start_s=start_s,
            stage_freed=self._free_stage,
            finished=lambda result: self._finish(batch, result),
            is_timed=self._num_timed > 0 and any(held.times is not None for held in members),
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
        if result.times:
            self._note_times(batch, result)
        for request_id, sample in result.stopped:
            self._held[request_id].reasons[sample] = STOP
        if result.tokens:
            tell_tokens(result.tokens, [self._held[one.request_id].front for one in result.tokens])
        self._post(
            BatchFinished(
                batch.id, failed=bool(result.error), stopped=result.stopped, full_pages=result.full_pages
            )
        )

    def _note_times(self, batch: Batch, result: BatchResult) -> None:
        drawing = {one.request_id for one in batch.slices if one.num_outputs}
        # A request may have several answers in one step.
        for request_id in dict.fromkeys(request.id for request in batch.requests):
            times = self._held[request_id].times
            if times is not None and batch.slices:
                times.note_step(result.times, draws=request_id in drawing)
            elif times is not None:
                times.note_batch(result.times)

    def _settle(self, request_id: int, fate: Fate, now_s: float) -> None:
        held = self._held.pop(request_id)
        self._num_timed -= held.times is not None
        self._num_held_bytes -= held.num_bytes
        if held.reasons:
            self._engine.forget(request_id)
        if held.is_ended and fate is Fate.CANCELLED:
            fate, held.error = held.fate_when_ended, f"{held.model} leaves this group"
        held.tell_done(request_id, fate, now_s)
