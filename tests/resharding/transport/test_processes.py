"""Between real processes: what arrives, and what happens when one is killed or stopped in the middle."""

from __future__ import annotations

import random
import signal
import sys
import zlib
from collections.abc import Iterator

import pytest

from resharding.moves import Move
from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.transport.errors import TransferFailed
from tests.resharding.drawn_moves import placed, random_move
from tests.resharding.transport import errands
from tests.resharding.transport.crew import Crew, Member

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc as on Linux")

HOSTS = {"one host": ("a", "a", "a", "a"), "three hosts": ("a", "b", "a", "c")}


@pytest.fixture(scope="module", params=HOSTS.values(), ids=HOSTS)
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    with Crew(*request.param) as made:
        yield made


def test_all_of_a_chain_get_the_same_bytes(crew: Crew) -> None:
    expected = zlib.crc32(errands.some_bytes(3_000_001))
    for member in crew.members:
        member.start(errands.multicast, crew.group, 1, 3_000_001, 250_000)
    assert [member.result() for member in crew.members[1:]] == ["first chunk"] * 3
    assert [member.result() for member in crew.members] == [expected] * 4


def test_random_moves_of_several_tensors_arrive_as_the_oracle_says(crew: Crew) -> None:
    rng = random.Random(5)
    network = Network(1.25e9, latency_s=10e-6)
    for epoch in range(10, 16):
        moves = [_small_move(rng) for _ in range(3)]
        plan = plan_transfer(moves, network)
        assert crew.all(errands.reshard, crew.group, epoch, moves, plan) == [[]] * 4


def test_replicas_start_from_the_weights_of_another(crew: Crew) -> None:
    source = placed((1, 2), ("", "d"), (0,))
    targets = tuple(
        placed((1, 2), spec, (host,)) for host, spec in ((1, ("", "d")), (2, ("d", "")), (3, ("", "")))
    )
    moves = [Move((301, 400), 2, source, targets)]
    plan = plan_transfer(moves, Network(1.25e9, latency_s=10e-6))
    files = []
    for epoch in range(20, 23):
        assert crew.all(errands.reshard, crew.group, epoch, moves, plan) == [[]] * 4
        files.append(crew.all(errands.open_files))
    assert files[0] == files[-1], "every channel leaves files open"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_relay_that_dies_or_stalls_fails_the_transfer_on_every_side(number: signal.Signals) -> None:
    before = errands.shared_names()
    with Crew("a", "b", "c", "d", timeout_s=2.0, nics={0: 4e6}) as crew:
        others = [member for member in crew.members if member is not crew.members[1]]
        for member in crew.members:
            member.start(errands.multicast, crew.group, 1, 2**26, 2**18)
        assert [member.result() for member in crew.members[1:]] == ["first chunk"] * 3
        crew.members[1].signal(number)
        errors = [_failure(member) for member in others]
        assert "member 1 " in errors[0].peer
        assert all(0 < error.done_bytes < error.total_bytes == 2**26 for error in errors[1:])
        assert all(error.timeout_s == 2.0 and error.hint for error in errors)
        _check_the_rest_goes_on(crew, rest=(0, 2, 3))
        if number == signal.SIGSTOP:
            crew.members[1].signal(signal.SIGCONT)
            assert _failure(crew.members[1]).tag == 1
    assert errands.shared_names() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_shared_memory_outlives_no_reader(number: signal.Signals) -> None:
    before = errands.shared_names()
    with Crew("a", "a", "a", timeout_s=2.0) as crew:
        sender, reader, _ = crew.members
        sender.start(errands.send_two, crew.group, 1, 2**25)
        reader.start(errands.take_one, crew.group, 1, 2**25)
        assert (sender.result(), reader.result()) == ("both under way", "first transfer")
        reader.signal(number)
        error = _failure(sender)
        assert (error.tag, error.total_bytes) == (2, 2**25)
        assert error.done_bytes < error.total_bytes
        _check_the_rest_goes_on(crew, rest=(0, 2))
    assert errands.shared_names() == before


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


def _small_move(rng: random.Random) -> Move:
    """Random, on at most four hosts."""
    while True:
        one = random_move(rng, is_shared=True, sizes=(9, 90))
        hosts = {host for placed in (one.source, *one.targets) for host, _ in placed.devices}
        if len(hosts) <= 4:
            return one
