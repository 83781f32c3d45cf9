"""The live shell round ClusterScheduler: endpoints post calls, workers answer; it decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import assert_never, final

import structlog

from controller.calls import InferCall, InferReply, ModelState, ModelStatistics, ModelView, Reason, Refusal
from controller.fleet import Pulse
from controller.generations import Generations
from controller.group_links import GroupLinks
from controller.metrics import FleetMetrics
from controller.model_board import ModelBoard
from controller.pending import Answer, Pending, PendingCalls
from controller.refusals import refusal
from controller.token_streams import Ended, GenerateCall, TokenStream
from scheduling.cluster import ClusterScheduler
from scheduling.learned import LearnedCorrections
from vocabulary.correction import Correction
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.messages import (
    Arrived,
    Cancelled,
    ClusterCommand,
    ClusterEvent,
    Forward,
    GroupLost,
    GroupOpened,
    Reply,
    Settled,
    Withdraw,
)
from vocabulary.placement import Placement
from vocabulary.request import Fate, Request
from vocabulary.units import NEVER_S
from workers.engine import ModelInterface
from workers.frames import Beat, Done, Frame, Run, Tokens, Withdrawn, tensor_headers
from workers.link import Link
from workers.server import Soon

Clock = Callable[[], float]
_log = structlog.get_logger("statmux.controller")


@final
class FleetServer:
    """Posts events, lets the machine decide once per loop turn, performs its commands.

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
    ) -> None:
        """limits: of each group's models that generate, as the machine has them."""
        self._placement = placement
        self._machine = machine
        self._clock = clock
        self._soon = soon
        self._metrics = metrics
        self._overhead_s = deployment.latency.fixed_overhead_s
        self._learned = LearnedCorrections(placement, catalog=deployment.catalog())
        self._generations = Generations({model.name: model for model in deployment.models}, metrics, limits)
        self._slo_s = {model.name: model.slo_s(deployment.latency) for model in deployment.models}
        self._board = ModelBoard(deployment.models, placement)
        self._links = GroupLinks(len(placement.groups))
        self._pending = PendingCalls(metrics)
        self._ids = count()
        self._is_decision_due = False
        self._is_leaving = False
        self._is_draining = False

    # What the workers' side calls.

    def open_group(self, group_index: int, link: Link, interfaces: Mapping[str, ModelInterface]) -> None:
        """The group's models are warm and `link` leads to its worker."""
        self._links.open(group_index, link)
        self._post(GroupOpened(group_index))
        self._board.open_group(group_index, interfaces)

    def lose_group(self, group_index: int, why: str) -> bool:
        """The group's worker is gone; its requests are answered with FAILED. False: that was known."""
        if not self._links.lose(group_index):
            return False
        self._metrics.group_lost(self._placement.groups[group_index].id)
        self._post(GroupLost(group_index))
        self._board.lose_group(group_index, why)
        return True

    def receive(self, group_index: int, frame: Frame) -> None:
        """A frame of the group's worker."""
        match frame.header:
            case Done(request_id, fate, _, finish_s) as done:
                pending = self._pending.find(request_id)
                if pending is not None:
                    pending.frame = frame
                    self._learn(pending.request.model, group_index, done)
                self._post(Settled(request_id, Fate(fate), finish_s))
            case Tokens(tokens):
                self._generations.tokens(tokens, self._clock())
            case Beat() as beat:
                self._links.hear(group_index, beat)
            case _:
                raise AssertionError(f"a worker sent {type(frame.header).__name__}")

    def _learn(self, model: str, group_index: int, done: Done) -> None:
        if done.fate == Fate.SERVED.value and not done.reasons:
            self._learned.observe(
                model,
                group_index,
                start_s=done.start_s,
                finish_s=done.finish_s,
                batch_size=done.batch_size,
            )

    # What the endpoints call (`controller.fleet.Fleet`).

    @property
    def changed(self) -> Pulse:
        return self._board.changed

    def turned_away(self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2") -> None:
        self._metrics.turned_away(model, refusal, protocol=protocol)

    def models(self) -> Mapping[str, ModelView]:
        return self._board.views

    def is_ready(self) -> bool:
        return self._board.are_all_served() and not self._is_leaving

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        future = asyncio.get_running_loop().create_future()
        request_id = next(self._ids)
        now_s = self._clock()
        slo_s = self._slo_s[call.model] if call.slo_s is None else call.slo_s
        deadline_s = NEVER_S if call.timeout_s is None else now_s + call.timeout_s
        request = Request(request_id, call.model, now_s, slo_s, deadline_s, tenant=call.tenant)
        future.add_done_callback(lambda done: self._forget(request_id) if done.cancelled() else None)
        self._begin(Pending(request, call.tensors, call.protocol, lambda answer: _resolve(future, answer)))
        return future

    def generate(self, call: GenerateCall) -> TokenStream:
        """Answer a call token by token; its stream is cancelled when the client's time is up."""
        request_id = next(self._ids)
        now_s = self._clock()
        slo_s = self._slo_s[call.model] if call.slo_s is None else call.slo_s
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
                lambda answer: self._generations.end(request, answer, now_s=self._clock()),
            )
        )
        return stream

    def _begin(self, pending: Pending) -> None:
        request = pending.request
        self._pending.add(pending)
        if self._is_draining or self._board.is_closed(request.model):
            self._end(request.id, Refusal(*self._closed_reason(request.model)), None)
        elif not self._board.is_known(request.model):
            # It came unchecked, since what the model takes is not known before the first of its groups opens.
            fate = Fate.UNAVAILABLE if self._placement.holders(request.model) else Fate.NOT_PLACED
            self._end(request.id, self._refusal(request, fate), None)
        else:
            self._post(Arrived(request))

    async def load(self, model: str) -> Refusal | None:
        """Take the model (back) into service; returns when it is READY."""
        self._board.open_model(model)
        while (view := self._board.views[model]).state is ModelState.LOADING:
            await self._board.changed.wait()
        if view.state is ModelState.READY:
            return None
        reason = Reason.UNAVAILABLE if self._placement.holders(model) else Reason.NOT_PLACED
        return Refusal(reason, view.state_reason)

    async def unload(self, model: str) -> Refusal | None:
        """Take the model out of service. Its weights stay resident until the placement changes."""
        self._board.close_model(model)
        return None

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
            self._end(request_id, Refusal(Reason.DRAINING, "the fleet stopped before it answered"), None)

    def beat_of(self, group_index: int) -> Beat | None:
        return self._links.beat_of(group_index)

    def in_flight_of(self, group_index: int) -> int:
        return self._machine.group_in_flight(group_index)

    def corrections(self) -> Mapping[tuple[str, int], Correction]:
        """How long lone batches take against their profile, by model and index of the group."""
        return self._learned.found()

    def is_open(self, group_index: int) -> bool:
        return self._board.is_open(group_index)

    # The shell itself.

    def _post(self, event: ClusterEvent) -> None:
        self._machine.observe(event)
        if not self._is_decision_due:
            self._is_decision_due = True
            self._soon(self._decide)

    def _decide(self) -> None:
        self._is_decision_due = False
        for command in self._machine.decide(self._clock()):
            try:
                self._perform(command)
            except Exception:  # a bug must not take the other requests of this instant with it
                _log.exception("command failed", command=repr(command))
        self._links.flush()

    def _perform(self, command: ClusterCommand) -> None:
        match command:
            case Forward(request, group_index, predicted_finish_s):
                self._forward(request, group_index, predicted_finish_s)
            case Withdraw(request_id, group_index):
                self._links.send(group_index, Withdrawn(request_id))
            case Reply(request_id, fate, group_index):
                self._reply(request_id, fate, group_index)
            case _:
                assert_never(command)

    def _forward(self, request: Request, group_index: int, predicted_finish_s: float) -> None:
        pending = self._pending.find(request.id)
        assert pending is not None, request
        # Of the last stage, which is what a worker reports: the fixed overhead is the client's.
        pending.predicted_finish_s = predicted_finish_s - self._overhead_s
        tensors = pending.tensors
        run = Run(
            request.id,
            request.model,
            request.arrival_s,
            request.slo_s,
            request.deadline_s,
            tensor_headers(tensors),
            self._generations.ask(request) if request.generates else None,
        )
        self._links.send(group_index, run, tensors)

    def _reply(self, request_id: int, fate: Fate, group_index: int | None) -> None:
        pending = self._pending.find(request_id)
        if pending is None:
            return
        done = pending.done
        if fate is Fate.SERVED and done is not None:
            self._end(request_id, self._served(pending, done, group_index), group_index)
        else:
            error = done.error if done is not None else ""
            self._end(request_id, self._refusal(pending.request, fate, error), group_index)

    def _served(self, pending: Pending, done: Done, group_index: int | None) -> InferReply | Ended:
        group_id, queue_s = self._group_id(group_index), done.start_s - pending.request.arrival_s
        if pending.request.generates:
            return Ended(done.reasons, group_id, done.num_cached, queue_s)
        assert pending.frame is not None, done
        return InferReply(pending.frame.tensors, group_id, queue_s, done.finish_s - done.start_s)

    def _end(self, request_id: int, answer: Answer, group_index: int | None) -> None:
        self._pending.end(request_id, answer, group=self._group_id(group_index), now_s=self._clock())

    def _group_id(self, group_index: int | None) -> str:
        return "" if group_index is None else self._placement.groups[group_index].id

    def _forget(self, request_id: int) -> None:
        """The client went away or its deadline passed."""
        if self._pending.find(request_id) is not None:
            self._post(Cancelled(request_id))

    def _refusal(self, request: Request, fate: Fate, error: str = "") -> Refusal:
        limits = self._generations.limits_of(request.model)
        return refusal(request, fate, now_s=self._clock(), error=error, limits=limits)

    def _closed_reason(self, model: str) -> tuple[Reason, str]:
        if self._is_draining:
            return Reason.DRAINING, "the fleet is draining; try another replica of the endpoint"
        return Reason.NOT_LOADED, f"model {model!r} was unloaded; load it first"


def _resolve(future: asyncio.Future[InferReply | Refusal], answer: Answer) -> None:
    assert not isinstance(answer, Ended), answer
    if not future.done():
        future.set_result(answer)
