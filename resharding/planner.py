"""The front door of resharding: moves and a network in, an ordered list of messages out, with its bound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resharding.bound import Split, best_split
from resharding.classes import Traffic, TransferClass, traffic_of
from resharding.greedy import in_list_order
from resharding.moves import Move
from resharding.network import Network
from resharding.rounds import in_rounds, messages_in_round
from resharding.routes import Route, routes_of, whole_routes
from resharding.sends import Send, Timed, timed

# Planning takes a few microseconds a message, and past this many a finer cut gains little.
MAX_MESSAGES = 5000
# Where a message costs nothing: the pass-on of the last chunk inside a host is as short as the paper's.
MIN_FREE_ROUNDS = 64
# Chunks per route that are weighed: a third of an octave apart.
_CANDIDATES = sorted({round(2 ** (step / 3)) for step in range(34)})
# Fewer messages are worth so much; and farther than so much from the bound, more messages are tried.
_GOOD_ENOUGH = 1.0003
_NEAR = 1.03
_SECOND_TRY = 4


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """Messages in an order that every port keeps, by start, and what they cost.

    makespan_s, lower_bound_s: between and inside hosts; no schedule ends before the bound.
    """

    classes: tuple[TransferClass, ...]
    sends: tuple[Timed, ...]
    makespan_s: float
    lower_bound_s: float
    bytes_out: Mapping[int, int]
    bytes_in: Mapping[int, int]

    @property
    def ratio(self) -> float:
        """Makespan by lower bound; 1 when there is nothing to move."""
        return self.makespan_s / self.lower_bound_s if self.lower_bound_s else 1.0


def plan_transfer(moves: Sequence[Move], network: Network) -> TransferPlan:
    """Classes, their split over replicas, chunks in rounds of matchings.

    Asserts that the sources hold all that the targets want.
    """
    traffic = traffic_of(moves)
    split = best_split(traffic.classes, network)
    sends = _best_schedule(traffic.classes, split, network) if traffic.classes else ()
    inside_s = _inside_hosts_s(traffic, network)
    between_s = split.seconds + (network.latency_s if sends else 0.0)
    return TransferPlan(
        traffic.classes,
        tuple(sorted(sends, key=lambda one: one.start_s)),
        makespan_s=max(_last_end_s(sends, traffic.classes, network), inside_s),
        lower_bound_s=max(between_s, inside_s),
        bytes_out=_bytes(sends, out=True),
        bytes_in=_bytes(sends, out=False),
    )


def _best_schedule(classes: Sequence[TransferClass], split: Split, network: Network) -> tuple[Timed, ...]:
    """The rounds, finer where they are far from the bound; or list order, where that may be better."""

    def seconds(sends: Sequence[Timed]) -> float:
        return _last_end_s(sends, classes, network)

    routes = routes_of(classes, split)
    found = [_in_list_orders(classes, routes, network, key=seconds)] if _is_for_lists(network) else []
    for max_messages in (MAX_MESSAGES, _SECOND_TRY * MAX_MESSAGES):
        if network.is_full_duplex:
            num_rounds = best_rounds(routes, network, max_messages=max_messages)
            found.append(timed(in_rounds(routes, num_rounds=num_rounds), network))
        if network.latency_s or seconds(found[-1]) <= split.seconds * _NEAR:
            break
    return min(found, key=seconds)


def _is_for_lists(network: Network) -> bool:
    """Where messages cost something the fewest may be best, and rounds want ports that do both at once."""
    return network.latency_s > 0 or not network.is_full_duplex


def _in_list_orders(
    classes: Sequence[TransferClass],
    routes: Sequence[Route],
    network: Network,
    *,
    key: Callable[[Sequence[Timed]], float],
) -> tuple[Timed, ...]:
    ways = (routes, whole_routes(classes, binomial=False), whole_routes(classes, binomial=True))
    num_chunks = best_rounds(routes, network, max_messages=MAX_MESSAGES)
    listed = [
        timed(in_list_order(way, network, num_chunks=number), network)
        for way in ways
        for number in sorted({1, min(num_chunks, _most_chunks(way))})
    ]
    return min(listed, key=key)


def _most_chunks(routes: Sequence[Route]) -> int:
    return max(1, MAX_MESSAGES // 2 // sum(len(route.hops) for route in routes))


def best_rounds(routes: Sequence[Route], network: Network, *, max_messages: int) -> int:
    """How many chunks to cut every route into: fewer fill the pipeline late, more pay latency more often.

    For one chain of A hosts this is the classical K = sqrt((A - 1) s / (alpha B)).
    """
    depth = max(route.depth for route in routes)
    largest = max(sum(segment.num_bytes for segment in route.segments) for route in routes)
    num_messages = messages_in_round(routes)
    fewest = 1 if network.latency_s else MIN_FREE_ROUNDS
    affordable = [n for n in _CANDIDATES if n >= fewest and (n + depth) * num_messages <= max_messages] or [
        max(1, max_messages // num_messages - depth)
    ]

    def seconds(num_rounds: int) -> float:
        pass_on_s = largest / num_rounds / network.intra_bytes_per_s
        return (num_rounds + depth) * _round_s(routes, num_rounds, network) + pass_on_s

    best_s = min(seconds(number) for number in affordable)
    return next(number for number in affordable if seconds(number) <= best_s * _GOOD_ENOUGH)


def _round_s(routes: Sequence[Route], num_rounds: int, network: Network) -> float:
    """How long the busiest port of a round is busy."""
    sent: dict[int, float] = defaultdict(float)
    taken = defaultdict(float) if network.is_full_duplex else sent
    for route in routes:
        sizes = [-(-segment.num_bytes // num_rounds) for segment in route.segments]
        for hop in route.hops:
            seconds = network.message_s(sum(sizes[hop.first : hop.stop]))
            sent[hop.from_host] += seconds
            taken[hop.to_host] += seconds
    return max(*sent.values(), *taken.values())


def _inside_hosts_s(traffic: Traffic, network: Network) -> float:
    """The device that lacks most gets it over its own link, whoever brings it."""
    return max(traffic.device_bytes.values(), default=0) / network.intra_bytes_per_s


def _last_end_s(sends: Sequence[Timed], classes: Sequence[TransferClass], network: Network) -> float:
    """When the last message has reached all devices of its host: inside, it is passed on as it comes."""
    return max((one.end_s + _pass_on_s(one.send, classes, network) for one in sends), default=0.0)


def _pass_on_s(send: Send, classes: Sequence[TransferClass], network: Network) -> float:
    fans_out = any(classes[segment.transfer_class].fans_out for segment in send.segments)
    return send.num_bytes / network.intra_bytes_per_s if fans_out else 0.0


def _bytes(sends: Sequence[Timed], *, out: bool) -> Mapping[int, int]:
    total: dict[int, int] = defaultdict(int)
    for one in sends:
        total[one.send.from_host if out else one.send.to_host] += one.send.num_bytes
    return dict(sorted(total.items()))
