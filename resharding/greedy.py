"""List scheduling of whole messages: best where latency counts, or where ports cannot do both at once."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import final

from resharding.network import Network
from resharding.routes import Route, Segment
from resharding.sends import Send


def in_list_order(routes: Sequence[Route], network: Network, *, num_chunks: int) -> tuple[Send, ...]:
    """All sends in the order in which ports come free for them; a message is never interrupted.

    Of the messages that could start, the one goes first whose busier port has the most left to do.
    """
    return _Ports(_messages(routes, num_chunks), network).run()


def _messages(routes: Sequence[Route], num_chunks: int) -> list[Send]:
    found: list[Send] = []
    for number, route in enumerate(routes):
        for index in range(num_chunks):
            cut = [_part(segment, index, num_chunks) for segment in route.segments]
            for hop in route.hops:
                segments = tuple(segment for segment in cut[hop.first : hop.stop] if segment.num_bytes)
                num_bytes = sum(segment.num_bytes for segment in segments)
                if segments:
                    chunk = number * num_chunks + index
                    found.append(Send(chunk, hop.from_host, hop.to_host, segments, num_bytes))
    return found


def _part(segment: Segment, index: int, number: int) -> Segment:
    borders = [segment.start + segment.num_bytes * place // number for place in (index, index + 1)]
    return Segment(segment.transfer_class, *borders)


@final
class _Ports:
    def __init__(self, messages: Sequence[Send], network: Network) -> None:
        self._network = network
        # Seconds that each port has left to work; a half duplex host has one port for both.
        self._to_send: dict[int, float] = defaultdict(float)
        self._to_take: dict[int, float] = defaultdict(float) if network.is_full_duplex else self._to_send
        self._is_sending: set[int] = set()
        self._is_taking: set[int] = set() if network.is_full_duplex else self._is_sending
        # Messages that wait for parts of their chunk, by chunk and host; how many parts are on their way.
        self._held: dict[tuple[int, int], list[Send]] = defaultdict(list)
        self._coming: dict[tuple[int, int], int] = defaultdict(int)
        self._ready: dict[tuple[int, int], deque[Send]] = defaultdict(deque)
        self._running: list[tuple[float, int, Send]] = []
        self._sends: list[Send] = []
        for message in messages:
            seconds = network.message_s(message.num_bytes)
            self._to_send[message.from_host] += seconds
            self._to_take[message.to_host] += seconds
            self._coming[message.chunk, message.to_host] += 1
        for message in messages:
            self._offer(message)

    def run(self) -> tuple[Send, ...]:
        self._start_all(0.0)
        while self._running:
            now_s = self._running[0][0]
            while self._running and self._running[0][0] == now_s:
                self._finish(heapq.heappop(self._running)[2])
            self._start_all(now_s)
        return tuple(self._sends)

    def _offer(self, message: Send) -> None:
        place = (message.chunk, message.from_host)
        if self._coming.get(place):
            self._held[place].append(message)
        else:
            self._ready[message.from_host, message.to_host].append(message)

    def _finish(self, message: Send) -> None:
        self._is_sending.discard(message.from_host)
        self._is_taking.discard(message.to_host)
        place = (message.chunk, message.to_host)
        self._coming[place] -= 1
        if not self._coming[place]:
            for held in self._held.pop(place, ()):
                self._offer(held)

    def _start_all(self, now_s: float) -> None:
        ways = sorted(
            (-max(self._to_send[from_host], self._to_take[to_host]), from_host, to_host)
            for (from_host, to_host), waiting in self._ready.items()
            if waiting and self._are_free(from_host, to_host)
        )
        for _, from_host, to_host in ways:
            if self._are_free(from_host, to_host):
                self._start(self._ready[from_host, to_host].popleft(), now_s)

    def _are_free(self, from_host: int, to_host: int) -> bool:
        return from_host not in self._is_sending and to_host not in self._is_taking

    def _start(self, message: Send, now_s: float) -> None:
        seconds = self._network.message_s(message.num_bytes)
        self._to_send[message.from_host] -= seconds
        self._to_take[message.to_host] -= seconds
        self._is_sending.add(message.from_host)
        self._is_taking.add(message.to_host)
        heapq.heappush(self._running, (now_s + seconds, len(self._sends), message))
        self._sends.append(message)
