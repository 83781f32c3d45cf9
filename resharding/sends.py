"""Messages between hosts, and the one cost simulator: when each starts and ends on ports in a given order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resharding.classes import TransferClass
from resharding.network import Network
from resharding.routes import Segment


@dataclass(frozen=True, slots=True)
class Send:
    """Some bytes go from one host to another, as part of `chunk`.

    A host may send a part of a chunk when all of the chunk that it gets has arrived there. num_bytes: of all
    segments.
    """

    chunk: int
    from_host: int
    to_host: int
    segments: tuple[Segment, ...]
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Timed:
    send: Send
    start_s: float
    end_s: float


def timed(sends: Iterable[Send], network: Network) -> tuple[Timed, ...]:
    """When each message is on its way, if every port serves its messages in the order given.

    A port carries one message at a time; a message holds both its ports from start to end.
    """
    sending: dict[int, float] = {}
    taking = {} if network.is_full_duplex else sending
    arrived: dict[tuple[int, int], float] = {}
    found: list[Timed] = []
    for send in sends:
        start_s = max(
            sending.get(send.from_host, 0.0),
            taking.get(send.to_host, 0.0),
            arrived.get((send.chunk, send.from_host), 0.0),
        )
        end_s = start_s + network.message_s(send.num_bytes)
        sending[send.from_host] = taking[send.to_host] = end_s
        key = (send.chunk, send.to_host)
        arrived[key] = max(arrived.get(key, 0.0), end_s)
        found.append(Timed(send, start_s, end_s))
    return tuple(found)


def last_end_s(sends: Sequence[Timed], classes: Sequence[TransferClass], network: Network) -> float:
    """When the last message has reached all devices of its host: inside, it is passed on as it comes."""
    fans_out = {number for number, one in enumerate(classes) if one.fans_out}
    last_s = max((one.end_s for one in sends), default=0.0)
    if not fans_out:
        return last_s
    found_s = last_s
    for one in sends:
        passed_s = one.end_s + one.send.num_bytes / network.intra_bytes_per_s
        if passed_s > found_s and any(part.transfer_class in fans_out for part in one.send.segments):
            found_s = passed_s
    return found_s
