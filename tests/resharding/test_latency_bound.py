"""Messages that must follow each other."""

from __future__ import annotations

import pytest

from resharding.classes import TransferClass
from resharding.latency_bound import messages_in_a_row


@pytest.mark.parametrize(
    ("classes", "number"),
    [
        ([], 0),
        ([((0,), (1,))], 1),
        ([((0,), (1, 2))], 2),
        ([((0,), (1, 2, 3, 4, 5, 6, 7))], 3),  # 2, 4, 8 hosts know
        ([((0, 1), (2, 3))], 1),
        ([((0, 1), (2, 3, 4))], 2),
        ([((0,), (1,)), ((0,), (2,))], 2),  # one sends to two, of different tensors
        ([((0,), (2,)), ((1,), (2,))], 2),  # one hears from two
        ([((0, 1), (3,)), ((0, 2), (3,))], 1),  # from the same host
    ],
)
def test_as_many_as_doubling_needs(classes: list, number: int) -> None:
    made = [TransferClass(senders, receivers, 8, ()) for senders, receivers in classes]
    assert messages_in_a_row(made) == number
