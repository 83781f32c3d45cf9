"""A further front end in its own process: the fleet's endpoints, a scheduler, links to every worker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import assert_never, final

import structlog

from controller.front.channel import Channel
from controller.front.forwarded import ForwardedDemand, ForwardedJournal, ForwardedVerbs, ForwardingFleet
from controller.front.group_doors import GroupDoors
from controller.front.words import (
    AddGroup,
    Adopt,
    Asked,
    Close,
    CloseReplica,
    Drain,
    DropReplica,
    Failed,
    GiveUp,
    Idle,
    Leave,
    LoseGroup,
    Opened,
    OpenGroup,
    OpenReplica,
    Pulse,
    RemoveGroup,
    Start,
    ToFront,
    Totals,
    Troubled,
)
from controller.life.endpoints import Endpoints
from controller.metrics import FleetMetrics
from controller.ports import Sharing
from controller.security.guard import open_guard
from controller.server import FleetServer
from controller.text import open_texts
from controller.tracing.opening import open_tracing
from scheduling.cluster import ClusterScheduler
from vocabulary.deployment import Deployment
from vocabulary.errors import StatmuxError
from vocabulary.placement import Placement

# How soon the fleet's process knows what was answered here.
PULSE_S = 0.25
_LAST_WORDS_S = 1.0
_log = structlog.get_logger("statmux.front")


async def serve_front(channel: Channel[ToFront], *, prepared: Callable[[Start], None]) -> None:
    """Serve until the fleet's process closes the channel, however it ends.

    prepared: called with the first word, before anything is opened.
    """
    words = channel.words()
    start = await anext(words, None)
    if not isinstance(start, Start):
        return
    prepared(start)
    async with AsyncExitStack() as stack:
        try:
            front = Front(start, channel)
            await front.open(stack)
        except StatmuxError as error:
            channel.send(Failed(error.message, error.hint))
            await channel.flushed()
            return
        async for word in words:
            await front.hear(word)
        await front.close()


@final
class Front:
    """Hears words one after another, tells a pulse now and then."""

    def __init__(self, start: Start, channel: Channel[ToFront]) -> None:
        """Raises StatmuxError for files that are not what they should be."""
        deployment = start.deployment
        self._channel = channel
        self._metrics = FleetMetrics(deployment.model_names)
        self._journal = ForwardedJournal()
        self._verbs = ForwardedVerbs(Path(start.control))
        self._demand = ForwardedDemand(deployment, lambda model: channel.send(Asked(model)))
        self._deployment = deployment
        self._tracing = open_tracing(deployment, front=start.index)
        self._server = FleetServer(
            deployment,
            Placement(()),
            ClusterScheduler(
                Placement(()), catalog=deployment.catalog(), policy=deployment.policy, front=start.index
            ),
            clock=time.monotonic,
            soon=asyncio.get_running_loop().call_soon,
            metrics=self._metrics,
            front=start.front,
            hears_others=True,
            demand=self._demand,
            journal=self._journal,
            tracer=self._tracing.tracer,
        )
        self._doors = GroupDoors(self._server, key=start.key, front=start.front)
        self._endpoints = Endpoints(
            deployment,
            guard=open_guard(deployment.security, folder=deployment.folder, environment=os.environ),
            texts=open_texts(deployment),
            verbs=lambda: self._verbs,
            sharing=Sharing.FURTHER,
            tracer=self._tracing.tracer,
        )
        self._idle: asyncio.Task[None] | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        """Answer on the fleet's ports. Raises StatmuxError where that cannot be."""
        await self._endpoints.open(ForwardingFleet(self._server, self._verbs), self._metrics, stack)
        self._metrics.watch(self._server)
        self._tracing.start(self._metrics.registry)
        self._channel.send(Opened(self._endpoints.addresses["metrics"]))
        pulses = asyncio.get_running_loop().create_task(self._tell_pulses())
        stack.callback(pulses.cancel)
        stack.callback(self._doors.close)

    async def close(self) -> None:
        """Nobody waits for an answer any more, and nobody can come."""
        if self._idle is not None:
            self._idle.cancel()
        self._server.abandon()
        self._tell_pulse()
        await self._endpoints.close(_LAST_WORDS_S)
        await self._tracing.close()

    async def hear(self, word: ToFront) -> None:
        """What the fleet's process says; of groups, in the order in which it happened."""
        server, doors = self._server, self._doors
        match word:
            case AddGroup(index, group, limits):
                server.add_group(index, group, limits)
            case OpenGroup():
                await doors.open(word)
            case OpenReplica(index, model, interface, limits):
                doors.opened(index, model, interface)
                server.open_replica(index, model, interface, limits)
            case CloseReplica(index, model):
                doors.closed(index, model)
                server.close_replica(index, model)
            case DropReplica(index, model):
                server.drop_replica(index, model)
            case LoseGroup(index, why):
                doors.forget(index)
                server.lose_group(index, why)
            case RemoveGroup(index):
                doors.forget(index)
                server.remove_group(index)
            case GiveUp(models):
                server.give_up(models)
            case Close(models):
                server.service.close_only(models)
            case Adopt(deployment):
                await self._adopt(deployment)
            case Leave():
                server.start_leaving()
            case Drain():
                server.start_draining()
                self._idle = asyncio.get_running_loop().create_task(self._tell_idle())
            case Start():
                raise AssertionError("a front end starts once")
            case _:
                assert_never(word)

    async def _adopt(self, deployment: Deployment) -> None:
        """Where a tokenizer cannot be read, those of before go on, and the fleet is told."""
        self._deployment = self._demand.deployment = deployment
        problem = ""
        try:
            await self._endpoints.adopt(deployment)
        except (StatmuxError, OSError) as error:
            problem = str(error)
            _log.error("a change was not taken over whole", why=problem)
        self._channel.send(Troubled(problem))
        self._server.adopt(deployment)

    async def _tell_idle(self) -> None:
        await self._server.until_idle()
        self._tell_pulse()
        self._channel.send(Idle())

    async def _tell_pulses(self) -> None:
        while True:
            await asyncio.sleep(PULSE_S)
            self._tell_pulse()

    def _tell_pulse(self) -> None:
        self._channel.send(Pulse(self._server.num_pending, self._totals(), self._journal.taken()))

    def _totals(self) -> Mapping[str, Totals]:
        return {name: self._totals_of(name) for name in self._deployment.model_names}

    def _totals_of(self, model: str) -> Totals:
        totals = self._metrics.statistics(model)
        return Totals(totals.num_served, totals.num_failed, totals.served_s, self._metrics.judged(model))
