"""Messages between hosts, and the one cost simulator: when each starts and ends on ports in a given order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resharding.network import Network
from resharding.routes import Segment


@dataclass(frozen=True, slots=True)
class Send:
    """Some bytes go from one host to another, as part of `chunk`.

    A host may send a part of a chunk when all of the chunk that it gets has arrived there.
    """

    chunk: int
    from_host: int
    to_host: int
    segments: tuple[Segment, ...]

    @property
    def num_bytes(self) -> int:
        return sum(segment.num_bytes for segment in self.segments)


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
    found = []
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
