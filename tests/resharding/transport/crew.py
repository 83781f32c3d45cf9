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
from tests.resharding.transport.rigs import Outfit, made

# A loaded machine starts a process within seconds; a test that waits as long as this hangs.
PATIENCE_S = 60.0
# Members are forked from a process that has imported what they need and has no threads.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.resharding.transport.errands"])


class Member:
    """One process, with a rig of its own."""

    def __init__(self, outfit: Outfit) -> None:
        self._pipe, theirs = _FORKS.Pipe()
        self._process = _FORKS.Process(target=_live, args=(theirs, outfit), daemon=True)
        self._process.start()
        theirs.close()

    def endpoint(self) -> Endpoint:
        return self.result()

    def start(self, errand: Callable[..., Any], *arguments: Any) -> None:
        """`errand(rig, report, *arguments)` runs there; `report` is what it sends home before its result."""
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

    def __init__(self, *outfits: Outfit) -> None:
        self.members = [Member(outfit) for outfit in outfits]
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


def _live(pipe: Connection, outfit: Outfit) -> None:
    rig = made(outfit)
    pipe.send(rig.transport.endpoint())
    while True:
        try:
            errand, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(errand(rig, pipe.send, *arguments))
        except Exception as error:
            pipe.send(error)
