"""The split over replicas as routes: parts of payloads, each with a tree of hosts to travel down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from resharding.bound import Split
from resharding.classes import TransferClass


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes [start, stop) of the payload of a class."""

    transfer_class: int
    start: int
    stop: int

    @property
    def num_bytes(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Hop:
    """Segments [first, stop) of a route go from one host to another, after `depth` hops before."""

    from_host: int
    to_host: int
    depth: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Route:
    """Segments that travel together; `hops` are in order of depth."""

    segments: tuple[Segment, ...]
    hops: tuple[Hop, ...]

    @property
    def depth(self) -> int:
        return max(hop.depth for hop in self.hops)


def routes_of(classes: Sequence[TransferClass], split: Split) -> tuple[Route, ...]:
    """All payloads, cut so that every host sends its share, merged where they go the same way."""
    alone = [
        route
        for number, (one, shares) in enumerate(zip(classes, split.sent_bytes, strict=True))
        for route in _routes(number, one, shares)
    ]
    return _merged(alone)


def whole_routes(classes: Sequence[TransferClass], *, binomial: bool) -> tuple[Route, ...]:
    """Every class whole, from its least busy sender, the largest first: the fewest messages there can be.

    Down a chain, or a binomial tree: twice as many hosts have it after every message.
    """
    load: dict[int, int] = {}
    found = []
    for number in sorted(range(len(classes)), key=lambda number: -classes[number].num_bytes):
        one = classes[number]
        sender = min(one.senders, key=lambda host: load.get(host, 0))
        load[sender] = load.get(sender, 0) + one.num_bytes
        hosts = (sender, *one.receivers)
        # In a binomial tree host i hears from i less its highest bit, in a chain from the one before.
        parents = [
            index - (1 << (index.bit_length() - 1)) if binomial else index - 1
            for index in range(1, len(hosts))
        ]
        depths = [index.bit_count() - 1 if binomial else index - 1 for index in range(1, len(hosts))]
        hops = tuple(
            Hop(hosts[parent], host, depth, 0, 1)
            for host, parent, depth in zip(hosts[1:], parents, depths, strict=True)
        )
        found.append(Route((Segment(number, 0, one.num_bytes),), hops))
    return tuple(found)


def _routes(number: int, one: TransferClass, shares: Mapping[int, float]) -> Iterable[Route]:
    """McNaughton's wrap-around: with shares end to end, byte p is sent by who lies at p, p + 1 class, ...

    Senders come first and their shares are the whole payload at least, so somebody who has it sends it.
    """
    borders = _borders(one, list(accumulate(shares.values())))
    cuts = sorted({0, one.num_bytes, *(border % one.num_bytes for border in borders)})
    for start, stop in pairwise(cuts):
        sends = dict.fromkeys(shares, 0)
        for copy in range(len(one.receivers)):
            place = start + copy * one.num_bytes
            sends[next(host for host, border in zip(shares, borders, strict=True) if place < border)] += 1
        yield Route((Segment(number, start, stop),), _tree(one, sends))


def _borders(one: TransferClass, ends: Sequence[float]) -> list[int]:
    """`ends` in whole bytes, mended where rounding leaves a byte without a first sender."""
    scale = one.num_bytes * len(one.receivers) / ends[-1]
    borders = [round(end * scale) for end in ends]
    first_relay = len(one.senders) - 1
    return [*borders[:first_relay], *(max(border, one.num_bytes) for border in borders[first_relay:])]


def _tree(one: TransferClass, sends: Mapping[int, int]) -> tuple[Hop, ...]:
    """Receivers that relay come before those that do not; each hangs on the latest that may still send."""
    order = sorted(one.receivers, key=lambda host: -sends[host])
    places = [(host, 0) for host in one.senders for _ in range(sends[host])]
    hops = []
    for host in order:
        parent, depth = places.pop()
        hops.append(Hop(parent, host, depth, 0, 1))
        places += [(host, depth + 1)] * sends[host]
    return tuple(sorted(hops, key=lambda hop: hop.depth))


def _merged(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Routes that differ only in who sends first become one: relays pass on fewer, larger messages."""
    together: dict[tuple[Hop | int, ...], list[Route]] = {}
    for route in routes:
        first, *rest = route.hops
        # Two roots, or nothing to relay: nothing to share.
        alone = not rest or any(hop.depth == 0 for hop in rest)
        key = (*route.hops, len(together)) if alone else (first.to_host, *rest)
        together.setdefault(key, []).append(route)
    return tuple(_one_route(group) for group in together.values())


def _one_route(group: Sequence[Route]) -> Route:
    number = len(group)
    firsts = [replace(route.hops[0], first=index, stop=index + 1) for index, route in enumerate(group)]
    rest = [replace(hop, stop=number) for hop in group[0].hops[1:]]
    return Route(tuple(route.segments[0] for route in group), (*firsts, *rest))
