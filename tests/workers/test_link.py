"""Links: frames arrive whole and in order, and a loss is told once."""

from __future__ import annotations

import asyncio
import socket

import pytest

from vocabulary.tensors import Tensor
from workers.frames import Done, Frame, Withdrawn, tensor_headers
from workers.link import SocketLink, memory_pair


class Ear:
    """Notes what a link's end hears."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.losses: list[str] = []
        self.heard = asyncio.Event()

    def receive(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.heard.set()

    def lost(self, why: str) -> None:
        self.losses.append(why)
        self.heard.set()

    async def wait(self) -> None:
        async with asyncio.timeout(10.0):
            await self.heard.wait()
        self.heard.clear()


async def linked(ear: Ear) -> tuple[SocketLink, socket.socket]:
    """A link that `ear` listens to, and the bare socket at its other end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, link = await asyncio.get_running_loop().create_unix_connection(
        lambda: SocketLink(ear.receive, ear.lost), sock=ours
    )
    return link, theirs


async def connected(first: Ear, second: Ear) -> tuple[SocketLink, SocketLink]:
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    _, left = await loop.create_unix_connection(lambda: SocketLink(first.receive, first.lost), sock=one)
    _, right = await loop.create_unix_connection(lambda: SocketLink(second.receive, second.lost), sock=other)
    return left, right


@pytest.mark.asyncio
async def test_frames_arrive_whole_and_in_order():
    ear = Ear()
    left, right = await connected(Ear(), ear)
    tensor = Tensor("x", "UINT8", (300_000,), bytes(300_000))
    for number in range(20):
        left.send(Done(number, "served", 0.0, 0.0, 1, "", tensor_headers((tensor,))), (tensor,))
    left.flush()
    while len(ear.frames) < 20:
        await ear.wait()
    assert [frame.header.request_id for frame in ear.frames] == list(range(20))
    assert all(len(frame.tensors[0].raw) == 300_000 for frame in ear.frames)
    left.close()
    right.close()


@pytest.mark.asyncio
async def test_frames_queued_before_a_close_still_arrive():
    ear = Ear()
    left, right = await connected(Ear(), ear)
    left.send(Withdrawn(1))
    left.close()
    while not ear.losses:
        await ear.wait()
    assert [frame.header for frame in ear.frames] == [Withdrawn(1)]
    right.close()


@pytest.mark.asyncio
async def test_a_peer_that_goes_is_told_once_and_sending_afterwards_does_nothing():
    ear = Ear()
    link, peer = await linked(ear)
    peer.close()
    await ear.wait()
    link.send(Withdrawn(1))
    link.flush()
    link.close()
    await asyncio.sleep(0)
    assert len(ear.losses) == 1
    assert "closed the connection" in ear.losses[0]


@pytest.mark.asyncio
async def test_bytes_that_are_no_frame_end_the_link_with_the_reason():
    ear = Ear()
    _, peer = await linked(ear)
    peer.send(b"\xff" * 64)
    await ear.wait()
    assert len(ear.losses) == 1
    assert "corrupt" in ear.losses[0]
    assert peer.recv(1) == b""
    peer.close()


@pytest.mark.asyncio
async def test_a_new_receiver_hears_the_next_frame_of_the_same_bytes():
    first, second = Ear(), Ear()
    link, right = await connected(first, Ear())

    def greet(frame: Frame) -> None:
        first.receive(frame)
        link.receive_with(second.receive, second.lost)

    link.receive_with(greet, first.lost)
    right.send(Withdrawn(1))
    right.send(Withdrawn(2))
    right.flush()
    await second.wait()
    assert [frame.header for frame in first.frames] == [Withdrawn(1)]
    assert [frame.header for frame in second.frames] == [Withdrawn(2)]
    link.close()
    right.close()


def test_memory_links_deliver_at_once_both_ways_until_closed():
    heard: list[tuple[str, int]] = []
    one, other = memory_pair(
        lambda frame: heard.append(("one", frame.header.request_id)),
        lambda frame: heard.append(("other", frame.header.request_id)),
    )
    one.send(Withdrawn(1))
    other.send(Withdrawn(2))
    one.close()
    one.send(Withdrawn(3))
    assert heard == [("other", 1), ("one", 2)]
