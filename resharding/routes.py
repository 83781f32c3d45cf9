"""The split over replicas as routes: parts of payloads, each with a tree of hosts to travel down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def whole_chains(classes: Sequence[TransferClass]) -> tuple[Route, ...]:
    """Every class whole, from its least busy sender down a chain."""
    return _whole(classes, lambda one, load: _chain(min(one.senders, key=lambda h: load[h]), one.receivers))


def whole_trees(classes: Sequence[TransferClass], *, from_all: bool) -> tuple[Route, ...]:
    """Every class whole, from its least busy sender or from all at once: the fewest messages in a row.

    After every message twice as many hosts have it.
    """

    def grow(one: TransferClass, load: Mapping[int, int]) -> tuple[Hop, ...]:
        senders = sorted(one.senders, key=lambda host: load[host])
        return _doubling(senders if from_all else senders[:1], one.receivers)

    return _whole(classes, grow)


def _whole(
    classes: Sequence[TransferClass],
    grow: Callable[[TransferClass, Mapping[int, int]], tuple[Hop, ...]],
) -> tuple[Route, ...]:
    """The largest first, of these the one with the least choice. load: bytes that each host sends so far."""
    load: dict[int, int] = defaultdict(int)
    found: list[Route] = []
    for number, one in sorted(
        enumerate(classes), key=lambda pair: (-pair[1].num_bytes, len(pair[1].senders))
    ):
        hops = grow(one, load)
        for hop in hops:
            load[hop.from_host] += one.num_bytes
        found.append(Route((Segment(number, 0, one.num_bytes),), hops))
    return tuple(found)


def _chain(sender: int, receivers: Sequence[int]) -> tuple[Hop, ...]:
    hosts = (sender, *receivers)
    return tuple(Hop(one, other, depth, 0, 1) for depth, (one, other) in enumerate(pairwise(hosts)))


def _doubling(senders: Sequence[int], receivers: Sequence[int]) -> tuple[Hop, ...]:
    """Host i hears from host i less as many as knew when it was told: for one sender a binomial tree."""
    hosts = (*senders, *receivers)
    depths = [-1] * len(senders)
    hops: list[Hop] = []
    num_known = len(senders)
    for index in range(len(senders), len(hosts)):
        if index == 2 * num_known:
            num_known = index
        parent = index - num_known
        depths.append(depths[parent] + 1)
        hops.append(Hop(hosts[parent], hosts[index], depths[index], 0, 1))
    return tuple(sorted(hops, key=lambda hop: hop.depth))


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
    hops: list[Hop] = []
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
