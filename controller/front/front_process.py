"""One further front end as the fleet's process sees it: a process, a socket that ends it, what it said."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import final

import msgspec
import structlog

from controller.front.channel import Channel, fleets_end
from controller.front.words import Asked, Failed, FromFront, Idle, Opened, Pulse, Start, Totals, Troubled
from controller.journal import RequestLine

# A front end that ends has so long before it is killed.
END_S = 5.0
_log = structlog.get_logger("statmux.controller")


class FrontState(StrEnum):
    STARTING = "starting"
    OPEN = "open"
    ENDED = "ended"


@final
class FrontProcess:
    """Started once, ended once. `opened` and `idle` are set when it said so, or when it ended."""

    def __init__(
        self,
        start: Start,
        *,
        opened: Callable[[], object],
        lines: Callable[[tuple[RequestLine, ...]], None],
        asked: Callable[[str], object],
        troubled: Callable[[str], object],
    ) -> None:
        """opened: called once it answers. lines: hears of requests that it has answered; asked: of models
        that are to be loaded on demand; troubled: of what it did not take over, "" for nothing."""
        self.front = start.front
        self.state = FrontState.STARTING
        self.metrics = ""
        self.num_pending = 0
        self.totals: Mapping[str, Totals] = {}
        self.why = ""
        self.opened = asyncio.Event()
        self.idle = asyncio.Event()
        self._start = start
        self._tell_opened = opened
        self._lines = lines
        self._asked = asked
        self._troubled = troubled
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel[FromFront] | None = None
        self._is_ending = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def run(self, greeting: Callable[[], list[msgspec.Struct]]) -> str:
        """Start it and hear it until it ends; why it did, in words.

        greeting: what it must know besides, as of when it can be told of changes.
        """
        mine, its = socket.socketpair()
        with its:
            self._process = _started(its.fileno())
        channel = await fleets_end(mine)
        try:
            channel.send(self._start)
            for word in greeting():
                channel.send(word)
            self._channel = channel
            if self._is_ending:
                channel.end()
            async for word in channel.words():
                self._hear(word)
        finally:
            self._channel = None
            channel.close()
            self.state = FrontState.ENDED
            self.num_pending = 0
            self.opened.set()
            self.idle.set()
            code = await self._reaped()
        return self.why or f"its process ended with code {code}"

    def say(self, word: msgspec.Struct) -> None:
        """Nothing happens before it is greeted, and after it has ended."""
        if self._channel is not None:
            self._channel.send(word)

    def end(self) -> None:
        """It refuses what waits, and ends."""
        self._is_ending = True
        if self._channel is not None:
            self._channel.end()

    def kill(self) -> None:
        """It does not end by itself."""
        if self._process is not None:
            self._process.kill()

    def _hear(self, word: FromFront) -> None:
        match word:
            case Opened(metrics):
                self.state, self.metrics = FrontState.OPEN, metrics
                self.opened.set()
                self._tell_opened()
            case Failed(message, hint):
                self.why = f"{message} ({hint})" if hint else message
            case Pulse(num_pending, totals, lines):
                self.num_pending, self.totals = num_pending, totals
                self._lines(lines)
            case Asked(model):
                self._asked(model)
            case Troubled(why):
                self._troubled(why)
            case Idle():
                self.idle.set()

    async def _reaped(self) -> int:
        assert self._process is not None
        try:
            return await asyncio.to_thread(self._process.wait, END_S)
        except subprocess.TimeoutExpired:
            _log.warning("a front end does not end: killed", pid=self._process.pid)
            self._process.kill()
            return await asyncio.to_thread(self._process.wait)


def _started(descriptor: int) -> subprocess.Popen[bytes]:
    """-P: nothing is imported from where the user stands. Ctrl-C is for the fleet's process alone.

    Not a subprocess of the event loop: uvloop's fork runs the handlers of gRPC, which has threads already.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "controller.front", str(descriptor)],
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        process_group=0,
    )
