"""Rounds of matchings: a schedule within (R + depth) / R of the bound, whatever the routes.

Every route is cut into R equal chunks, and R + depth equal rounds follow each other. In round r a hop with d
hops before it carries chunk r - d: what it needs arrived in the round before. So inside a round nothing waits
for anything but ports, and the round is a preemptive open shop: the bytes that each host sends to each other,
as a matrix, are a sum of matchings that last as long as its busiest row or column (Birkhoff and von Neumann;
Gonzalez and Sahni 1976). All in whole bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import final

import numpy as np
from numpy.typing import NDArray

from resharding.matchings import matchings
from resharding.routes import Route, Segment
from resharding.sends import Send


def in_rounds(routes: Sequence[Route], *, num_rounds: int) -> tuple[Send, ...]:
    """All sends, each route in `num_rounds` chunks, in an order that every port can keep."""
    chunked = [_Chunked(number, route, num_rounds) for number, route in enumerate(routes)]
    parts = [(part, part.route.stretches(part.start, part.stop)) for part in _parts(chunked)]
    last_depth = max((route.depth for route in routes), default=0)
    found: list[Send] = []
    for number in range(num_rounds + last_depth):
        for part, stretches in parts:
            index = number - part.depth
            if 0 <= index < num_rounds and (segments := _segments(stretches, index)):
                num_bytes = sum([segment.stop - segment.start for segment in segments])
                found.append(Send(part.route.number * num_rounds + index, *part.hosts, segments, num_bytes))
    return tuple(found)


def messages_in_round(routes: Sequence[Route]) -> int:
    """How many messages one round has."""
    return len(_parts([_Chunked(number, route, 1) for number, route in enumerate(routes)]))


@final
class _Chunked:
    """A route cut into equal chunks; a chunk is a stretch of bytes of each of its segments, end to end."""

    __slots__ = ("_chunk_bytes", "_starts", "number", "route")

    def __init__(self, number: int, route: Route, num_chunks: int) -> None:
        self.number = number
        self.route = route
        self._chunk_bytes = [-(-segment.num_bytes // num_chunks) for segment in route.segments]
        self._starts = [0, *accumulate(self._chunk_bytes)]

    def parts(self) -> Iterable[_Part]:
        for hop in self.route.hops:
            hosts = (hop.from_host, hop.to_host)
            yield _Part(self, hosts, hop.depth, self._starts[hop.first], self._starts[hop.stop])

    def stretches(self, start: int, stop: int) -> list[_Stretch]:
        """Bytes [start, stop) of chunk 0, as bytes of the payloads."""
        found: list[_Stretch] = []
        for segment, size, begin in zip(self.route.segments, self._chunk_bytes, self._starts, strict=False):
            first, last = max(start, begin), min(stop, begin + size)
            if first < last:
                shift = segment.start - begin
                found.append((segment.transfer_class, first + shift, last + shift, size, segment.stop))
        return found


# Class, first byte and the one after the last in chunk 0, how far the next chunk's lie behind, and where all
# end: planning takes apart tens of thousands of these.
_Stretch = tuple[int, int, int, int, int]


def _segments(stretches: Sequence[_Stretch], index: int) -> tuple[Segment, ...]:
    """The same bytes of chunk `index`; chunks at the end may be short."""
    return tuple(
        [
            Segment(number, first + index * size, min(last + index * size, end))
            for number, first, last, size, end in stretches
            if first + index * size < end
        ]
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Bytes [start, stop) of every chunk of a route, between two hosts."""

    route: _Chunked
    hosts: tuple[int, int]
    depth: int
    start: int
    stop: int


def _parts(routes: Sequence[_Chunked]) -> list[_Part]:
    """What a round sends, matching by matching."""
    waiting: dict[tuple[int, int], list[_Part]] = {}
    for route in routes:
        for part in route.parts():
            waiting.setdefault(part.hosts, []).append(part)
    hosts = sorted({host for pair in waiting for host in pair})
    column = {host: index for index, host in enumerate(hosts)}
    load = np.zeros((len(hosts), len(hosts)), dtype=np.int64)
    for (from_host, to_host), parts in waiting.items():
        load[column[from_host], column[to_host]] = sum(part.stop - part.start for part in parts)
    return [
        part
        for row, col, num_bytes in _runs(load)
        for part in _taken(waiting.get((hosts[row], hosts[col]), []), num_bytes)
    ]


def _runs(load: NDArray[np.int64]) -> Iterable[tuple[int, int, int]]:
    """(row, column, bytes) in an order for ports; a pair that stays matched is one run."""
    runs: list[list[int]] = []
    open_runs: dict[tuple[int, int], list[int]] = {}
    for pairs, num_bytes in matchings(load):
        still_open = {}
        for row, column in pairs.items():
            run = open_runs.get((row, column))
            if run is None:
                run = [row, column, 0]
                runs.append(run)
            run[2] += num_bytes
            still_open[row, column] = run
        open_runs = still_open
    return ((row, column, num_bytes) for row, column, num_bytes in runs)


def _taken(waiting: list[_Part], num_bytes: int) -> Iterable[_Part]:
    """Remove up to `num_bytes` from the front of what waits for one way."""
    while num_bytes and waiting:
        part = waiting.pop(0)
        stop = min(part.stop, part.start + num_bytes)
        yield _Part(part.route, part.hosts, part.depth, part.start, stop)
        num_bytes -= stop - part.start
        if stop < part.stop:
            waiting.insert(0, _Part(part.route, part.hosts, part.depth, stop, part.stop))
