"""Where front ends come in: the worker's socket, their first frame, and who is there."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import final

from vocabulary.errors import RuntimeFailure
from workers.frames import MAX_GREETING_BYTES, Frame, Gone, Hello
from workers.link import SocketLink
from workers.server import GroupServer
from workers.spec import Address, WorkerSpec

# How long who connects may take to show the fleet's key.
GREETING_S = 10.0


@final
class Reception:
    """Listens for front ends and brings them to the group's server. All on the loop.

    linked: hears when the first of them comes, and when the last has gone.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        server: GroupServer,
        *,
        loop: asyncio.AbstractEventLoop,
        linked: Callable[[bool], None],
    ) -> None:
        self._spec = spec
        self._server = server
        self._loop = loop
        self._linked = linked
        self._is_linked = False
        self._listener: asyncio.Server | None = None
        # Who has not greeted yet, and until when it may.
        self._strangers: dict[SocketLink, asyncio.TimerHandle] = {}

    async def listen(self) -> Address:
        """Raises RuntimeFailure for a place that cannot be listened on."""
        spec = self._spec
        try:
            return await (self._listen_unix() if spec.socket_path else self._listen_tcp())
        except OSError as error:
            place = f"socket {spec.socket_path}" if spec.socket_path else f"address {spec.host}"
            raise RuntimeFailure(
                f"group {spec.group.id} cannot listen on {place}: {error.strerror or error}",
                hint="its folder must exist and be ours; an address must be one of the node's",
            ) from error

    def close(self) -> None:
        """Nobody comes any more, all links end, the socket goes."""
        if self._listener is not None:
            self._listener.close()
        for link in (*self._strangers, *(front.link for front in self._server.fronts)):
            link.close()
        for timer in self._strangers.values():
            timer.cancel()
        if self._spec.socket_path:
            Path(self._spec.socket_path).unlink(missing_ok=True)

    def say_goodbye(self, why: str) -> None:
        """Nobody comes any more, and those who are there are told why."""
        if self._listener is not None:
            self._listener.close()
        for front in self._server.fronts:
            front.link.send(Gone(why))
            front.link.close()

    async def _listen_unix(self) -> Address:
        path = self._spec.socket_path
        self._listener = await self._loop.create_unix_server(self._accept, path)
        os.chmod(path, 0o600)
        return Address(socket_path=path)

    async def _listen_tcp(self) -> Address:
        self._listener = await self._loop.create_server(self._accept, self._spec.host, 0)
        return Address(host=self._spec.host, port=self._listener.sockets[0].getsockname()[1])

    def _accept(self) -> SocketLink:
        """A connection says nothing until its first frame proves the fleet's key."""
        link = SocketLink(
            lambda frame: self._greet(link, frame),
            lambda why: self._forget(link),
            max_frame_bytes=MAX_GREETING_BYTES,
        )
        self._strangers[link] = self._loop.call_later(GREETING_S, link.close)
        return link

    def _forget(self, link: SocketLink) -> None:
        timer = self._strangers.pop(link, None)
        if timer is not None:
            timer.cancel()

    def _greet(self, link: SocketLink, frame: Frame) -> None:
        hello = frame.header
        if not isinstance(hello, Hello) or not _is_equal(hello.key, self._spec.key):
            raise RuntimeFailure("the peer does not know the fleet's key")
        self._forget(link)
        server, front = self._server, hello.front
        link.receive_with(lambda frame: server.receive(frame, front=front), lambda why: self._leave(link))
        offset_s = 0.0 if self._spec.socket_path else self._loop.time() - hello.now_s
        server.attach(link, front=front, clock_offset_s=offset_s)
        self._tell_linked()
        server.beat()

    def _leave(self, link: SocketLink) -> None:
        self._server.detach(link)
        self._tell_linked()

    def _tell_linked(self) -> None:
        is_linked = len(self._server.fronts) > 0
        if is_linked != self._is_linked:
            self._is_linked = is_linked
            self._linked(is_linked)


def _is_equal(key: str, expected: str) -> bool:
    """In constant time; as bytes, since compare_digest takes no text outside ASCII."""
    return hmac.compare_digest(key.encode(), expected.encode())
