"""The end of a fleet in order: readiness off, a lead for load balancers, no new calls, a grace."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from vocabulary.deployment import Drain


class Drained(Protocol):
    """A server of calls, or several (`FleetServer`, `controller.front.together`)."""

    def start_leaving(self) -> None: ...

    def start_draining(self) -> None: ...

    async def until_idle(self) -> None: ...


async def drain(server: Drained, settings: Drain, *, now: asyncio.Event) -> None:
    """Return when all that was accepted is answered, when its time is up, or as soon as `now` is set."""
    server.start_leaving()
    grace = asyncio.ensure_future(_finish(server, settings))
    at_once = asyncio.ensure_future(now.wait())
    await asyncio.wait((grace, at_once), return_when=asyncio.FIRST_COMPLETED)
    for task in (grace, at_once):
        task.cancel()


async def _finish(server: Drained, settings: Drain) -> None:
    await asyncio.sleep(settings.readiness_lead_s)
    server.start_draining()
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.graceful_shutdown_timeout_s):
            await server.until_idle()
