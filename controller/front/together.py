"""All front ends of a fleet as one, where its life is concerned: this process's own and the further ones."""

from __future__ import annotations

import asyncio
from typing import final

from controller.front.front_ends import FrontEnds
from controller.server import FleetServer


@final
class Together:
    """What `controller.life.drain` asks of a fleet, of all of them."""

    def __init__(self, server: FleetServer, further: FrontEnds) -> None:
        self._server = server
        self._further = further

    def start_leaving(self) -> None:
        self._server.start_leaving()
        self._further.start_leaving()

    def start_draining(self) -> None:
        self._server.start_draining()
        self._further.start_draining()

    @property
    def num_pending(self) -> int:
        return self._server.num_pending + self._further.num_pending

    async def until_idle(self) -> None:
        await asyncio.gather(self._server.until_idle(), self._further.until_idle())
