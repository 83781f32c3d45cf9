"""What only the host transport has: memory that is shared, checksums, and ports that are slowed down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from resharding.transport.errors import TransferFailed
from resharding.transport.frames import Frame, Kind, checksum_of
from resharding.transport.host import HostTransport
from resharding.transport.pacing import EmulatedNic
from tests.resharding.transport.circle import KINDS, Circle
from tests.resharding.transport.errands import some_bytes


@pytest.fixture(params=["shared memory", "TCP"])
def circle(request: pytest.FixtureRequest, folder: Path) -> Iterator[Circle]:
    made = Circle(*KINDS[request.param], folder)
    yield made
    made.close()


def test_memory_of_the_arena_is_sent_from_where_it_lies(circle: Circle) -> None:
    one, other, _ = circle.open(1)
    array = circle.transports[0].arena.empty((3, 500_000), np.float32)
    array[:] = np.arange(3)[:, None]
    taken = np.zeros_like(array)
    works = [one.send(array, to=1, tag=1), other.recv(taken, frm=0, tag=1)]
    for work in works:
        work.wait()
    np.testing.assert_array_equal(taken, array)


def test_bytes_that_do_not_match_their_checksum_fail_at_both_ends(circle: Circle) -> None:
    work = circle.open(1)[0].recv(np.zeros(5, np.uint8), frm=1, tag=9)
    link = circle.intruder(1, 1)
    link.send(Frame(Kind.CHUNK, 1, 9, 0, 5, 5, checksum_of([b"bytes"])), [b"bites"])
    with pytest.raises(TransferFailed, match="5 bytes at 0 do not match their checksum") as caught:
        work.wait()
    assert (caught.value.tag, caught.value.done_bytes, caught.value.total_bytes) == (9, 0, 5)
    answer = link.read_frame()
    assert answer.kind is Kind.ABORT
    assert b"do not match their checksum" in link.read_words(answer)
    link.close()
    circle.exchange(circle.open(2))


def test_an_emulated_port_lets_everything_through() -> None:
    made = [HostTransport(host=host, nic=EmulatedNic(1e9)) for host in "ab"]
    endpoints = tuple(transport.endpoint() for transport in made)
    channels = [transport.open(endpoints, 1) for transport in made]
    taken = np.zeros(3_000_000, np.uint8)
    work = channels[0].send(some_bytes(3_000_000), to=1, tag=1)
    channels[1].recv(taken, frm=0, tag=1).wait()
    work.wait()
    assert taken.tobytes() == some_bytes(3_000_000).tobytes()
    for transport in made:
        transport.close()
