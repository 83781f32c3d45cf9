"""Three transports of one process, as members of a group."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from resharding.transport.dialing import Call, Dialer
from resharding.transport.links import Link
from tests.resharding.transport.errands import some_bytes
from tests.resharding.transport.rigs import Medium, Outfit, made

# Those of one host share memory.
KINDS = {
    "shared memory": (Medium.HOST, "aaa"),
    "TCP": (Medium.HOST, "abc"),
    "fake NCCL": (Medium.FAKE_NCCL, "aab"),
    "NCCL": (Medium.NCCL, "aaa"),
}


class Circle:
    """Rigs, and channels by epoch."""

    def __init__(self, medium: Medium, hosts: str, folder: Path, *, timeout_s: float = 20.0) -> None:
        self.rigs = [made(Outfit(medium, host, folder, timeout_s)) for host in hosts]
        self.transports = [rig.transport for rig in self.rigs]
        self.endpoints = tuple(transport.endpoint() for transport in self.transports)

    def open(self, epoch: int) -> list[Any]:
        return [transport.open(self.endpoints, epoch) for transport in self.transports]

    def place(self, array: np.ndarray) -> Any:
        """Memory of a transfer, with these bytes."""
        return self.rigs[0].place(array)

    def room(self, num_bytes: int) -> Any:
        """Memory of a transfer, zeros."""
        return self.place(np.zeros(num_bytes, np.uint8))

    def fetch(self, buffer: Any) -> bytes:
        return self.rigs[0].fetch(buffer).tobytes()

    def exchange(self, channels: Sequence[Any]) -> None:
        """Round the group, once; checked."""
        places = [*range(len(channels)), 0]
        rooms = [self.room(100_000) for _ in channels]
        works = [channels[to].recv(rooms[to], frm=frm, tag=to) for frm, to in pairwise(places)]
        sent = self.place(some_bytes(100_000))
        works += [channels[frm].send(sent, to=to, tag=to) for frm, to in pairwise(places)]
        for work in works:
            work.wait()
        assert all(self.fetch(room) == some_bytes(100_000).tobytes() for room in rooms)

    def intruder(self, place: int, epoch: int) -> Link:
        """A link to member 0 of somebody who claims to be another."""
        dialer = Dialer(host=self.endpoints[0].host, timeout_s=20.0)
        return dialer.dial(self.endpoints[0], Call(self.endpoints, place, epoch))

    def close(self) -> None:
        for transport in self.transports:
            transport.close()
