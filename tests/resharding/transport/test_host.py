"""The host transport inside one process: several endpoints, over shared memory and over TCP."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from resharding.transport.dialing import Call, Dialer
from resharding.transport.errors import TransferFailed
from resharding.transport.frames import Frame, Kind, checksum_of
from resharding.transport.host import HostTransport
from resharding.transport.host_channel import HostChannel
from resharding.transport.links import Link, LinkLost
from resharding.transport.pacing import EmulatedNic
from tests.resharding.transport.errands import some_bytes
from vocabulary.errors import InvalidInput

KINDS = {"shared memory": ("a", "a", "a"), "TCP": ("a", "b", "c")}
SIZES = (0, 1, 2**15 - 1, 2**15, 2**20 + 1, 2**22 + 12345)


class Group:
    """Three transports, and their channels by epoch."""

    def __init__(self, hosts: tuple[str, ...], *, timeout_s: float = 20.0) -> None:
        self.transports = [HostTransport(host=host, timeout_s=timeout_s) for host in hosts]
        self.endpoints = tuple(transport.endpoint() for transport in self.transports)

    def open(self, epoch: int) -> list[HostChannel]:
        return [transport.open(self.endpoints, epoch) for transport in self.transports]

    def intruder(self, place: int, epoch: int) -> Link:
        """A link to member 0 of somebody who claims to be another."""
        dialer = Dialer(host=self.endpoints[0].host, timeout_s=20.0)
        return dialer.dial(self.endpoints[0], Call(self.endpoints, place, epoch))

    def close(self) -> None:
        for transport in self.transports:
            transport.close()


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    made = Group(request.param)
    yield made
    made.close()


@pytest.fixture
def hasty(request: pytest.FixtureRequest) -> Iterator[Group]:
    made = Group(("a", "b", "c"), timeout_s=0.3)
    yield made
    made.close()


def test_bytes_of_any_number_arrive(group: Group) -> None:
    one, other, _ = group.open(1)
    sent = [some_bytes(size) for size in SIZES]
    taken = [np.zeros_like(array) for array in sent]
    works = [other.recv(array, frm=0, tag=tag) for tag, array in enumerate(taken)]
    works += [one.send(array, to=1, tag=tag) for tag, array in enumerate(sent)]
    for work in works:
        work.wait()
    assert [array.tobytes() for array in taken] == [array.tobytes() for array in sent]


def test_a_transfer_gathers_and_scatters(group: Group) -> None:
    one, other, _ = group.open(1)
    sent = [some_bytes(size) for size in (3, 70_001, 5_000_000)]
    taken = [np.zeros(size, np.uint8) for size in (5_000_000, 70_004)]
    work = one.send(sent, to=1, tag=7)
    other.recv(taken, frm=0, tag=7).wait()
    work.wait()
    assert b"".join(array.tobytes() for array in taken) == b"".join(array.tobytes() for array in sent)


def test_memory_of_the_arena_is_sent_from_where_it_lies(group: Group) -> None:
    one, other, _ = group.open(1)
    array = group.transports[0].arena.empty((3, 1_000_000), np.float32)
    array[:] = np.arange(3)[:, None]
    taken = np.zeros_like(array)
    works = [one.send(array, to=1, tag=1), other.recv(taken, frm=0, tag=1)]
    for work in works:
        work.wait()
    np.testing.assert_array_equal(taken, array)


def test_what_is_received_can_be_sent_on(group: Group) -> None:
    first, second, third = group.open(1)
    sent, between, taken = some_bytes(4_500_000), np.zeros(4_500_000, np.uint8), np.zeros(4_500_000, np.uint8)
    arriving = second.recv(between, frm=0, tag=1)
    works = [second.send(between, to=2, tag=2, after=[arriving]), third.recv(taken, frm=1, tag=2)]
    works.append(first.send(sent, to=1, tag=1))
    for work in works:
        work.wait()
    assert taken.tobytes() == sent.tobytes()


@pytest.mark.parametrize("num_bytes", [0, 1, 3_000_000])
def test_a_chain_ends_for_all_at_once(group: Group, num_bytes: int) -> None:
    sent = some_bytes(num_bytes)
    buffers = [np.zeros_like(sent), sent, np.zeros_like(sent)]
    works = [
        channel.multicast(buffer, chain=(1, 2, 0), chunk_bytes=300_000, tag=1)
        for channel, buffer in zip(group.open(1), buffers, strict=True)
    ]
    works[1].wait()
    assert [buffer.tobytes() for buffer in buffers] == [sent.tobytes()] * 3


def test_links_serve_the_next_channel(group: Group) -> None:
    for epoch in range(1, 4):
        channels = group.open(epoch)
        assert group.open(epoch) == channels
        _exchange(channels)
        for channel in channels:
            channel.close()
        assert [transport.num_links for transport in group.transports] == [1, 1, 1]


def test_an_epoch_that_is_over_is_refused(group: Group) -> None:
    group.open(2)
    with pytest.raises(InvalidInput, match="was opened in epoch 2, 1 is over"):
        group.transports[0].open(group.endpoints, 1)
    with pytest.raises(LinkLost, match="epoch 1 is over, the group is in epoch 2"):
        group.intruder(1, 1)
    _exchange(group.open(2))


def test_a_higher_epoch_ends_what_is_under_way(group: Group) -> None:
    works = [
        channel.recv(np.zeros(5, np.uint8), frm=frm, tag=1)
        for channel, frm in zip(group.open(1), (1, 2, 0), strict=True)
    ]
    _exchange(group.open(2))
    for work in works:
        with pytest.raises(TransferFailed, match="aborted here"):
            work.wait()


def test_frames_of_another_epoch_end_the_channel_and_the_next_works(group: Group) -> None:
    work = group.open(3)[0].recv(np.zeros(5, np.uint8), frm=1, tag=1)
    link = group.intruder(1, 3)
    link.send(Frame(Kind.CHUNK, 2, 1, 0, 5, 5, checksum_of([b"bytes"])), [b"bytes"])
    with pytest.raises(TransferFailed, match="speaks in epoch 2, this channel is of epoch 3"):
        work.wait()
    link.close()
    _exchange(group.open(4))


def test_bytes_that_do_not_match_their_checksum_fail_at_both_ends(group: Group) -> None:
    work = group.open(1)[0].recv(np.zeros(5, np.uint8), frm=1, tag=9)
    link = group.intruder(1, 1)
    link.send(Frame(Kind.CHUNK, 1, 9, 0, 5, 5, checksum_of([b"bytes"])), [b"bites"])
    with pytest.raises(TransferFailed, match="5 bytes at 0 do not match their checksum") as caught:
        work.wait()
    assert (caught.value.tag, caught.value.done_bytes, caught.value.total_bytes) == (9, 0, 5)
    answer = link.read_frame()
    assert answer.kind is Kind.ABORT
    assert b"do not match their checksum" in link.read_words(answer)
    link.close()
    _exchange(group.open(2))


def test_a_caller_without_the_key_is_not_served(group: Group) -> None:
    group.open(1)
    wrong = (replace(group.endpoints[0], key=bytes(16)), *group.endpoints[1:])
    with pytest.raises(LinkLost):
        Dialer(host="a", timeout_s=20.0).dial(wrong[0], Call(group.endpoints, 1, 1))
    _exchange(group.open(1))


def test_transfers_in_another_order_are_an_error_that_says_so(group: Group) -> None:
    one, other, _ = group.open(1)
    one.send(some_bytes(10), to=1, tag=1)
    with pytest.raises(TransferFailed, match="both ends must issue their transfers in one order"):
        other.recv(np.zeros(10, np.uint8), frm=0, tag=2).wait()


def test_an_abort_is_heard_by_all_who_wait(group: Group) -> None:
    one, other, third = group.open(1)
    works = [other.recv(np.zeros(5, np.uint8), frm=0, tag=1), one.send(some_bytes(5), to=1, tag=1)]
    for work in works:
        work.wait()
    waiting = [one.send(some_bytes(5_000_000), to=1, tag=2), third.recv(np.zeros(5, np.uint8), frm=0, tag=2)]
    third.abort()
    other.abort()
    for work in waiting:
        with pytest.raises(TransferFailed, match="abort"):
            work.wait()
    with pytest.raises(TransferFailed):
        one.send(some_bytes(5), to=2, tag=3)


def test_what_never_comes_fails_in_time_with_the_names(hasty: Group) -> None:
    with pytest.raises(TransferFailed, match="nothing comes") as caught:
        hasty.open(1)[0].recv(np.zeros(5, np.uint8), frm=2, tag=11).wait()
    error = caught.value
    assert (error.tag, error.done_bytes, error.total_bytes, error.timeout_s) == (11, 0, 5, 0.3)
    assert error.peer == f"member 2 ({hasty.endpoints[2]})"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.hint, again.tag, again.peer) == (str(error), error.hint, 11, error.peer)


def test_what_nobody_takes_fails_in_time(hasty: Group) -> None:
    with pytest.raises(TransferFailed, match="does not take"):
        hasty.open(1)[0].send(some_bytes(5), to=1, tag=1).wait()


def test_a_group_that_one_does_not_open_fails_in_time(hasty: Group) -> None:
    work = hasty.transports[0].open(hasty.endpoints, 1).send(some_bytes(5), to=1, tag=1)
    with pytest.raises(TransferFailed, match=r"take the connection|was not opened in epoch 1"):
        work.wait()


def test_nobody_at_the_address_is_said_so(hasty: Group) -> None:
    hasty.transports[2].close()
    work = hasty.transports[0].open(hasty.endpoints, 1).send(some_bytes(5), to=2, tag=1)
    with pytest.raises(TransferFailed, match="nobody answers"):
        work.wait()


def test_who_closes_while_others_wait_for_it_is_named(group: Group) -> None:
    one, other, _ = group.open(1)
    works = [one.send(some_bytes(5), to=1, tag=1), other.recv(np.zeros(5, np.uint8), frm=0, tag=1)]
    for work in works:
        work.wait()
    late = other.recv(np.zeros(5, np.uint8), frm=0, tag=2)
    one.close()
    with pytest.raises(TransferFailed, match=r"member 0 .*closed its channel"):
        late.wait()


def test_an_endpoint_of_another_group_cannot_open_it(group: Group) -> None:
    with pytest.raises(InvalidInput, match="none of the 2 members"):
        group.transports[0].open(group.endpoints[1:], 1)


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


def _exchange(channels: list[HostChannel]) -> None:
    """Round the group."""
    places = [*range(len(channels)), 0]
    taken = [np.zeros(100_000, np.uint8) for _ in channels]
    works = [channels[to].recv(taken[to], frm=frm, tag=to) for frm, to in pairwise(places)]
    works += [channels[frm].send(some_bytes(100_000), to=to, tag=to) for frm, to in pairwise(places)]
    for work in works:
        work.wait()
    assert all(array.tobytes() == some_bytes(100_000).tobytes() for array in taken)
