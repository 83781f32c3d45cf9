"""Sharded arrays between members over NCCL: device to device, here over a fake library and CPU devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import pytest

from resharding.executor import carry_on_device
from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.transport.cuda_library import Cuda
from resharding.transport.nccl import NcclTransport
from resharding.transport.nccl_library import Nccl
from resharding.transport.rendezvous import LocalRendezvous
from tests.resharding.array_errands import Journey, Layout, faults, whole
from tests.resharding.transport.fake_nccl import compiled, load

FOUR = (("x", 2), ("y", 2))
ROWS = Layout(0, 0, FOUR, ("x", None))
COLUMNS_OF_3 = Layout(0, 0, FOUR, (None, "x", None))
# Of member i the first: bytes come and go through it.
DEVICES = (0, 4, 6)


@pytest.fixture(scope="module")
def transports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NcclTransport]]:
    folder = tmp_path_factory.mktemp("nccl")
    if (reason := compiled(folder)) is not None:
        pytest.skip(reason)
    made = _transports(folder)
    yield made
    for transport in made:
        transport.close()


def test_arrays_of_other_shardings_arrive_bit_for_bit(transports: list[NcclTransport]) -> None:
    pair = (("t", 2),)
    journeys = [
        Journey((8, 12), "float32", ROWS, (Layout(1, 4, pair, (None, "t")),)),
        Journey((4, 6), "bool", Layout(0, 0, FOUR, ("x", "y")), (Layout(1, 4, pair, (None, None)),)),
        Journey((6, 3), "int32", Layout(1, 4, pair, ("t", None)), (Layout(2, 6, pair, (None, None)),)),
        Journey((2, 2, 5), "float16", Layout(2, 6, pair, ("t", None, None)), (COLUMNS_OF_3,)),
    ]
    assert _carried(transports, journeys, epoch=1) == []


def test_new_replicas_get_one_array_at_once_and_pass_it_on(transports: list[NcclTransport]) -> None:
    replicas = (Layout(1, 4, (("t", 2),), ("t", None)), Layout(2, 6, (("t", 2),), (None, "t")))
    assert _carried(transports, [Journey((64, 96), "bfloat16", ROWS, replicas)], epoch=2) == []


def test_what_a_member_has_already_stays_there(transports: list[NcclTransport]) -> None:
    columns = Layout(0, 0, FOUR, (None, "y"))
    assert _carried(transports, [Journey((8, 8), "int8", ROWS, (columns,))], epoch=3) == []


def _transports(folder: Path) -> list[NcclTransport]:
    library, rendezvous = load(folder), LocalRendezvous()
    cuda, nccl = Cuda(library), Nccl(library)
    devices = jax.devices("cpu")
    return [
        NcclTransport(
            rendezvous=rendezvous,
            device_ordinal=devices[number].local_hardware_id or 0,
            cuda=cuda,
            nccl=nccl,
        )
        for number in DEVICES
    ]


def _carried(transports: list[NcclTransport], journeys: Sequence[Journey], *, epoch: int) -> list[str]:
    """Member i is host i of the plan; what differs anywhere from what was to come."""
    with ThreadPoolExecutor(len(transports)) as threads:
        found = [
            threads.submit(_carry, transports, place, journeys, epoch) for place in range(len(transports))
        ]
        return [words for one in found for words in one.result()]


def _carry(transports: list[NcclTransport], place: int, journeys: Sequence[Journey], epoch: int) -> list[str]:
    moves = [journey.move() for journey in journeys]
    sources = {
        tensor: jax.device_put(whole(journey, tensor), journey.source.sharding())
        for tensor, journey in enumerate(journeys)
        if journey.source.member == place
    }
    targets = {
        (tensor, number): jax.ShapeDtypeStruct(journey.shape, journey.dtype, sharding=layout.sharding())
        for tensor, journey in enumerate(journeys)
        for number, layout in enumerate(journey.targets)
        if layout.member == place
    }
    channel = transports[place].open(tuple(one.endpoint() for one in transports), epoch)
    arrived = carry_on_device(
        plan_transfer(moves, Network(1.25e9)),
        moves,
        host=place,
        sources=sources,
        targets=targets,
        channel=channel,
        members={number: number for number in range(len(transports))},
        device=jax.devices("cpu")[DEVICES[place]],
    )
    channel.close()
    return [words for target, array in arrived.items() for words in faults(array, target, targets, journeys)]
