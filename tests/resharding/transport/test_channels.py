"""What every transport promises: inside one process, several endpoints."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from resharding.transport.dialing import Call, Dialer
from resharding.transport.errors import TransferFailed
from resharding.transport.frames import Frame, Kind, checksum_of
from resharding.transport.links import LinkLost
from tests.resharding.transport.circle import KINDS, Circle
from tests.resharding.transport.errands import some_bytes
from vocabulary.errors import InvalidInput

SIZES = (0, 1, 2**15 - 1, 2**15, 2**20 + 1, 2**22 + 12345)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def circle(request: pytest.FixtureRequest, ready, folder: Path) -> Iterator[Circle]:
    medium, hosts = request.param
    ready(medium)
    made = Circle(medium, hosts, folder)
    yield made
    made.close()


@pytest.fixture(params=[KINDS["TCP"], KINDS["fake NCCL"], KINDS["NCCL"]], ids=["TCP", "fake NCCL", "NCCL"])
def hasty(request: pytest.FixtureRequest, ready, folder: Path) -> Iterator[Circle]:
    medium, hosts = request.param
    ready(medium)
    made = Circle(medium, hosts, folder, timeout_s=0.3)
    yield made
    made.close()


def test_bytes_of_any_number_arrive(circle: Circle) -> None:
    one, other, _ = circle.open(1)
    sent = [some_bytes(size) for size in SIZES]
    rooms = [circle.room(size) for size in SIZES]
    works = [other.recv(room, frm=0, tag=tag) for tag, room in enumerate(rooms)]
    works += [one.send(circle.place(array), to=1, tag=tag) for tag, array in enumerate(sent)]
    for work in works:
        work.wait()
    assert [circle.fetch(room) for room in rooms] == [array.tobytes() for array in sent]


def test_a_transfer_gathers_and_scatters(circle: Circle) -> None:
    one, other, _ = circle.open(1)
    sent = [some_bytes(size) for size in (3, 70_001, 600_000)]
    rooms = [circle.room(size) for size in (600_000, 70_004)]
    work = one.send([circle.place(array) for array in sent], to=1, tag=7)
    other.recv(rooms, frm=0, tag=7).wait()
    work.wait()
    assert b"".join(map(circle.fetch, rooms)) == b"".join(array.tobytes() for array in sent)


def test_what_is_received_can_be_sent_on(circle: Circle) -> None:
    first, second, third = circle.open(1)
    sent, between, taken = circle.place(some_bytes(1_200_000)), circle.room(1_200_000), circle.room(1_200_000)
    arriving = second.recv(between, frm=0, tag=1)
    works = [second.send(between, to=2, tag=2, after=[arriving]), third.recv(taken, frm=1, tag=2)]
    works.append(first.send(sent, to=1, tag=1))
    for work in works:
        work.wait()
    assert circle.fetch(taken) == some_bytes(1_200_000).tobytes()


def test_both_ways_at_once_nobody_waits_for_the_other(circle: Circle) -> None:
    channels = circle.open(1)
    sent = [circle.place(some_bytes(size)) for size in (700_000, 700_001)]
    rooms = [circle.room(700_001), circle.room(700_000)]
    works = [channels[one].send(sent[one], to=1 - one, tag=5) for one in (0, 1)]
    works += [channels[one].recv(rooms[one], frm=1 - one, tag=5) for one in (0, 1)]
    for work in works:
        work.wait()
    assert [circle.fetch(room) for room in rooms] == [circle.fetch(one) for one in reversed(sent)]


@pytest.mark.parametrize("num_bytes", [0, 1, 1_000_000])
def test_a_chain_ends_for_all_at_once(circle: Circle, num_bytes: int) -> None:
    sent = some_bytes(num_bytes)
    buffers = [circle.room(num_bytes), circle.place(sent), circle.room(num_bytes)]
    works = [
        channel.multicast(buffer, chain=(1, 2, 0), chunk_bytes=300_000, tag=1)
        for channel, buffer in zip(circle.open(1), buffers, strict=True)
    ]
    works[1].wait()
    assert [circle.fetch(buffer) for buffer in buffers] == [sent.tobytes()] * 3


def test_links_serve_the_next_channel(circle: Circle) -> None:
    num_links = []
    for epoch in range(1, 4):
        channels = circle.open(epoch)
        assert circle.open(epoch) == channels
        circle.exchange(channels)
        _close_all(channels)
        num_links.append([transport.num_links for transport in circle.transports])
    assert num_links[0] == num_links[1] == num_links[2]


def test_an_epoch_that_is_over_is_refused(circle: Circle) -> None:
    circle.open(2)
    with pytest.raises(InvalidInput, match="was opened in epoch 2, 1 is over"):
        circle.transports[0].open(circle.endpoints, 1)
    with pytest.raises(LinkLost, match="epoch 1 is over, the group is in epoch 2"):
        circle.intruder(1, 1)
    circle.exchange(circle.open(2))


def test_a_higher_epoch_ends_what_is_under_way(circle: Circle) -> None:
    works = [
        channel.recv(circle.room(5), frm=frm, tag=1)
        for channel, frm in zip(circle.open(1), (1, 2, 0), strict=True)
    ]
    circle.exchange(circle.open(2))
    for work in works:
        with pytest.raises(TransferFailed, match=r"abort|gave up|closed by the peer|is closed|lost|is over"):
            work.wait()


def test_frames_of_another_epoch_end_the_channel_and_the_next_works(circle: Circle) -> None:
    work = circle.open(3)[0].recv(circle.room(5), frm=1, tag=1)
    link = circle.intruder(1, 3)
    link.send(Frame(Kind.CHUNK, 2, 1, 0, 5, 5, checksum_of([b"bytes"])), [b"bytes"])
    with pytest.raises(TransferFailed, match="speaks in epoch 2, this channel is of epoch 3"):
        work.wait()
    link.close()
    circle.exchange(circle.open(4))


def test_a_caller_without_the_key_is_not_served(circle: Circle) -> None:
    circle.open(1)
    wrong = (replace(circle.endpoints[0], key=bytes(16)), *circle.endpoints[1:])
    with pytest.raises(LinkLost):
        Dialer(host="a", timeout_s=20.0).dial(wrong[0], Call(circle.endpoints, 1, 1))
    circle.exchange(circle.open(1))


@pytest.mark.parametrize(("tag", "num_bytes"), [(2, 10), (1, 11)], ids=["tag", "size"])
def test_another_transfer_than_is_wanted_is_an_error_that_says_so(
    circle: Circle, tag: int, num_bytes: int
) -> None:
    one, other, _ = circle.open(1)
    sent = one.send(circle.place(some_bytes(10)), to=1, tag=1)
    wanted = other.recv(circle.room(num_bytes), frm=0, tag=tag)
    for work in (sent, wanted):
        with pytest.raises(TransferFailed, match="both ends must issue the same transfers"):
            work.wait()
    circle.exchange(circle.open(2))


def test_an_abort_is_heard_by_all_who_wait(circle: Circle) -> None:
    one, other, third = circle.open(1)
    works = [
        other.recv(circle.room(5), frm=0, tag=1),
        one.send(circle.place(some_bytes(5)), to=1, tag=1),
    ]
    for work in works:
        work.wait()
    waiting = [
        one.send(circle.place(some_bytes(600_000)), to=1, tag=2),
        third.recv(circle.room(5), frm=0, tag=2),
    ]
    third.abort()
    other.abort()
    for work in waiting:
        with pytest.raises(TransferFailed, match="abort"):
            work.wait()
    with pytest.raises(TransferFailed):
        one.send(circle.place(some_bytes(5)), to=2, tag=3)


def test_what_never_comes_fails_in_time_with_the_names(hasty: Circle) -> None:
    with pytest.raises(TransferFailed, match="nothing comes") as caught:
        hasty.open(1)[0].recv(hasty.room(5), frm=2, tag=11).wait()
    error = caught.value
    assert (error.tag, error.done_bytes, error.total_bytes, error.timeout_s) == (11, 0, 5, 0.3)
    assert error.peer == f"member 2 ({hasty.endpoints[2]})"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.hint, again.tag, again.peer) == (str(error), error.hint, 11, error.peer)


def test_what_nobody_takes_fails_in_time(hasty: Circle) -> None:
    with pytest.raises(TransferFailed, match="does not take"):
        hasty.open(1)[0].send(hasty.place(some_bytes(5)), to=1, tag=1).wait()


def test_a_group_that_one_does_not_open_fails_in_time(hasty: Circle) -> None:
    channel = hasty.transports[0].open(hasty.endpoints, 1)
    work = channel.send(hasty.place(some_bytes(5)), to=1, tag=1)
    with pytest.raises(TransferFailed, match=r"take the connection|was not opened in epoch 1"):
        work.wait()


def test_nobody_at_the_address_is_said_so(hasty: Circle) -> None:
    hasty.transports[2].close()
    channel = hasty.transports[0].open(hasty.endpoints, 1)
    with pytest.raises(TransferFailed, match="nobody answers"):
        channel.send(hasty.place(some_bytes(5)), to=2, tag=1).wait()


def test_who_closes_while_others_wait_for_it_is_named(circle: Circle) -> None:
    one, other, _ = circle.open(1)
    works = [
        one.send(circle.place(some_bytes(5)), to=1, tag=1),
        other.recv(circle.room(5), frm=0, tag=1),
    ]
    for work in works:
        work.wait()
    late = other.recv(circle.room(5), frm=0, tag=2)
    one.close()
    with pytest.raises(TransferFailed, match=r"member 0 .*closed its channel"):
        late.wait()


def test_an_endpoint_of_another_group_cannot_open_it(circle: Circle) -> None:
    with pytest.raises(InvalidInput, match="none of the 2 members"):
        circle.transports[0].open(circle.endpoints[1:], 1)


def _close_all(channels: list) -> None:
    """At once, as members do: each answers the goodbyes of the others."""
    closing = [Thread(target=channel.close) for channel in channels]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
