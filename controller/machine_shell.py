"""Round the machine: frames of workers become its events, its commands become frames to workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never, final

import structlog

from controller.front.heard import group_heard
from controller.generations import Generations
from controller.group_links import GroupLinks
from controller.group_table import GroupTable
from controller.metrics import FleetMetrics
from controller.pending import PendingCalls
from controller.tracing.asking import Try
from scheduling.cluster import ClusterScheduler
from scheduling.learned import LearnedCorrections
from vocabulary.messages import Begun, ClusterCommand, ClusterEvent, Forward, Reply, Settled, Withdraw
from vocabulary.request import Fate, Request
from workers.frames import AtWork, Beat, Done, Frame, Run, Tokens, Withdrawn, tensor_headers
from workers.server import Soon

Clock = Callable[[], float]
_log = structlog.get_logger("statmux.controller")


@final
class MachineShell:
    """Posts events, lets the machine decide once per loop turn, performs its commands."""

    def __init__(
        self,
        machine: ClusterScheduler,
        links: GroupLinks,
        table: GroupTable,
        pending: PendingCalls,
        generations: Generations,
        learned: LearnedCorrections,
        *,
        clock: Clock,
        soon: Soon,
        metrics: FleetMetrics,
        overhead_s: float,
        reply: Callable[[int, Fate, int | None], None],
        hears_others: bool,
    ) -> None:
        """overhead_s: of each call, beside what workers do for it. reply: hears how each request ended.

        hears_others: what groups tell of the requests of all front ends counts.
        """
        self._machine = machine
        self._links = links
        self._table = table
        self._pending = pending
        self._generations = generations
        self._learned = learned
        self._clock = clock
        self._soon = soon
        self._metrics = metrics
        self._overhead_s = overhead_s
        self._reply = reply
        self._hears_others = hears_others
        self._is_decision_due = False

    def post(self, event: ClusterEvent) -> None:
        """The machine knows it now, and decides within this turn of the loop."""
        self._machine.observe(event)
        if not self._is_decision_due:
            self._is_decision_due = True
            self._soon(self._decide)

    def receive(self, group_index: int, frame: Frame) -> None:
        """A frame of the worker of a group that is open."""
        match frame.header:
            case AtWork(request_ids):
                self.post(Begun(request_ids))
            case Done(request_id, fate, _, finish_s) as done:
                pending = self._pending.find(request_id)
                if pending is not None:
                    pending.frame = frame
                    self._learn(pending.request.model, group_index, done)
                self.post(Settled(request_id, Fate(fate), finish_s))
            case Tokens(tokens):
                self._generations.tokens(tokens, self._clock())
            case Beat() as beat:
                self._hear(group_index, beat)
            case _:
                raise AssertionError(f"a worker sent {type(frame.header).__name__}")

    def _hear(self, group_index: int, beat: Beat) -> None:
        now_s = self._clock()
        self._links.hear(group_index, beat, now_s)
        if self._hears_others:
            self.post(group_heard(group_index, beat, at_s=now_s))

    def _learn(self, model: str, group_index: int, done: Done) -> None:
        if done.fate == Fate.SERVED.value and not done.reasons:
            self._learned.observe(
                model,
                group_index,
                start_s=done.start_s,
                finish_s=done.finish_s,
                batch_size=done.batch_size,
            )

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
        pending.num_tries += 1
        if pending.num_tries > 1:
            self._metrics.retried(request.model)
        if pending.trace is not None:
            group = self._table.groups[group_index]
            pending.trace.tries.append(Try(self._clock(), group, pending.predicted_finish_s))
        tensors = pending.tensors
        run = Run(
            request.id,
            request.model,
            request.arrival_s,
            request.slo_s,
            request.deadline_s,
            tensor_headers(tensors),
            self._generations.ask(request) if request.generates else None,
            pending.trace is not None,
        )
        self._links.send(group_index, run, tensors)
