"""Real processes, each with a transport, that run errands one after another: what they do is in `errands`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from resharding.transport.endpoints import Endpoint
from resharding.transport.host import HostTransport
from resharding.transport.pacing import EmulatedNic

# A loaded machine starts a process within seconds; a test that waits as long as this hangs.
PATIENCE_S = 60.0
# Members are forked from a process that has imported what they need and has no threads.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.resharding.transport.errands"])


class Member:
    """One process. `host`: those of equal name share memory; `nic_bytes_per_s`: of its emulated port."""

    def __init__(self, host: str, *, timeout_s: float, nic_bytes_per_s: float | None = None) -> None:
        self._pipe, theirs = _FORKS.Pipe()
        arguments = (theirs, host, timeout_s, nic_bytes_per_s)
        self._process = _FORKS.Process(target=_live, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def endpoint(self) -> Endpoint:
        return self.result()

    def start(self, errand: Callable[..., Any], *arguments: Any) -> None:
        """`errand(transport, *arguments)` runs there; `report` is what it sends home before its result."""
        self._pipe.send((errand, arguments))

    def result(self) -> Any:
        """What the errand gave (or reported) next; raises what it raised."""
        assert self._pipe.poll(PATIENCE_S), "no answer from a member of the crew"
        found = self._pipe.recv()
        if isinstance(found, Exception):
            raise found
        return found

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def join(self) -> None:
        self._process.join(PATIENCE_S)

    def end(self) -> None:
        self._process.kill()
        self._process.join(PATIENCE_S)
        self._pipe.close()


class Crew:
    """Several members; ends them all."""

    def __init__(self, *hosts: str, timeout_s: float = 20.0, nics: dict[int, float] | None = None) -> None:
        nics = nics or {}
        self.members = [
            Member(host, timeout_s=timeout_s, nic_bytes_per_s=nics.get(number))
            for number, host in enumerate(hosts)
        ]
        self.group = tuple(member.endpoint() for member in self.members)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.end()

    def all(self, errand: Callable[..., Any], *arguments: Any) -> list[Any]:
        """The same errand for everybody, all at once."""
        for member in self.members:
            member.start(errand, *arguments)
        return [member.result() for member in self.members]


def _live(pipe: Connection, host: str, timeout_s: float, nic_bytes_per_s: float | None) -> None:
    nic = EmulatedNic(nic_bytes_per_s) if nic_bytes_per_s else None
    transport = HostTransport(host=host, timeout_s=timeout_s, nic=nic)
    pipe.send(transport.endpoint())
    while True:
        try:
            errand, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(errand(transport, pipe.send, *arguments))
        except Exception as error:
            pipe.send(error)
