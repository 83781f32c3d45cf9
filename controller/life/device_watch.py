"""Devices that go and come: after a while without them the fleet is planned for those that are left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import final

import structlog

from controller.journal import AbstractJournal
from controller.life.fewer_devices import Fallback, Loss
from controller.life.past import FellBack, Past
from controller.life.supervisor import Supervisor
from vocabulary.errors import Infeasible, StatmuxError
from vocabulary.placement import Placement

# A placement on these devices, from one that was planned for more; raises Infeasible.
Replan = Callable[[frozenset[str], Placement], Awaitable[Placement]]
# What models lose from the first placement to the second.
Losses = Callable[[Placement, Placement], Awaitable[tuple[Loss, ...]]]
_log = structlog.get_logger("statmux.controller")
# Of a plan for the devices that are left: a search may be late, or overtaken by what somebody else wants.
_MAX_TRIES = 10


@final
class DeviceWatch:
    """Tells the supervisor which devices are there, and wants another plan where some stay away.

    there: ids of the devices that are there, once that is `known`. fallback: what is run for want of some,
    None while all is as planned.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        timeout_s: float,
        replan: Replan,
        losses: Losses,
        journal: AbstractJournal,
        past: Past,
        drained: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """timeout_s: how long devices may be away before they are planned without. drained: devices that are
        there, and that no plan is to use."""
        self.fallback: Fallback | None = None
        self.there: frozenset[str] = frozenset()
        self.known = asyncio.Event()
        self._supervisor = supervisor
        self._timeout_s = timeout_s
        self._replan = replan
        self._losses = losses
        self._journal = journal
        self._past = past
        self._drained = drained
        self._planned = Placement(())
        self._planning: asyncio.Task[None] | None = None

    def resume(self) -> None:
        """What a controller before this one ran for want of devices is no plan of its own."""
        before = self._past.fell_back(self._supervisor.deployment)
        if before is not None:
            self.fallback = Fallback(before.placement, before.missing)
            self._planned = before.planned

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
        self.look()

    def look(self) -> None:
        """Plan anew if what is wanted needs devices that are away, or if those that were are back."""
        self._forget()
        if self._is_missing(self._supervisor.desired) or self._is_falling_back:
            self._planning = asyncio.get_running_loop().create_task(self._plan_anew())

    async def close(self) -> None:
        """Nothing is planned any more."""
        planning = self._planning
        self._forget()
        if planning is not None:
            await asyncio.gather(planning, return_exceptions=True)

    @property
    def _is_falling_back(self) -> bool:
        """Unless something else was wanted since."""
        return self.fallback is not None and self._supervisor.desired == self.fallback.placement

    def _forget(self) -> None:
        if self._planning is not None:
            self._planning.cancel()
            self._planning = None

    @property
    def _usable(self) -> frozenset[str]:
        return self.there - self._drained()

    def _is_missing(self, placement: Placement) -> bool:
        return not self._usable.issuperset(_devices(placement))

    async def _plan_anew(self) -> None:
        """As before, at once, where all devices are back; else for those that are there, after a while."""
        if self._is_falling_back and not self._is_missing(self._planned):
            self.fallback = None
            self._past.remember_fallback(None)
            self._supervisor.want(self._planned, why="all devices are back")
            return
        for _ in range(_MAX_TRIES):
            await asyncio.sleep(self._timeout_s)
            try:
                if await self._fall_back():
                    return
            except StatmuxError as error:
                _log.error("no plan for the devices that are left", why=str(error))
                self._journal.event("no_plan", why=str(error))
                if isinstance(error, Infeasible):
                    return

    async def _fall_back(self) -> bool:
        """False: something else was wanted while this was planned."""
        before = self._supervisor.desired
        if not self._is_falling_back:
            self._planned = before
        if not self._is_missing(self._planned):
            return True
        missing = tuple(sorted(_devices(self._planned) - self._usable))
        placement = await self._replan(self._usable, self._planned)
        if self._supervisor.desired is not before:
            return False
        await self._carry_out(placement, missing)
        await self._predict()
        return True

    async def _carry_out(self, placement: Placement, missing: tuple[str, ...]) -> None:
        """Without an interruption if there is a way, else with: others have lost all replicas they had."""
        supervisor = self._supervisor
        supervisor.want(placement, why="devices are gone")
        # Groups may have other ids there than they were planned with.
        self.fallback = Fallback(supervisor.desired, missing)
        self._past.remember_fallback(FellBack(supervisor.desired, self._planned, missing))
        await supervisor.converged()
        if self._is_falling_back and any(one.models for one in supervisor.given_up):
            supervisor.want(
                supervisor.desired, may_interrupt=True, why="devices are gone, and others must make room"
            )

    async def _predict(self) -> None:
        """What models lose by it, if that can be said."""
        fallback = self.fallback
        if fallback is None:
            return
        try:
            losses = await self._losses(self._planned, fallback.placement)
        except StatmuxError as error:
            _log.warning("losses are not predicted", why=str(error))
        else:
            self.fallback = fallback = replace(fallback, losses=losses)
        _log.warning("planned for fewer devices", plan=fallback.sentence)
        self._journal.event("fewer_devices", why=fallback.sentence)


def _devices(placement: Placement) -> set[str]:
    return {device for group in placement.groups for device in group.devices}
