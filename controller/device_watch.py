"""Devices that go and come: after a while without them the fleet is planned for those that are left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import final

import structlog

from controller.fewer_devices import Fallback
from controller.journal import AbstractJournal
from controller.supervisor import Supervisor
from vocabulary.errors import StatmuxError
from vocabulary.placement import Placement

# Plans for these devices, moving as little as possible of the placement.
Replan = Callable[[frozenset[str], Placement], Awaitable[Fallback]]
_log = structlog.get_logger("statmux.controller")


@final
class DeviceWatch:
    """Tells the supervisor which devices are there, and wants another plan where some stay away.

    there: ids of the devices that are there, once that is `known`. fallback: what is run for want of some,
    None while all is as planned.
    """

    def __init__(
        self, supervisor: Supervisor, *, timeout_s: float, replan: Replan, journal: AbstractJournal
    ) -> None:
        self.fallback: Fallback | None = None
        self._supervisor = supervisor
        self._timeout_s = timeout_s
        self._replan = replan
        self._journal = journal
        self.there: frozenset[str] = frozenset()
        self.known = asyncio.Event()
        self._planned = Placement(())
        self._waiting: asyncio.Task[None] | None = None

    def hear(self, devices: frozenset[str]) -> None:
        """All that are there now."""
        self.known.set()
        if devices == self.there:
            return
        gone, come = self.there - devices, devices - self.there
        self.there = devices
        self._journal.event("devices", gone=sorted(gone), come=sorted(come))
        if gone:
            _log.error("devices are gone", devices=sorted(gone))
        self._supervisor.devices_changed(devices)
        self._forget()
        if self._is_missing(self._supervisor.desired) or (self.fallback is not None and come):
            self._waiting = asyncio.get_running_loop().create_task(self._plan_anew())

    async def close(self) -> None:
        waiting = self._waiting
        self._forget()
        if waiting is not None:
            await asyncio.gather(waiting, return_exceptions=True)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _is_missing(self, placement: Placement) -> bool:
        return any(device not in self.there for group in placement.groups for device in group.devices)

    async def _plan_anew(self) -> None:
        """A device that came back is used at once where the first plan is whole again."""
        if self.fallback is None or self._supervisor.desired != self.fallback.placement:
            self._planned = self._supervisor.desired
        if not self._is_missing(self._planned):
            self.fallback = None
            self._supervisor.want(self._planned, why="all devices are back")
            return
        await asyncio.sleep(self._timeout_s)
        try:
            self.fallback = await self._replan(self.there, self._planned)
        except StatmuxError as error:
            _log.error("no plan for the devices that are left", why=str(error))
            self._journal.event("no_plan", why=str(error))
            return
        _log.warning("planned for fewer devices", plan=self.fallback.sentence)
        # Models whose replicas were lost are without one anyway; the others' may have to make room.
        self._supervisor.want(self.fallback.placement, may_interrupt=True, why=self.fallback.sentence)
