"""Between real processes: what arrives, and what happens when one is killed or stopped in the middle."""

from __future__ import annotations

import random
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from resharding.moves import Move
from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.transport.errors import TransferFailed
from tests.resharding.drawn_moves import placed, random_move
from tests.resharding.transport import errands
from tests.resharding.transport.crew import Crew, Member
from tests.resharding.transport.rigs import Medium, Outfit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc as on Linux")

# How long nothing may happen: a loaded machine takes turns of a second or two. Half of what a transfer takes.
TIMEOUT_S = 4.0
# Slow enough to be killed in the middle, by a test that is slow itself.
SLOW_BYTES_PER_S = 1e6
LONG_BYTES = 2**23
# A GPU cannot be slowed down.
LONG_ON_GPU_BYTES = 2**29
NCCLS = {"fake NCCL": Medium.FAKE_NCCL, "NCCL": Medium.NCCL}


@pytest.fixture(scope="module")
def crew(folder: Path) -> Iterator[Crew]:
    """Two of one host, which share memory, and two of their own."""
    with Crew(*(Outfit(Medium.HOST, host, folder) for host in "abac")) as made:
        yield made


def test_all_of_a_chain_get_the_same_bytes(crew: Crew) -> None:
    _check_chain(crew)


@pytest.mark.parametrize("medium", NCCLS.values(), ids=NCCLS)
def test_nccl_broadcasts_between_processes(medium: Medium, ready, folder: Path) -> None:
    ready(medium)
    with Crew(*(Outfit(medium, host, folder) for host in "abb")) as crew:
        _check_chain(crew)


def test_random_moves_of_several_tensors_arrive_as_the_oracle_says(crew: Crew) -> None:
    rng = random.Random(5)
    network = Network(1.25e9, latency_s=10e-6)
    for epoch in range(10, 15):
        moves = [_small_move(rng) for _ in range(3)]
        plan = plan_transfer(moves, network)
        assert crew.all(errands.reshard, crew.group, epoch, moves, plan) == [[]] * 4


def test_replicas_start_from_the_weights_of_another(crew: Crew) -> None:
    moves = [_weights()]
    plan = plan_transfer(moves, Network(1.25e9, latency_s=10e-6))
    files = []
    for epoch in range(20, 23):
        assert crew.all(errands.reshard, crew.group, epoch, moves, plan) == [[]] * 4
        files.append(crew.all(errands.open_files))
    assert files[0] == files[-1], "every channel leaves files open"


def test_a_host_with_another_plan_is_refused_and_the_next_transfer_works(crew: Crew) -> None:
    moves = [_weights()]
    plan = plan_transfer(moves, Network(1.25e9, latency_s=10e-6))
    other_plan = plan_transfer(moves, Network(1.25e9, latency_s=1e-3))
    assert plan != other_plan
    for place, member in enumerate(crew.members):
        member.start(errands.reshard, crew.group, 30, moves, other_plan if place == 1 else plan)
    said = [_failure(member).message for member in crew.members]
    assert any("(of the same plan)" in message for message in said), said
    assert crew.all(errands.reshard, crew.group, 31, moves, plan) == [[]] * 4


