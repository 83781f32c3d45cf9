"""Ports that work one way: an odd number of hosts cannot all be busy."""

from __future__ import annotations

import pytest

from resharding.bound import best_split
from resharding.classes import TransferClass
from resharding.network import Network
from resharding.odd_sets import odd_set_bytes


@pytest.mark.parametrize(
    ("classes", "num_bytes"),
    [
        ([], 0),
        ([((0,), (1,), 8)], 8),
        ([((0,), (1, 2), 8)], 16),  # three hosts: one message at a time
        ([((0,), (1,), 8), ((1,), (2,), 8), ((2,), (0,), 8)], 24),  # a triangle
        ([((0,), (1,), 8), ((2,), (3,), 8)], 8),  # both at once
        ([((0,), (1, 2, 3, 4), 8)], 16),  # five hosts: two at once
    ],
)
def test_bytes_that_stay_in_an_odd_set_wait_for_each_other(classes: list, num_bytes: int) -> None:
    made = [TransferClass(senders, receivers, size, ()) for senders, receivers, size in classes]
    assert odd_set_bytes(made) == num_bytes


def test_with_many_classes_not_all_sets_are_tried_and_the_answer_is_a_bound_still() -> None:
    pairs = [TransferClass((host,), (host + 1,), 8, ()) for host in range(12)]
    assert odd_set_bytes(pairs) == pytest.approx(96 / 6)


def test_only_ports_that_work_one_way_at_a_time_are_bound_by_it() -> None:
    fan = [TransferClass((0,), (1, 2), 8, ())]
    assert best_split(fan, Network(1.0)).seconds == pytest.approx(8)
    assert best_split(fan, Network(1.0, is_full_duplex=False)).seconds == pytest.approx(16)
