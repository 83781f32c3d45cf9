"""The live shell round ClusterScheduler: endpoints post calls, workers answer; it decides nothing itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import final

import msgspec

from controller.answering import Answering
from controller.calls import InferCall, InferReply, ModelState, ModelStatistics, ModelView, Reason, Refusal
from controller.fleet import Pulse
from controller.journal import AbstractJournal
from controller.machine_shell import Clock, MachineShell
from controller.metrics import FleetMetrics
from controller.model_service import ModelService
from controller.pending import Answer, Answered, Pending, PendingCalls
from controller.request_lines import line_of, turned_away_line
from controller.server_groups import ServerGroups
from controller.strangers import Strangers
from controller.token_streams import Ended, GenerateCall, TokenStream
from controller.tracing.tracer import NO_TRACER, AbstractTracer
from controller.waiting_room import Demand, WaitingRoom
from scheduling.cluster import ClusterScheduler
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.messages import Arrived, Cancelled, ClusterEvent
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S
from workers.frames import Frame
from workers.server import Soon

# Each front end that ever speaks to the same workers has a number of its own, and so have its requests.
MAX_FRONTS = 2**16


@final
class FleetServer(ServerGroups):
    """Calls of endpoints become events of the machine; each is answered once.

    Implements `controller.fleet.Fleet`. All methods run on one event loop.
    """

    def __init__(
        self,
        deployment: Deployment,
        placement: Placement,
        machine: ClusterScheduler,
        *,
        clock: Clock,
        soon: Soon,
        metrics: FleetMetrics,
        limits: Sequence[Mapping[str, GenerationLimits]] = (),
        front: int = 0,
        hears_others: bool = False,
        demand: Demand | None = None,
        journal: AbstractJournal | None = None,
        observed: Answered | None = None,
        tracer: AbstractTracer = NO_TRACER,
    ) -> None:
        """limits: of each group's models that generate, as the machine has them. front: which front end.

        hears_others: it is one of several, so that what groups tell of all requests counts.
        """
        super().__init__(deployment, placement, metrics, limits)
        self._machine = machine
        self._clock = clock
        self._answering = Answering(self._table, self._generations)
        self._slo_s = _slos(deployment)
        self._journal = journal
        self._strangers = Strangers(clock)
        self._observed = observed
        self._tracer = tracer
        self._pending = PendingCalls(metrics, self._tell_answer)
        self._shell = MachineShell(
            machine,
            self._links,
            self._table,
            self._pending,
            self._generations,
            self._learned,
            clock=clock,
            soon=soon,
            metrics=metrics,
            overhead_s=deployment.latency.fixed_overhead_s,
            reply=self._reply,
            hears_others=hears_others,
        )
        self._demand = demand
        self.service = ModelService(self._board, self._table)
        self._waiting = WaitingRoom(clock=clock, later=_call_later, expired=self._expire)
        self._num_given_up: Counter[str] = Counter()
        self._ids = count(front, MAX_FRONTS)
        self._is_leaving = False
        self._is_draining = False

    # What the workers' side calls, besides what `ServerGroups` has.

    def adopt(self, deployment: Deployment) -> None:
        super().adopt(deployment)
        self._slo_s = _slos(deployment)

    def give_up(self, models: Collection[str]) -> None:
        """They will not be loaded: calls that wait for them are refused now."""
        self._num_given_up.update(models)
        for model in models:
            self._waiting.give_up(model)
        self._board.refresh()

    def receive(self, group_index: int, frame: Frame) -> None:
        """A frame of the group's worker. What a lost one still says is not heard."""
        if self._links.is_open(group_index):
            self._shell.receive(group_index, frame)

    # What the endpoints call (`controller.fleet.Fleet`).

    @property
    def changed(self) -> Pulse:
        return self._board.changed

    def turned_away(
        self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
    ) -> None:
        self._metrics.turned_away(model, refusal, protocol=protocol)
        if self._journal is not None and (told := self._strangers.told(refusal)) is not None:
            line = turned_away_line(call_id, model, told, protocol=protocol, unix_s=time.time())
            self._journal.request(line)
        self._tracer.turn_away(model, refusal, protocol=protocol, call_id=call_id)

    async def awaited(self, model: str) -> None:
        wait_s = None if self._demand is None or self._board.is_known(model) else self._demand.asked(model)
        if wait_s is None or self._is_draining or self._board.is_closed(model):
            return
        num_given_up = self._num_given_up[model]
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not self._board.is_known(model) and self._num_given_up[model] == num_given_up:
                    await self._board.changed.wait()

    def models(self) -> Mapping[str, ModelView]:
        return self._board.views

    def is_ready(self) -> bool:
        return self._board.are_all_served() and not self._is_leaving

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        future = asyncio.get_running_loop().create_future()
        request_id = next(self._ids)
        now_s = self._clock()
        model = self._served_as(call, request_id)
        slo_s = self._slo_s[model] if call.slo_s is None else call.slo_s
        deadline_s = NEVER_S if call.timeout_s is None else now_s + call.timeout_s
        request = Request(request_id, model, now_s, slo_s, deadline_s, tenant=call.tenant)
        future.add_done_callback(lambda done: self._forget(request_id) if done.cancelled() else None)
        pending = Pending(
            request, call.tensors, call.protocol, call.request_id, lambda answer: _resolve(future, answer)
        )
        self._begin(pending)
        return future

    def generate(self, call: GenerateCall) -> TokenStream:
        """Answer a call token by token; its stream is cancelled when the client's time is up."""
        request_id = next(self._ids)
        now_s = self._clock()
        model = self._served_as(call, request_id)
        if model != call.model:
            call = msgspec.structs.replace(call, model=model)
        slo_s = self._slo_s[model] if call.slo_s is None else call.slo_s
        request = self._generations.request(request_id, call, now_s=now_s, slo_s=slo_s)
        stream = TokenStream(lambda: self._forget(request_id))
        generation = self._generations.begin(request_id, call, stream)
        if call.timeout_s is not None:
            loop = asyncio.get_running_loop()
            generation.timer = loop.call_later(call.timeout_s, self._forget, request_id)
        self._begin(
            Pending(
                request,
                generation.prompt,
                call.protocol,
                call.request_id,
                lambda answer: self._generations.end(request, answer, now_s=self._clock()),
            )
        )
        return stream

    def _served_as(self, call: InferCall | GenerateCall, request_id: int) -> str:
        """The model, or the version of it, that the call goes to."""
        call_id = call.request_id or str(request_id)
        return self._board.served_as(call.model, call_id=call_id, tenant=call.tenant)

    def _begin(self, pending: Pending) -> None:
        request, model = pending.request, pending.request.model
        pending.trace = self._tracer.begin()
        self._pending.add(pending)
        if self._is_draining or self._board.is_closed(model):
            self._end(request.id, Refusal(*self._closed_reason(model)), None)
        elif (wait_s := self._wait_s(model)) is not None:
            self._waiting.hold(pending, wait_s)
        elif not self._board.is_known(model):
            # It came unchecked, since what the model takes is not known before the first of its groups opens.
            self._refuse(request, Fate.UNAVAILABLE if self._table.holders(model) else Fate.NOT_PLACED)
        else:
            self._post(Arrived(request))

    def _wait_s(self, model: str) -> float | None:
        """How long a call may wait for the model to be loaded, None where it need or may not."""
        if self._demand is None or self._board.views[model].state is ModelState.READY:
            return None
        return self._demand.asked(model)

    def _admit_waiting(self, models: Sequence[str]) -> None:
        for model in models:
            for pending in self._waiting.release(model):
                # Without tensors, it came before anybody knew what the model takes, and nobody looked at it.
                if pending.tensors:
                    self._post(Arrived(pending.request))
                else:
                    self._refuse(pending.request, Fate.UNAVAILABLE)

    def _expire(self, pending: Pending) -> None:
        self._refuse(pending.request, Fate.UNAVAILABLE)

    def _refuse(self, request: Request, fate: Fate) -> None:
        self._end(request.id, self._answering.refusal(request, fate, now_s=self._clock()), None)

    async def load(self, model: str) -> Refusal | None:
        """Make the model resident and take it (back) into service; returns when it is READY."""
        return await self.service.load(model)

    async def unload(self, model: str) -> Refusal | None:
        """Take the model out of service, and give its memory back."""
        return await self.service.unload(model)

    def statistics(self, model: str) -> ModelStatistics:
        return self._metrics.statistics(model)

    # What the life cycle calls.

    def start_leaving(self) -> None:
        """Readiness goes off; requests are served as before, while load balancers look elsewhere."""
        self._is_leaving = True
        self._board.refresh()

    def start_draining(self) -> None:
        """Accepted requests run on, new ones are refused."""
        self._is_leaving = self._is_draining = True
        self._board.refresh()

    @property
    def num_pending(self) -> int:
        return len(self._pending)

    async def until_idle(self) -> None:
        """Return when every call has been answered."""
        await self._pending.until_none()

    def abandon(self) -> None:
        """Answer every call that still waits: the fleet ends before it can be served."""
        for request_id in self._pending.ids():
            if (pending := self._pending.find(request_id)) is not None:
                self._waiting.forget(pending.request)
            self._end(request_id, Refusal(Reason.DRAINING, "the fleet stopped before it answered"), None)

    # How a call goes on and ends.

    def _post(self, event: ClusterEvent) -> None:
        self._shell.post(event)

    def _reply(self, request_id: int, fate: Fate, group_index: int | None) -> None:
        pending = self._pending.find(request_id)
        if pending is not None:
            answer = self._answering.of(pending, fate, group_index, now_s=self._clock())
            self._end(request_id, answer, group_index)

    def _tell_answer(self, pending: Pending, answer: Answer, group: str, now_s: float) -> None:
        if self._journal is not None:
            self._journal.request(line_of(pending, answer, group=group, now_s=now_s, unix_s=time.time()))
        if self._observed is not None:
            self._observed(pending, answer, group, now_s)
        if pending.trace is not None:
            tokens = self._generations.token_times(pending.request.id)
            self._tracer.end(pending, answer, group=group, now_s=now_s, tokens=tokens)

    def _end(self, request_id: int, answer: Answer, group_index: int | None) -> None:
        group_id = self._table.id_of(group_index)
        self._pending.end(request_id, answer, group=group_id, now_s=self._clock())

    def _forget(self, request_id: int) -> None:
        """The client went away or its deadline passed."""
        pending = self._pending.find(request_id)
        if pending is None:
            return
        if self._waiting.forget(pending.request):
            self._refuse(pending.request, Fate.CANCELLED)
        else:
            self._post(Cancelled(request_id))

    def _closed_reason(self, model: str) -> tuple[Reason, str]:
        if self._is_draining:
            return Reason.DRAINING, "the fleet is draining; try another replica of the endpoint"
        return Reason.NOT_LOADED, f"model {model!r} was unloaded; load it first"


def _slos(deployment: Deployment) -> dict[str, float]:
    return {model.name: model.slo_s(deployment.latency) for model in deployment.models}


def _call_later(seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, call)


def _resolve(future: asyncio.Future[InferReply | Refusal], answer: Answer) -> None:
    assert not isinstance(answer, Ended), answer
    if not future.done():
        future.set_result(answer)
