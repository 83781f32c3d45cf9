"""`python -m controller.front FD`: FD is the socket that leads to the fleet's process."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import uvloop

from controller.front.channel import fronts_end
from controller.front.front import serve_front
from controller.front.words import Start
from controller.logs import set_up_logs


def main() -> None:
    """The process ends when the other end of its socket does."""
    mine = socket.socket(fileno=int(sys.argv[1]))
    # The terminal's Ctrl-C is for the fleet's process, which drains all front ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(_serve(mine))


async def _serve(mine: socket.socket) -> None:
    channel = await fronts_end(mine)
    try:
        await serve_front(channel, prepared=_prepare)
    finally:
        channel.close()
        await asyncio.sleep(0)


def _prepare(start: Start) -> None:
    deployment = start.deployment
    set_up_logs(log_format=deployment.log_format, level=deployment.log_level)


if __name__ == "__main__":
    main()
