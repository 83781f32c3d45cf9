"""What it costs to bring models' weights to groups: from living replicas by multicast, or from the store."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from resharding.classes import traffic_of
from resharding.moves import Device
from resharding.network import Network
from resharding.planner import TransferPlan, plan_transfer
from resharding.weight_layouts import ModelWeights, moves_of
from vocabulary.errors import Infeasible

# In the traffic from a store this host sends; no device has it.
_STORE: Device = (-1, 0)
STORE = "store"
HERE = "here"


@dataclass(frozen=True, slots=True)
class Store:
    """Where weights are read from files: not over the ports between hosts.

    host_bytes_per_s: what one host reads at most; total_bytes_per_s: what all read together; latency_s: until
    the first byte.
    """

    host_bytes_per_s: float
    total_bytes_per_s: float = math.inf
    latency_s: float = 0.0

    def read_s(self, bytes_in: Mapping[int, int]) -> float:
        """Until every host has read its bytes, all at once."""
        if not any(bytes_in.values()):
            return 0.0
        slowest_s = max(bytes_in.values()) / self.host_bytes_per_s
        return self.latency_s + max(slowest_s, sum(bytes_in.values()) / self.total_bytes_per_s)


@dataclass(frozen=True, slots=True)
class WeightTransfer:
    """num_bytes: that cross between hosts, or from the store to one; seconds: until all targets have all.

    lower_bound_s: no schedule from the same origins ends before. origins: by model, "replica on g1",
    "replicas on g1, g2", "store", or "here" for what its hosts hold already.
    """

    num_bytes: int
    seconds: float
    lower_bound_s: float
    origins: Mapping[str, str]


def weight_transfer(
    models: Sequence[ModelWeights], network: Network, *, store: Store | None = None
) -> WeightTransfer:
    """Several models at once, each from where it is there sooner; what lies on a host already stays on it.

    Raises Infeasible for a model that nobody holds if there is no store.
    """
    wanted = [one for one in models if one.targets]
    lost = [one for one in wanted if not one.holders]
    held = [one for one in wanted if one.holders]
    if store is None:
        _check_held(lost)
        return _together(_NOTHING, _sent(held, network))
    held.sort(key=lambda one: _times_as_long_from_store(one, network, store))

    @cache
    def parts(num_read: int) -> tuple[_Part, _Part]:
        return _read([*lost, *held[:num_read]], network, store), _sent(held[num_read:], network)

    # The more models are read, the longer reading takes and the sooner the others are sent: where they meet.
    def late_s(num_read: int) -> float:
        read, sent = parts(num_read)
        return read.seconds - sent.seconds

    meeting = bisect_left(range(len(held)), 0.0, key=late_s)
    both = [parts(number) for number in {max(0, meeting - 1), meeting}]
    return min((_together(*one) for one in both), key=lambda one: one.seconds)


def _times_as_long_from_store(weights: ModelWeights, network: Network, store: Store) -> float:
    sent_s = _sent([weights], network).seconds
    return _read([weights], network, store).seconds / sent_s if sent_s else math.inf


def _check_held(lost: Sequence[ModelWeights]) -> None:
    for one in lost:
        groups = ", ".join(target.group for target in one.targets)
        message = f"no replica of {one.model} lives, and {groups} need its weights"
        raise Infeasible(message, hint="give the bandwidth of a store, or keep a replica")


@dataclass(frozen=True, slots=True)
class _Part:
    """The models of one origin."""

    num_bytes: int
    seconds: float
    lower_bound_s: float
    origins: Mapping[str, str]


_NOTHING = _Part(0, 0.0, 0.0, {})


def _together(read: _Part, sent: _Part) -> WeightTransfer:
    return WeightTransfer(
        read.num_bytes + sent.num_bytes,
        max(read.seconds, sent.seconds),
        max(read.lower_bound_s, sent.lower_bound_s),
        dict(sorted({**read.origins, **sent.origins}.items())),
    )


def _read(models: Sequence[ModelWeights], network: Network, store: Store) -> _Part:
    """Each host reads a byte once, whatever it has already stays; inside, it is passed on as it comes."""
    bytes_in: dict[int, int] = defaultdict(int)
    device_bytes: dict[Device, int] = defaultdict(int)
    origins: dict[str, str] = {}
    for model in models:
        traffic = traffic_of(moves_of(model, also_on=(_STORE,)))
        origins[model.model] = STORE if traffic.classes else HERE
        for one in traffic.classes:
            for host in one.receivers:
                bytes_in[host] += one.num_bytes
        for device, num_bytes in traffic.device_bytes.items():
            device_bytes[device] += num_bytes
    inside_s = max(device_bytes.values(), default=0) / network.intra_bytes_per_s
    seconds = max(store.read_s(bytes_in), inside_s)
    return _Part(sum(bytes_in.values()), seconds, seconds, origins)


def _sent(models: Sequence[ModelWeights], network: Network) -> _Part:
    if not models:
        return _NOTHING
    moves = [moves_of(one) for one in models]
    plan = plan_transfer([move for each in moves for move in each], network)
    origins: dict[str, str] = {}
    first = 0
    for one, each in zip(models, moves, strict=True):
        origins[one.model] = _origin(one, plan, range(first, first + len(each)))
        first += len(each)
    return _Part(sum(plan.bytes_in.values()), plan.makespan_s, plan.lower_bound_s, origins)


def _origin(weights: ModelWeights, plan: TransferPlan, tensors: range) -> str:
    """Groups with a device on a host that sends some of the model."""
    mine = {
        number: one.senders
        for number, one in enumerate(plan.classes)
        if any(piece.tensor in tensors for piece in one.pieces)
    }
    hosts = {
        timed.send.from_host
        for timed in plan.sends
        for segment in timed.send.segments
        if timed.send.from_host in mine.get(segment.transfer_class, ())
    }
    if not hosts:
        return HERE
    names = [one.group for one in weights.holders if one.hosts & hosts]
    return f"replica{'s' if len(names) > 1 else ''} on {', '.join(names)}"
