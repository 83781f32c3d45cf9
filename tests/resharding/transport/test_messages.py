"""The messages of a plan: what one host finds wrong, the others hear at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.transport.carry import Held, carry
from resharding.transport.errors import TransferFailed
from resharding.transport.messages import exchange
from tests.resharding.drawn_moves import move
from tests.resharding.transport.circle import KINDS, Circle

MOVES = [move((1, 1), (1, 1), (100, 100), ("", ""), ("", ""))]
PLAN = plan_transfer(MOVES, Network(1.25e9))


class Disk(Exception):
    """Nothing that a transport knows of."""


@pytest.fixture(params=["shared memory", "TCP"])
def circle(request: pytest.FixtureRequest, folder: Path) -> Iterator[Circle]:
    made = Circle(*KINDS[request.param], folder)
    yield made
    made.close()


def test_a_host_that_fails_for_reasons_of_its_own_ends_the_transfer_for_all(circle: Circle) -> None:
    channels = circle.open(1)
    heard: list[TransferFailed] = []

    def receive() -> None:
        tiles = {Held(0, (1, 0), 0): np.zeros((100, 100), np.int32)}
        try:
            carry(PLAN, MOVES, host=1, tiles=tiles, channel=channels[1], members={0: 0, 1: 1})
        except TransferFailed as failure:
            heard.append(failure)

    def fail(number: int) -> None:
        raise Disk(number)

    receiver = Thread(target=receive)
    receiver.start()
    with pytest.raises(Disk):
        exchange(
            PLAN,
            host=0,
            channel=channels[0],
            members={0: 0, 1: 1},
            first_tag=0,
            payload=fail,
            meanwhile=lambda: None,
        )
    receiver.join()
    assert "it was aborted here" in heard[0].message
    circle.exchange(circle.open(2))
