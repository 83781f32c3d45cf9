"""Links to other processes, kept for the next channel when one is closed."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import final

from resharding.transport.endpoints import Endpoint, group_key
from resharding.transport.frames import Kind
from resharding.transport.links import Link, LinkLost


@dataclass(frozen=True, slots=True)
class Call:
    """For which channel a link is wanted: the group's, by the member at `place`, in `epoch`."""

    group: tuple[Endpoint, ...]
    place: int
    epoch: int


@final
class Dialer:
    """Connects, and says for which channel. For any thread."""

    def __init__(self, *, host: str, timeout_s: float) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: dict[Endpoint, list[Link]] = defaultdict(list)

    def dial(self, endpoint: Endpoint, call: Call) -> Link:
        """A link that the peer has taken for this channel. Raises LinkLost."""
        while (idle := self._take_idle(endpoint)) is not None:
            try:
                return _greeted(idle, endpoint, call)
            except _Refused:
                raise
            except LinkLost:
                idle.close()  # The peer has hung up meanwhile: perhaps it listens still.
        return _greeted(self._connect(endpoint), endpoint, call)

    def give_back(self, endpoint: Endpoint, link: Link) -> None:
        with self._lock:
            self._idle[endpoint].append(link)

    def close(self) -> None:
        with self._lock:
            links = [link for links in self._idle.values() for link in links]
            self._idle.clear()
        for link in links:
            link.close()

    def _take_idle(self, endpoint: Endpoint) -> Link | None:
        with self._lock:
            return self._idle[endpoint].pop() if self._idle[endpoint] else None

    def _connect(self, endpoint: Endpoint) -> Link:
        is_local = endpoint.host == self._host and endpoint.local_name
        family = socket.AF_UNIX if is_local else _family(endpoint.address)
        where = f"\0{endpoint.local_name}" if is_local else (endpoint.address, endpoint.port)
        connected = socket.socket(family, socket.SOCK_STREAM)
        connected.settimeout(self._timeout_s)
        try:
            connected.connect(where)
        except OSError as error:
            connected.close()
            raise LinkLost(f"nobody answers there ({error.strerror or error})") from error
        return Link(connected, timeout_s=self._timeout_s)


class _Refused(LinkLost):
    """By a peer that is there."""


def _greeted(link: Link, endpoint: Endpoint, call: Call) -> Link:
    try:
        link.say(Kind.HELLO, epoch=call.epoch, words=endpoint.key + group_key(call.group), tag=call.place)
        if not link.is_readable(within_s=link.timeout_s):
            raise LinkLost("it does not take the connection")
        frame = link.read_frame()
        words = link.read_words(frame).decode()
    except LinkLost:
        link.close()
        raise
    if frame.kind is not Kind.WELCOME:
        link.close()
        raise _Refused(f"it refuses the connection: {words}")
    return link


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