@pytest.mark.parametrize(
    ("medium", "victim", "number"),
    [
        (Medium.HOST, 0, signal.SIGKILL),
        (Medium.HOST, 1, signal.SIGKILL),
        (Medium.HOST, 1, signal.SIGSTOP),
        (Medium.FAKE_NCCL, 0, signal.SIGKILL),
        (Medium.FAKE_NCCL, 1, signal.SIGSTOP),
        (Medium.NCCL, 0, signal.SIGKILL),
        (Medium.NCCL, 1, signal.SIGSTOP),
    ],
    ids=lambda value: getattr(value, "name", str(value)).lower(),
)
def test_a_member_that_dies_or_stalls_fails_the_transfer_on_every_side(
    medium: Medium, victim: int, number: signal.Signals, ready, folder: Path
) -> None:
    ready(medium)
    before = errands.shared_names()
    num_bytes = LONG_ON_GPU_BYTES if medium is Medium.NCCL else LONG_BYTES
    with Crew(*(Outfit(medium, host, folder, TIMEOUT_S, SLOW_BYTES_PER_S) for host in "abc")) as crew:
        rest = tuple(place for place in range(3) if place != victim)
        for member in crew.members:
            member.start(errands.multicast, crew.group, 1, num_bytes, 2**17)
        assert [member.result() for member in crew.members[1:]] == ["first chunk"] * 2
        crew.members[victim].signal(number)
        errors = [_failure(crew.members[place]) for place in rest]
        # Down a chain of NCCL's own all stand still together: then the chain is what can be named.
        named = f"member {victim} ", "down chain (0, 1, 2)"
        assert any(name in str(error) for error in errors for name in named)
        assert all(error.done_bytes < error.total_bytes == num_bytes for error in errors)
        assert all(error.timeout_s == TIMEOUT_S and error.hint for error in errors)
        _check_the_rest_goes_on(crew, rest=rest)
        if number == signal.SIGSTOP:
            crew.members[victim].signal(signal.SIGCONT)
            assert _failure(crew.members[victim]).tag == 1
    assert errands.shared_names() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_shared_memory_outlives_no_reader(number: signal.Signals, folder: Path) -> None:
    before = errands.shared_names()
    with Crew(*(Outfit(Medium.HOST, "a", folder, TIMEOUT_S) for _ in range(3))) as crew:
        _half_way(crew)[1].signal(number)
        error = _failure(crew.members[0])
        assert (error.tag, error.total_bytes) == (2, LONG_BYTES)
        assert error.done_bytes < error.total_bytes
        _check_the_rest_goes_on(crew, rest=(0, 2))
    assert errands.shared_names() == before


def test_what_a_dead_sender_shared_is_not_taken_for_whole(folder: Path) -> None:
    before = errands.shared_names()
    with Crew(*(Outfit(Medium.HOST, "a", folder, TIMEOUT_S) for _ in range(3))) as crew:
        sender, reader = _half_way(crew)
        sender.signal(signal.SIGKILL)
        sender.join()
        reader.start(errands.take_second, crew.group, 1, LONG_BYTES)
        assert "member 0 " in str(_failure(reader))
        _check_the_rest_goes_on(crew, rest=(1, 2))
    assert errands.shared_names() == before


def _check_chain(crew: Crew) -> None:
    expected = zlib.crc32(errands.some_bytes(1_000_001))
    for member in crew.members:
        member.start(errands.multicast, crew.group, 1, 1_000_001, 250_000)
    for member in crew.members[1:]:
        assert member.result() == "first chunk"
    assert {member.result() for member in crew.members} == {expected}


def _half_way(crew: Crew) -> tuple[Member, Member]:
    """Members 0 and 1 between two transfers: of the second, 0 has shared what 1 has no memory for yet."""
    sender, reader, _ = crew.members
    sender.start(errands.send_two, crew.group, 1, LONG_BYTES)
    reader.start(errands.take_one, crew.group, 1, LONG_BYTES)
    assert (sender.result(), reader.result()) == ("both under way", "first transfer")
    return sender, reader


def _failure(member: Member) -> TransferFailed:
    with pytest.raises(TransferFailed) as caught:
        member.result()
    return caught.value


def _check_the_rest_goes_on(crew: Crew, *, rest: tuple[int, ...]) -> None:
    members = [crew.members[place] for place in rest]
    group = tuple(crew.group[place] for place in rest)
    for member in members:
        member.start(errands.multicast, group, 2, 10_000, 2**20)
    assert [member.result() for member in members[1:]] == ["first chunk"] * (len(rest) - 1)
    assert {member.result() for member in members} == {zlib.crc32(errands.some_bytes(10_000))}


def _weights() -> Move:
    """From host 0 to replicas on all others, sharded in other ways."""
    targets = tuple(
        placed((1, 2), spec, (host,)) for host, spec in ((1, ("", "d")), (2, ("d", "")), (3, ("", "")))
    )
    return Move((301, 400), 2, placed((1, 2), ("", "d"), (0,)), targets)


def _small_move(rng: random.Random) -> Move:
    """Random, on at most four hosts."""
    while True:
        one = random_move(rng, is_shared=True, sizes=(9, 90))
        hosts = {host for placed in (one.source, *one.targets) for host, _ in placed.devices}
        if len(hosts) <= 4:
            return one
