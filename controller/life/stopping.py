"""How a fleet hears that it is to end: a signal or a request drains it, the second does not wait."""

from __future__ import annotations

import asyncio
import signal
from typing import final


@final
class Stopping:
    """asked: once; at_once: twice."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def catch_signals(self) -> None:
        """SIGTERM and SIGINT are requests from now on; again where another library took them meanwhile."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self.ask)

    def ask(self) -> None:
        if self.asked.is_set():
            self.at_once.set()
        self.asked.set()

    async def outlasted_by(self, work: asyncio.Future) -> bool:
        """Wait until `work` is done, or until a stop is asked for: then False."""
        stop = asyncio.ensure_future(self.asked.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return not self.asked.is_set()
