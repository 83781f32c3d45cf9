"""Shared memory: handed out once, found again, and given back."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

from resharding.transport.arena import HAS_SHARED_MEMORY, SEGMENT_BYTES, Arena, map_segment
from resharding.transport.spans import bytes_of
from vocabulary.errors import RuntimeFailure

pytestmark = pytest.mark.skipif(not HAS_SHARED_MEMORY, reason="anonymous shared files need Linux")


def test_arrays_do_not_overlap_and_are_found() -> None:
    arena = Arena()
    arrays = [arena.empty((size,), np.float32) for size in (1, 1025, 0, 4096, 5)]
    for number, array in enumerate(arrays):
        array[:] = number
    assert [set(array.tolist()) for array in arrays] == [{0.0}, {1.0}, set(), {3.0}, {4.0}]
    places = [arena.find(bytes_of(array)) for array in arrays]
    assert len({place.offset for place in places if place}) == 5
    assert arena.find(np.zeros(4, np.uint8)) is None


def test_a_place_is_used_again_when_no_view_is_left() -> None:
    arena = Arena()
    array = arena.empty((100, 100), np.int64)
    address = array.ctypes.data
    view = array[3:, 7]
    del array
    gc.collect()
    assert arena.empty((100, 100), np.int64).ctypes.data != address
    del view
    gc.collect()
    assert arena.empty((100, 100), np.int64).ctypes.data == address


def test_what_was_given_back_joins_into_larger_places() -> None:
    arena = Arena(max_bytes=SEGMENT_BYTES)
    quarters = [arena.empty((SEGMENT_BYTES // 4,), np.uint8) for _ in range(4)]
    for index in (2, 0, 3, 1):
        quarters[index] = np.zeros(0)
    gc.collect()
    assert arena.empty((SEGMENT_BYTES,), np.uint8).nbytes == SEGMENT_BYTES


def test_more_than_may_be_shared_is_refused_with_the_numbers() -> None:
    arena = Arena(max_bytes=SEGMENT_BYTES)
    kept = arena.empty((1,), np.uint8)
    with pytest.raises(RuntimeFailure, match=f"{SEGMENT_BYTES} bytes of shared memory are in use"):
        arena.empty((SEGMENT_BYTES,), np.uint8)
    assert kept.nbytes == 1


def test_a_mapped_segment_shows_the_same_bytes_and_outlives_its_arena() -> None:
    arena = Arena()
    array = arena.empty((10,), np.int32)
    place = arena.find(bytes_of(array))
    assert place is not None
    fd, num_bytes = arena.segment(place.segment)
    mapped = map_segment(fd, num_bytes)[place.offset : place.offset + place.num_bytes]
    array[:] = 7
    arena.close()
    with pytest.raises(OSError):
        os.fstat(fd)
    assert mapped.view(np.int32).tolist() == [7] * 10
    assert not mapped.flags.writeable
