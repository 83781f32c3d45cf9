"""The data path from the controller to the workers that lead groups: one socket each."""

from __future__ import annotations

import asyncio
import time

from controller.on_ray.nouns import StartedGroup
from vocabulary.errors import RuntimeFailure
from workers.frames import Hello
from workers.link import Lost, Receive, SocketLink

# A host that is gone does not refuse; who waits for it keeps others waiting.
_TIMEOUT_S = 10.0


async def open_link(
    started: StartedGroup,
    receive: Receive,
    lost: Lost,
    *,
    key: str,
    front: int = 0,
    timeout_s: float = _TIMEOUT_S,
) -> SocketLink:
    """Connect to the group's worker and greet it with the fleet's key. front: whose link it is.

    Raises RuntimeFailure when nobody answers at the worker's address within the time.
    """
    loop, address = asyncio.get_running_loop(), started.address

    def link() -> SocketLink:
        return SocketLink(receive, lost)

    try:
        async with asyncio.timeout(timeout_s):
            if address.socket_path:
                _, made = await loop.create_unix_connection(link, address.socket_path)
            else:
                _, made = await loop.create_connection(link, address.host, address.port)
    except OSError as error:
        why = error.strerror or str(error) or f"not within {timeout_s:g} s"
        raise RuntimeFailure(
            f"the worker of group {started.group_id} does not answer at {address}: {why}",
            hint="if it is on another host, every port of its node must be reachable from here",
        ) from error
    made.send(Hello(key, time.monotonic(), front))
    made.flush()
    return made
