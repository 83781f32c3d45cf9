"""The cursor over a trace's requests."""

from __future__ import annotations

import numpy as np
import pytest

import simulator.arrivals
from simulator.arrivals import Arrivals
from vocabulary.trace import Trace
from vocabulary.units import NEVER_S


def _rows(trace: Trace) -> list[tuple[int, float, int]]:
    cursor, rows = Arrivals(trace), []
    while cursor.next_s < NEVER_S:
        rows.append((cursor.row, cursor.next_s, cursor.model_index))
        cursor.advance()
    return rows


@pytest.mark.parametrize("num_requests", [0, 1, 3, 4, 5, 8, 9])
def test_every_request_comes_once_whatever_the_size_of_a_block(num_requests: int, monkeypatch) -> None:
    monkeypatch.setattr(simulator.arrivals, "_BLOCK_ROWS", 4)
    arrival_s, index = np.arange(num_requests) / 8, (np.arange(num_requests) % 3).astype(np.int32)
    expected = list(zip(range(num_requests), arrival_s.tolist(), index.tolist(), strict=True))
    assert _rows(Trace(arrival_s, index, ("a", "b", "c"))) == expected


def test_after_the_last_request_comes_one_that_never_does() -> None:
    cursor = Arrivals(Trace(np.array([1.5]), np.array([0], dtype=np.int32), ("a",)))
    cursor.advance()
    assert cursor.next_s == NEVER_S
