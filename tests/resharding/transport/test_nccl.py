"""NCCL's own affairs, over a fake library called as the real one: versions, errors, what is kept or lost."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resharding.transport.cuda_library import Cuda
from resharding.transport.device_buffers import DeviceBuffer
from resharding.transport.errors import TransferFailed
from resharding.transport.frames import Kind
from resharding.transport.nccl import NcclTransport
from resharding.transport.nccl_library import Nccl
from resharding.transport.nccl_words import Speaker, Word
from resharding.transport.rendezvous import LocalRendezvous
from tests.resharding.transport.circle import Circle
from tests.resharding.transport.errands import some_bytes
from tests.resharding.transport.fake_nccl import Fake, load
from tests.resharding.transport.rigs import Medium
from vocabulary.errors import InvalidInput, RuntimeFailure

NUM_BYTES = 700_000
REMOTE_ERROR = 6


@pytest.fixture
def library(ready, folder: Path) -> ctypes.CDLL:
    ready(Medium.FAKE_NCCL)
    return load(folder)


@pytest.fixture
def fake(library: ctypes.CDLL) -> Iterator[Fake]:
    fake = Fake(library)
    yield fake
    fake.stall(False)
    fake.stick(False)


@pytest.fixture
def circle(fake: Fake, folder: Path) -> Iterator[Circle]:
    made = Circle(Medium.FAKE_NCCL, "aab", folder)
    yield made
    made.close()


@pytest.fixture
def hasty(fake: Fake, folder: Path) -> Iterator[Circle]:
    made = Circle(Medium.FAKE_NCCL, "aab", folder, timeout_s=0.5)
    yield made
    made.close()


def send_one(circle: Circle, epoch: int, *, tag: int = 1) -> tuple[Any, Any, Any]:
    """From member 0 to 1: both works, and the room."""
    one, other, _ = circle.open(epoch)
    room = circle.room(NUM_BYTES)
    taken = other.recv(room, frm=0, tag=tag)
    return one.send(circle.place(some_bytes(NUM_BYTES)), to=1, tag=tag), taken, room


def test_the_next_channel_finds_communicators_ready(circle: Circle, fake: Fake) -> None:
    circle.exchange(circle.open(1))
    close_in_turn(circle.open(1))
    assert [transport.num_idle_circuits for transport in circle.transports] == [2, 2, 2]
    before = fake.num_calls("ncclCommInitRankConfig")
    circle.exchange(circle.open(2))
    assert fake.num_calls("ncclCommInitRankConfig") == before


def test_a_communicator_that_one_member_lost_is_made_anew(circle: Circle, fake: Fake) -> None:
    for work in send_one(circle, 1)[:2]:
        work.wait()
    one, other, _ = circle.open(1)
    one.close()
    other.abort()
    other.close()
    assert [transport.num_idle_circuits for transport in circle.transports] == [1, 0, 0]
    before = fake.num_calls("ncclCommInitRankConfig")
    for work in send_one(circle, 2)[:2]:
        work.wait()
    assert fake.num_calls("ncclCommInitRankConfig") == before + 2


def test_what_is_sent_in_pieces_gives_its_memory_back(fake: Fake, folder: Path) -> None:
    before = fake.alive()
    circle = Circle(Medium.FAKE_NCCL, "aab", folder)
    one, other, _ = circle.open(1)
    rooms = [circle.room(size) for size in (5, 400_000, 299_995)]
    works = [other.recv(rooms, frm=0, tag=1), one.send(circle.place(some_bytes(NUM_BYTES)), to=1, tag=1)]
    for work in works:
        work.wait()
    assert b"".join(map(circle.fetch, rooms)) == some_bytes(NUM_BYTES).tobytes()
    assert fake.alive()["memory"] == before["memory"] + 1
    circle.close()
    assert fake.alive() == before


def test_a_device_that_stands_still_fails_both_ends_in_time(hasty: Circle, fake: Fake) -> None:
    before = fake.alive()
    fake.stall(True)
    sent, taken, _ = send_one(hasty, 1)
    for work in (taken, sent):
        with pytest.raises(TransferFailed, match=r"nothing comes|does not take|gave up|closed by the peer"):
            work.wait()
    for channel in hasty.open(1):
        channel.close()
    assert fake.alive() == before, "an aborted communicator leaves something behind"
    fake.stall(False)
    sent, taken, room = send_one(hasty, 2)
    taken.wait()
    sent.wait()
    assert hasty.fetch(room) == some_bytes(NUM_BYTES).tobytes()


def test_memory_that_a_device_does_not_let_go_of_is_not_given_back(hasty: Circle, fake: Fake) -> None:
    before = fake.alive()
    fake.stall(True)
    fake.stick(True)
    sent, taken, _ = send_one(hasty, 1)
    for work in (taken, sent):
        with pytest.raises(TransferFailed):
            work.wait()
    for channel in hasty.open(1):
        channel.close()
    assert fake.alive()["stream"] > before["stream"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("ncclGetUniqueId", 2, r"ncclGetUniqueId failed: fake NCCL error \(2\)"),
        ("ncclCommInitRankConfig", 5, r"ncclCommInitRankConfig failed: fake NCCL error \(5\)"),
        ("ncclSend", 3, r"chain \(0, 1\): ncclSend failed: fake NCCL error \(3\)"),
        ("ncclRecv", 3, r"chain \(0, 1\): ncclRecv failed"),
        ("ncclGroupEnd", 1, r"ncclGroupEnd failed"),
        ("asynchronously", REMOTE_ERROR, r"a communicator failed: remote process exited"),
        ("cudaEventRecord", 700, r"cudaEventRecord failed: fake CUDA error \(700\)"),
        ("cudaStreamCreateWithFlags", 2, r"cudaStreamCreateWithFlags failed"),
    ],
)
def test_an_error_of_a_library_ends_the_channel_in_its_words(
    circle: Circle, fake: Fake, name: str, code: int, words: str
) -> None:
    fake.fail(name, code)
    sent, taken, _ = send_one(circle, 1)
    said = []
    for work in (sent, taken):
        with pytest.raises(TransferFailed, match=words) as caught:
            work.wait()
        said.append(caught.value.why)
    assert sum("gave up" in why for why in said) == 1, "one end has the error, the other hears of it"
    for work in send_one(circle, 2)[:2]:
        work.wait()


def test_a_rendezvous_that_lost_the_words_is_said_so(library: ctypes.CDLL) -> None:
    class Forgetful:
        def put(self, key: str, value: bytes) -> None: ...
        def get(self, key: str) -> bytes | None:
            return None

        def drop(self, key: str) -> None: ...

    _check_rendezvous(library, Forgetful(), "its unique id is not at the rendezvous")


def test_a_rendezvous_that_fails_ends_the_channel(library: ctypes.CDLL) -> None:
    class Broken:
        def put(self, key: str, value: bytes) -> None:
            raise ConnectionError("no cluster")

        def get(self, key: str) -> bytes | None: ...
        def drop(self, key: str) -> None: ...

    _check_rendezvous(library, Broken(), "ConnectionError: no cluster")


def test_nothing_is_left_at_the_rendezvous(library: ctypes.CDLL) -> None:
    rendezvous = LocalRendezvous()
    transports = _pair(library, rendezvous)
    for work in _send_between(transports):
        work.wait()
    assert rendezvous._words == {}
    _close(transports)


def test_members_with_other_slices_are_told_so(library: ctypes.CDLL) -> None:
    transports = _pair(library, LocalRendezvous(), slice_bytes=(2**20, 2**21))
    for work in _send_between(transports):
        with pytest.raises(TransferFailed, match="slice_bytes must be the same at all"):
            work.wait()
    _close(transports)


def test_memory_of_another_kind_or_device_is_refused(circle: Circle) -> None:
    channel = circle.open(1)[0]
    with pytest.raises(InvalidInput, match="memory of device 0, this is a ndarray"):
        channel.send(np.zeros(5), to=1, tag=1)
    with pytest.raises(InvalidInput, match="memory is of device 1, the transport of 0"):
        channel.send(replace(circle.room(5), device_ordinal=1), to=1, tag=1)


@pytest.mark.parametrize("kind", [Kind.WANTED, Kind.STARTS])
def test_a_word_that_makes_no_sense_ends_the_channel(circle: Circle, kind: Kind) -> None:
    work = circle.open(1)[0].recv(circle.room(5), frm=1, tag=1)
    link = circle.intruder(1, 1)
    speaker = Speaker(link, epoch=1, lost=lambda why: None)
    chain = (1, 0) if kind is Kind.WANTED else (2, 1, 0)
    speaker.say(Word(kind, chain, 1, 5, 2**18, bytes(16)))
    with pytest.raises(TransferFailed, match="that is not its part"):
        work.wait()


@pytest.mark.parametrize("version", ["21705", "30000"])
def test_a_version_that_is_not_known_is_refused(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("FAKE_NCCL_VERSION", version)
    with pytest.raises(RuntimeFailure, match=f"is NCCL {version}; this build knows 21800"):
        Nccl(library)


def test_an_old_cuda_is_refused(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CUDA_VERSION", "10020")
    with pytest.raises(RuntimeFailure, match="version 10020"):
        Cuda(library)


def test_another_library_under_the_name_is_refused() -> None:
    with pytest.raises(RuntimeFailure, match="has no ncclGetVersion"):
        Nccl(ctypes.CDLL(None))


def test_a_device_that_is_not_there_is_said_so(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"rendezvous": LocalRendezvous(), "cuda": Cuda(library), "nccl": Nccl(library)}
    with pytest.raises(RuntimeFailure, match="device 8 is none of the 8"):
        NcclTransport(device_ordinal=8, **parts)
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "0")
    with pytest.raises(RuntimeFailure, match="no CUDA-capable device is detected"):
        NcclTransport(**parts)


def close_in_turn(channels: list) -> None:
    for channel in channels:
        channel.close()


def _check_rendezvous(library: ctypes.CDLL, rendezvous: Any, words: str) -> None:
    transports = _pair(library, rendezvous)
    for work in _send_between(transports):
        with pytest.raises(TransferFailed, match=words):
            work.wait()
    _close(transports)


def _pair(
    library: ctypes.CDLL, rendezvous: Any, *, slice_bytes: tuple[int, int] = (2**20, 2**20)
) -> list[NcclTransport]:
    cuda, nccl = Cuda(library), Nccl(library)
    return [
        NcclTransport(rendezvous=rendezvous, cuda=cuda, nccl=nccl, slice_bytes=size) for size in slice_bytes
    ]


def _send_between(transports: list[NcclTransport]) -> list[Any]:
    group = tuple(transport.endpoint() for transport in transports)
    one, other = (transport.open(group, 1) for transport in transports)
    array = some_bytes(100)
    buffer = DeviceBuffer(array.ctypes.data, array.nbytes, 0, array)
    return [one.send(buffer, to=1, tag=1), other.recv(buffer, frm=0, tag=1)]


def _close(transports: list[NcclTransport]) -> None:
    for transport in transports:
        transport.close()
