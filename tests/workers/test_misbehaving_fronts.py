"""Front ends that send nonsense, stop in the middle, flood, or do not read: others are served on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.group import GroupScheduler
from tests.workers.emulated_group import KEY, spec_of
from tests.workers.group_visits import INPUT, PATIENCE_S, visit
from vocabulary.numpy_tensors import tensor_of
from vocabulary.sampling import GREEDY
from vocabulary.tensors import Tensor
from vocabulary.units import NEVER_S
from workers.emulated_engine import EmulatedEngine
from workers.frames import (
    Beat,
    Done,
    Frame,
    GenerationAsk,
    Hello,
    Run,
    Withdrawn,
    encode_frame,
    tensor_headers,
)
from workers.host import WorkerHost
from workers.link import SocketLink, memory_pair
from workers.server import GroupServer

WRONG_BYTES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3)
RUN = Run(1, "m", 0.0, NEVER_S, NEVER_S, tensor_headers(INPUT))


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[WorkerHost]:
    folder: Path = tmp_path_factory.mktemp("group")
    made = WorkerHost(
        spec_of(
            folder, {"m": (0.001, 0.001), "slow": (0.3, 0.1), "chat": (0.001, 0.001)}, generating=("chat",)
        )
    )
    made.start()
    yield made
    made.stop()


def raw(host: WorkerHost) -> socket.socket:
    """A connection that says nothing of itself."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE_S)
    made.connect(host.address.socket_path)
    return made


def framed(header: object, tensors: tuple[Tensor, ...] = ()) -> bytes:
    return b"".join(encode_frame(header, tensors))


