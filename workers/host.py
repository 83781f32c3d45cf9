"""Runs one group server in this process: its loop on a thread, its engine, its socket, its heartbeat."""

from __future__ import annotations

import asyncio
import hmac
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import final

from resharding.transport.host import HostTransport
from scheduling.group import GroupScheduler
from vocabulary.errors import RuntimeFailure
from workers.emulated_engine import EmulatedEngine
from workers.engine import Engine, ModelInterface
from workers.frames import Frame, Gone, Hello
from workers.link import SocketLink
from workers.multicast import Load, Multicast
from workers.precise_timers import ask_for_precise_timers, precise_loop
from workers.server import GroupServer
from workers.spec import Address, WorkerSpec


@final
class WorkerHost:
    """Start: load the engine, then listen. Stop: close all, also after a failed start. Called once each."""

    def __init__(self, spec: WorkerSpec, *, transport: HostTransport | None = None) -> None:
        self._spec = spec
        self._loop = precise_loop()
        self._thread = threading.Thread(target=self._run_loop, name="group-server", daemon=True)
        self._engine = _engine(spec, self._loop, lost=self._end, transport=transport)
        machine = GroupScheduler(
            spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
        )
        page_tokens = {model: one.page_tokens for model, one in spec.limits.items()}
        self._server = GroupServer(
            machine, self._engine, loop=self._loop, soon=self._loop.call_soon, page_tokens=page_tokens
        )
        self._listener: asyncio.Server | None = None
        self._beats: asyncio.TimerHandle | None = None

    def read(self, *, expected: Collection[str] = ()) -> None:
        """Read weights (slow), but for the `expected` models'. May be left out. Raises StatmuxError."""
        self._engine.read(expected=expected)

    def start(self, multicasts: Sequence[Multicast] = ()) -> Address:
        """Take part in these, load every model (slow), then listen. Raises StatmuxError."""
        self._engine.load(multicasts)
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return self._engine.interfaces()

    def loads(self) -> tuple[Load, ...]:
        """How the models' weights came."""
        return self._engine.loads()

    def give(self, multicasts: Sequence[Multicast]) -> None:
        """Give weights to new replicas of other groups. Blocks."""
        self._engine.give(multicasts)

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._engine.close()
        self._loop.close()

    def _run_loop(self) -> None:
        ask_for_precise_timers()
        self._loop.run_forever()

    async def _listen(self) -> Address:
        spec = self._spec
        try:
            address = await (self._listen_unix() if spec.socket_path else self._listen_tcp())
        except OSError as error:
            place = f"socket {spec.socket_path}" if spec.socket_path else f"address {spec.host}"
            raise RuntimeFailure(
                f"group {spec.group.id} cannot listen on {place}: {error.strerror or error}",
                hint="its folder must exist and be ours; an address must be one of the node's",
            ) from error
        self._beat()
        return address

    async def _listen_unix(self) -> Address:
        path = self._spec.socket_path
        self._listener = await self._loop.create_unix_server(self._accept, path)
        os.chmod(path, 0o600)
        return Address(socket_path=path)

    async def _listen_tcp(self) -> Address:
        self._listener = await self._loop.create_server(self._accept, self._spec.host, 0)
        return Address(host=self._spec.host, port=self._listener.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
        if self._listener is not None:
            self._listener.close()
        for front in self._server.fronts:
            front.link.close()
        if self._spec.socket_path:
            Path(self._spec.socket_path).unlink(missing_ok=True)

    def _accept(self) -> SocketLink:
        """A connection says nothing until its first frame proves the fleet's key."""
        link = SocketLink(lambda frame: self._greet(link, frame), _ignore)
        return link

    def _greet(self, link: SocketLink, frame: Frame) -> None:
        hello = frame.header
        if not isinstance(hello, Hello) or not _is_equal(hello.key, self._spec.key):
            raise RuntimeFailure("the peer does not know the fleet's key")
        server, front = self._server, hello.front
        link.receive_with(lambda frame: server.receive(frame, front=front), lambda why: server.detach(link))
        offset_s = 0.0 if self._spec.socket_path else self._loop.time() - hello.now_s
        server.attach(link, front=front, clock_offset_s=offset_s)
        server.beat()

    def _end(self, why: str) -> None:
        """The group cannot go on. What has failed is answered in this turn of the loop, then that is told."""
        if self._listener is not None:
            self._listener.close()
        self._loop.call_soon(self._say_goodbye, why)

    def _say_goodbye(self, why: str) -> None:
        for front in self._server.fronts:
            front.link.send(Gone(why))
            front.link.close()

    def _beat(self) -> None:
        self._server.beat()
        self._beats = self._loop.call_later(self._spec.beat_interval_s, self._beat)


def _engine(
    spec: WorkerSpec,
    loop: asyncio.AbstractEventLoop,
    *,
    lost: Callable[[str], None],
    transport: HostTransport | None,
) -> Engine:
    if spec.engine == "emulated":
        longest = {one.name: one.max_model_len for one in spec.models if one.max_model_len is not None}
        return EmulatedEngine(
            spec.group, catalog=spec.catalog, loop=loop, limits=spec.limits, max_model_len=longest
        )
    # jax is imported only where it computes.
    from workers.jax_engine import JaxEngine

    return JaxEngine(spec, loop=loop, lost=lost, transport=transport)


def _is_equal(key: str, expected: str) -> bool:
    """In constant time; as bytes, since compare_digest takes no text outside ASCII."""
    return hmac.compare_digest(key.encode(), expected.encode())


def _ignore(why: str) -> None:
    return None
