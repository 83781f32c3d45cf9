"""The schedules that planning weighs: rounds, messages in list order, and the paper's broadcasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from resharding.bound import Split
from resharding.classes import TransferClass
from resharding.greedy import in_list_order
from resharding.moves import Move
from resharding.network import Network
from resharding.rounds import in_rounds, messages_in_round
from resharding.routes import Route, routes_of, whole_chains, whole_trees
from resharding.sends import Timed, last_end_s, timed
from resharding.whole_broadcasts import whole_broadcasts

# Planning takes a few microseconds a message, and past this many a finer cut gains little.
MAX_MESSAGES = 5000
# In list order a message takes several times as long to plan; without rounds beside it, more are worth it.
MAX_LISTED = 1250
# Where a message costs nothing: the pass-on of the last chunk inside a host is as short as the paper's.
MIN_FREE_ROUNDS = 64
# Chunks per route that are weighed: a third of an octave apart.
_CANDIDATES = sorted({round(2 ** (step / 3)) for step in range(34)})
# Fewer messages are worth so much; so near to the bound, nothing else is tried; and farther than so much from
# it, more messages are.
_GOOD_ENOUGH = 1.0003
_AT_BOUND = 1.001
_NEAR = 1.03
_SECOND_TRY = 4


def best_schedule(
    moves: Sequence[Move], classes: Sequence[TransferClass], split: Split, network: Network
) -> tuple[Timed, ...]:
    """The one that ends first; the paper's greedy broadcasts are among those that are tried."""
    found: tuple[Timed, ...] = ()
    found_s = float("inf")
    for sends in _schedules(classes, split, network):
        ends_s = last_end_s(sends, classes, network)
        if ends_s < found_s:
            found, found_s = sends, ends_s
        if found_s <= (split.seconds + network.latency_s) * _AT_BOUND:
            break
    theirs = whole_broadcasts(moves, classes, network, below_s=found_s)
    if theirs:
        sends = timed(theirs, network)
        if last_end_s(sends, classes, network) < found_s:
            return sends
    return found


def _schedules(
    classes: Sequence[TransferClass], split: Split, network: Network
) -> Iterable[tuple[Timed, ...]]:
    """Few messages first, where they cost something; rounds, finer where they are far from the bound."""
    routes = routes_of(classes, split)
    if _is_for_lists(network):
        yield from _in_list_orders(classes, routes, network)
    if network.is_full_duplex:
        for max_messages in (MAX_MESSAGES, _SECOND_TRY * MAX_MESSAGES):
            num_rounds = best_rounds(routes, network, max_messages=max_messages)
            sends = timed(in_rounds(routes, num_rounds=num_rounds), network)
            yield sends
            if network.latency_s or last_end_s(sends, classes, network) <= split.seconds * _NEAR:
                break


def _is_for_lists(network: Network) -> bool:
    """Where messages cost something the fewest may be best, and rounds want ports that do both at once."""
    return network.latency_s > 0 or not network.is_full_duplex


def _in_list_orders(
    classes: Sequence[TransferClass], routes: Sequence[Route], network: Network
) -> Iterable[tuple[Timed, ...]]:
    ways = (
        routes,
        whole_chains(classes),
        whole_trees(classes, from_all=False),
        whole_trees(classes, from_all=True),
    )
    for way in ways:
        yield timed(in_list_order(way, network, num_chunks=1), network)
    num_chunks = best_rounds(routes, network, max_messages=MAX_MESSAGES)
    max_messages = MAX_LISTED if network.is_full_duplex else 2 * MAX_LISTED
    for way in ways:
        number = min(num_chunks, max_messages // sum(len(route.hops) for route in way))
        if number > 1:
            yield timed(in_list_order(way, network, num_chunks=number), network)


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
    taken: dict[int, float] = defaultdict(float) if network.is_full_duplex else sent
    for route in routes:
        sizes = [-(-segment.num_bytes // num_rounds) for segment in route.segments]
        for hop in route.hops:
            seconds = network.message_s(sum(sizes[hop.first : hop.stop]))
            sent[hop.from_host] += seconds
            taken[hop.to_host] += seconds
    return max(*sent.values(), *taken.values())
