"""The front door of resharding: moves and a network in, an ordered list of messages out, with its bound."""

from __future__ import annotations

import contextlib
import gc
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from resharding.bound import best_split
from resharding.candidates import best_schedule
from resharding.classes import Traffic, TransferClass, traffic_of
from resharding.latency_bound import messages_in_a_row
from resharding.moves import Move
from resharding.network import Network
from resharding.sends import Timed, last_end_s
from vocabulary.errors import InvalidInput

# Planning them takes about ten seconds; fewer hold whole models on hundreds of hosts.
MAX_LEAST_MESSAGES = 2**17


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """Messages in an order that every port keeps, by start, and what they cost.

    makespan_s, lower_bound_s: between and inside hosts; no schedule ends before the bound. plan_s: how long
    planning took here; equal plans may differ in it.
    """

    classes: tuple[TransferClass, ...]
    sends: tuple[Timed, ...]
    makespan_s: float
    lower_bound_s: float
    bytes_out: Mapping[int, int]
    bytes_in: Mapping[int, int]
    plan_s: float = field(default=0.0, compare=False)

    @property
    def ratio(self) -> float:
        """Makespan by lower bound; 1 when there is nothing to move."""
        return self.makespan_s / self.lower_bound_s if self.lower_bound_s else 1.0


def plan_transfer(moves: Sequence[Move], network: Network) -> TransferPlan:
    """Classes, their split over replicas, and the best of some schedules.

    Asserts that the sources hold all that the targets want. Raises InvalidInput for more classes and hosts
    than can be planned.
    """
    start_s = time.perf_counter()
    with _no_collection():
        plan = _plan(moves, network)
    return replace(plan, plan_s=time.perf_counter() - start_s)


@contextlib.contextmanager
def _no_collection() -> Generator[None]:
    """A plan is ten thousands of objects that all live on: looking for garbage among them, several times and
    through all that the process has, takes longer than planning (30 ms of 45 for a whole model)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _plan(moves: Sequence[Move], network: Network) -> TransferPlan:
    traffic = traffic_of(moves)
    _check_size(traffic)
    split = best_split(traffic.classes, network)
    sends = best_schedule(moves, traffic.classes, split, network) if traffic.classes else ()
    inside_s = _inside_hosts_s(traffic, network)
    messages_s = messages_in_a_row(traffic.classes) * network.latency_s
    between_s = max(split.seconds + (network.latency_s if sends else 0.0), messages_s)
    bytes_out, bytes_in = _bytes(sends)
    return TransferPlan(
        traffic.classes,
        tuple(sorted(sends, key=attrgetter("start_s"))),
        makespan_s=max(last_end_s(sends, traffic.classes, network), inside_s),
        lower_bound_s=max(between_s, inside_s),
        bytes_out=bytes_out,
        bytes_in=bytes_in,
    )


def _check_size(traffic: Traffic) -> None:
    number = sum(len(one.receivers) for one in traffic.classes)
    if number > MAX_LEAST_MESSAGES:
        raise InvalidInput(
            f"{len(traffic.classes)} classes of bytes take {number} messages at least, planned are at most "
            f"{MAX_LEAST_MESSAGES}",
            hint="use meshes of fewer hosts, or shard what is replicated over them",
        )


def _inside_hosts_s(traffic: Traffic, network: Network) -> float:
    """The device that lacks most gets it over its own link, whoever brings it."""
    return max(traffic.device_bytes.values(), default=0) / network.intra_bytes_per_s


def _bytes(sends: Sequence[Timed]) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """Out of each host, and into each."""
    sent: dict[int, int] = defaultdict(int)
    taken: dict[int, int] = defaultdict(int)
    for one in sends:
        sent[one.send.from_host] += one.send.num_bytes
        taken[one.send.to_host] += one.send.num_bytes
    return dict(sorted(sent.items())), dict(sorted(taken.items()))
