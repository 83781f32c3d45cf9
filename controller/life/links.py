"""The data path from the controller to the workers that lead groups: one socket each."""

from __future__ import annotations

import asyncio
import time

from controller.on_ray.nouns import StartedGroup
from vocabulary.errors import RuntimeFailure
from workers.frames import Hello
from workers.link import Lost, Receive, SocketLink


async def open_link(
    started: StartedGroup, receive: Receive, lost: Lost, *, key: str, front: int = 0
) -> SocketLink:
    """Connect to the group's worker and greet it with the fleet's key. front: whose link it is.

    Raises RuntimeFailure when nobody answers at the worker's address.
    """
    loop, address = asyncio.get_running_loop(), started.address

    def link() -> SocketLink:
        return SocketLink(receive, lost)

    try:
        if address.socket_path:
            _, made = await loop.create_unix_connection(link, address.socket_path)
        else:
            _, made = await loop.create_connection(link, address.host, address.port)
    except OSError as error:
        raise RuntimeFailure(
            f"the worker of group {started.group_id} does not answer at {address}: {error.strerror or error}",
            hint="if it is on another host, every port of its node must be reachable from here",
        ) from error
    made.send(Hello(key, time.monotonic(), front))
    made.flush()
    return made
