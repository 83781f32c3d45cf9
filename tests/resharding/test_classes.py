"""What crosses between hosts: every byte that a target host lacks, once, in the class of who has it."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from resharding.classes import traffic_of
from resharding.moves import Move
from tests.resharding.drawn_moves import move, placed, random_move
from vocabulary.errors import InvalidInput


@pytest.mark.parametrize("seed", range(40))
def test_pieces_are_what_each_host_lacks_by_who_holds_it(seed: int) -> None:
    one = random_move(random.Random(seed), is_shared=True, sizes=(1, 9))
    found: dict[tuple[int, ...], Counter] = {}
    for transfer_class in traffic_of([one]).classes:
        size = sum(piece.box.volume for piece in transfer_class.pieces) * one.item_bytes
        assert size == transfer_class.num_bytes
        for piece in transfer_class.pieces:
            for index in _indices(piece.box):
                assert index not in found, "an element lies in two pieces"
                found[index] = (transfer_class.senders, transfer_class.receivers)
    assert found == _expected(one)


def test_bytes_that_a_host_holds_already_cost_it_nothing() -> None:
    stays = move((2, 2), (2, 2), (8, 8), ("h", ""), ("h", "d"), shared=2)
    assert traffic_of([stays]).classes == ()
    assert set(traffic_of([stays]).device_bytes.values()) == {0}


def test_tensors_of_one_kind_share_their_classes() -> None:
    one = move((2, 4), (3, 4), (32, 32), ("h", ""), ("", "d"))
    single, double = traffic_of([one]), traffic_of([one, one])
    assert [(c.senders, c.receivers) for c in single.classes] == [
        (c.senders, c.receivers) for c in double.classes
    ]
    assert [2 * c.num_bytes for c in single.classes] == [c.num_bytes for c in double.classes]


def test_a_class_knows_whether_several_devices_of_a_host_want_the_same_bytes() -> None:
    whole = move((1, 1), (1, 4), (8,), ("",), ("",))
    cut = move((1, 1), (1, 4), (8,), ("",), ("d",))
    assert [one.fans_out for one in traffic_of([whole]).classes] == [True]
    assert [one.fans_out for one in traffic_of([cut]).classes] == [False]


def test_several_targets_are_receivers_of_one_class() -> None:
    source = placed((1, 2), ("d",), (0,))
    targets = tuple(placed((1, 2), ("d",), (host,)) for host in (1, 2, 3))
    (only,) = traffic_of([Move((6,), 2, source, targets)]).classes
    assert (only.senders, only.receivers, only.num_bytes) == ((0,), (1, 2, 3), 12)


def test_a_mesh_has_a_device_for_every_index_of_its_sharding() -> None:
    with pytest.raises(InvalidInput, match="a mesh of 2 x 1 on 1 devices"):
        placed((2, 1), ("h",), (0,))


def test_devices_that_overlap_are_told_which() -> None:
    with pytest.raises(InvalidInput, match="1 of 3 devices of a mesh are named twice: device 0 of host 4"):
        placed((3, 1), ("h",), (4, 5, 4))
    one = placed((1, 2), ("d",), (0,))
    with pytest.raises(InvalidInput, match="2 of 4 devices of 2 sources are named twice"):
        traffic_of([Move((6,), 2, one, (placed((1, 1), ("",), (1,)),), (one,))])


def test_replicas_of_several_layouts_are_senders_of_what_each_holds() -> None:
    halves, whole = placed((2, 1), ("h",), (0, 1)), placed((1, 1), ("",), (2,))
    target = placed((1, 1), ("",), (3,))
    found = traffic_of([Move((6,), 2, halves, (target,), (whole,))]).classes
    assert [(one.senders, one.num_bytes) for one in found] == [((0, 2), 6), ((1, 2), 6)]


def _expected(one: Move) -> dict[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Element by element."""
    holders, wanted = {}, {}
    for device, box in one.source.boxes(one.shape).items():
        for index in _indices(box):
            holders.setdefault(index, set()).add(device[0])
    for target in one.targets:
        for device, box in target.boxes(one.shape).items():
            for index in _indices(box):
                wanted.setdefault(index, set()).add(device[0])
    found = {index: (holders[index], hosts - holders[index]) for index, hosts in wanted.items()}
    return {i: (tuple(sorted(a)), tuple(sorted(b))) for i, (a, b) in found.items() if b}


def _indices(box) -> list[tuple[int, ...]]:
    return [tuple(int(i) + s for i, s in zip(at, box.start, strict=True)) for at in np.ndindex(box.shape)]