def is_cut_off(connection: socket.socket) -> bool:
    """Whether the host ends the connection, after whatever it has to say."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionError:
        pass
    connection.close()
    return True


async def serves(host: WorkerHost, *, front: int = 1) -> bool:
    async with visit(host.address, KEY, front=front) as visitor:
        return (await visitor.answer(7)).header.fate == "served"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "words",
    [
        framed(Hello("a guess", 0.0, 1)),
        framed(RUN, INPUT),
        framed(Beat(1, 1, 1, ())),
        b"GET / HTTP/1.1\r\nHost: worker\r\n\r\n",
        b"\xff" * 100_000,
        b"\x00\x00\x00\x10" + b"\x00" * 100_000,
    ],
    ids=["wrong key", "no greeting", "a worker's frame", "HTTP", "noise", "a large frame before the key"],
)
async def test_who_does_not_greet_as_a_front_end_is_cut_off_and_takes_nobodys_place(
    host: WorkerHost, words: bytes
):
    async with visit(host.address, KEY, front=1) as one:
        await one.answer(1)
        stranger = raw(host)
        stranger.sendall(words)
        assert await asyncio.to_thread(is_cut_off, stranger)
        assert (await one.answer(2)).header.fate == "served"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "words",
    [
        framed(RUN, INPUT) * 2,
        framed(Done(1, "served", 0.0, 0.0, 1, "", ())),
        framed(Hello(KEY, 0.0, 3)),
        framed(RUN)[:-3] + b"abc",
        framed(Run(1, "m", 0.0, 1.0, 1.0, ()), INPUT),
    ],
    ids=[
        "twice the same request",
        "a worker's frame",
        "a second greeting",
        "a wrong byte",
        "more than it says",
    ],
)
async def test_what_no_front_end_says_ends_its_link_and_no_other(host: WorkerHost, words: bytes):
    async with visit(host.address, KEY, front=1) as other:
        wrong = raw(host)
        wrong.sendall(framed(Hello(KEY, 0.0, 2)) + words)
        assert await asyncio.to_thread(is_cut_off, wrong)
        assert (await other.answer(2)).header.fate == "served"


@pytest.mark.asyncio
async def test_a_link_that_is_cut_in_the_middle_of_a_frame_withdraws_what_came_before(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as other:
        cut = raw(host)
        slow = Run(50, "slow", 0.0, NEVER_S, NEVER_S, tensor_headers(INPUT))
        next_one = Run(51, "slow", 0.0, NEVER_S, NEVER_S, tensor_headers(INPUT))
        cut.sendall(framed(Hello(KEY, 0.0, 2)) + framed(slow, INPUT) + framed(next_one, INPUT)[:-2])
        while (await other.next_of(Beat)).num_running != 1:
            pass
        cut.close()
        assert (await other.answer(2)).header.fate == "served"
        while (beat := await other.next_of(Beat)).num_running:
            pass
        assert beat.num_waiting == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [{"max_held": 20}, {"max_held_bytes": 20 * 4}], ids=["number", "bytes"])
async def test_a_front_end_that_floods_is_refused_beyond_a_limit(tmp_path: Path, limit: dict[str, int]):
    spec = spec_of(tmp_path, {"slow": (0.3, 0.1)})
    loop = asyncio.get_running_loop()
    machine = GroupScheduler(spec.group, catalog=spec.catalog, policy=spec.policy)
    engine = EmulatedEngine(spec.group, catalog=spec.catalog, loop=loop)
    server = GroupServer(machine, engine, loop=loop, soon=loop.call_soon, **limit)
    heard: list[Frame] = []
    _, up = memory_pair(heard.append, server.receive)
    server.attach(up)
    for number in range(100):
        server.receive(Frame(Run(number, "slow", loop.time(), NEVER_S, NEVER_S, ()), INPUT))
    refused = [one.header for one in heard]
    assert [(one.request_id, one.fate) for one in refused] == [(n, "queue_full") for n in range(20, 100)]
    assert {one.error for one in refused} == {"the group holds 20 requests with 80 bytes"}
    for number in range(20):
        server.receive(Frame(Withdrawn(number)))
    while len(heard) < 100:
        await asyncio.sleep(0)
    server.receive(Frame(Run(200, "slow", loop.time(), NEVER_S, NEVER_S, ()), INPUT))
    assert len(heard) == 100


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("ask", "inputs", "words"),
    [
        ((3, 1), (), "its prompt is not one tensor of at least one token"),
        ((3, 1), (tensor_of("input_ids", np.zeros(0, np.int32)),), "its prompt is not one tensor"),
        ((3, 1), (Tensor("input_ids", "INT32", (1,), b"\x01\x00\x00"),), "its prompt is not one tensor"),
        ((0, 1), (tensor_of("input_ids", np.ones(2, np.int32)),), "1 answers of 0 tokens cannot be made"),
        ((3, 0), (tensor_of("input_ids", np.ones(2, np.int32)),), "0 answers of 3 tokens cannot be made"),
    ],
)
async def test_a_prompt_that_cannot_be_is_refused_alone(host: WorkerHost, ask, inputs, words: str):
    async with visit(host.address, KEY, front=1) as visitor:
        generation = GenerationAsk(ask[0], 0, ask[1], GREEDY, NEVER_S, NEVER_S, "", None, ())
        for number, model, error in ((1, "chat", words), (2, "m", "m does not generate")):
            run = Run(number, model, 0.0, NEVER_S, NEVER_S, tensor_headers(inputs), generation)
            visitor.link.send(run, inputs)
            visitor.link.flush()
            done = await visitor.next_of(Done)
            assert (done.request_id, done.fate) == (number, "invalid")
            assert error in done.error
        assert (await visitor.answer(3)).header.fate == "served"


@pytest.mark.asyncio
async def test_times_that_are_no_numbers_are_refused(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as visitor:
        nan = float("nan")
        for number, times in enumerate(
            ((nan, 1.0, 1.0), (NEVER_S, 1.0, 1.0), (0.0, nan, 1.0), (0.0, 1.0, nan))
        ):
            visitor.link.send(Run(number, "m", *times, tensor_headers(INPUT)), INPUT)
            visitor.link.flush()
            assert (await visitor.next_of(Done)).error == "its times are no numbers"


@pytest.mark.asyncio
async def test_a_peer_that_does_not_read_is_cut_off_before_it_takes_the_memory():
    ours, theirs = socket.socketpair()
    lost: list[str] = []
    loop = asyncio.get_running_loop()
    gone = loop.create_future()

    def lose(why: str) -> None:
        lost.append(why)
        gone.set_result(None)

    _, link = await loop.create_unix_connection(
        lambda: SocketLink(print, lose, max_unsent_bytes=2**20), sock=ours
    )
    tensor = Tensor("x", "UINT8", (2**18,), bytes(2**18))
    num_sent = 0
    while link.is_open:
        link.send(Done(1, "served", 0.0, 0.0, 1, "", tensor_headers((tensor,))), (tensor,))
        link.flush()
        num_sent += 1
        assert num_sent < 100
    async with asyncio.timeout(PATIENCE_S):
        await gone
    assert len(lost) == 1
    assert lost[0].startswith("the peer does not read: ")
    theirs.close()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3),
    st.integers(1, 9),
)
def test_whatever_bytes_are_wrong_the_host_goes_on(host: WorkerHost, changes, num_runs: int):
    stream = bytearray(
        framed(Hello(KEY, 0.0, 5))
        + b"".join(framed(Run(n, "m", 0.0, 1.0, 1.0, tensor_headers(INPUT)), INPUT) for n in range(num_runs))
        + framed(Withdrawn(0))
    )
    for place, change in changes:
        stream[place % len(stream)] ^= change
    connection = raw(host)
    try:
        connection.sendall(stream)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # Cut off already.
    assert is_cut_off(connection)
    assert asyncio.run(serves(host))
