"""Headers and memory of transfers: what is read is what was written, or an error."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from resharding.transport.frames import HEADER_BYTES, Corrupt, Frame, Kind, checksum_of, decode, encode
from resharding.transport.spans import Spans


def test_a_header_is_read_as_it_was_written() -> None:
    frame = Frame(Kind.CHUNK, 2**40, 2**63, 2**35, 2**20, 2**36, 2**32 - 1)
    assert len(encode(frame)) == HEADER_BYTES
    assert decode(encode(frame)) == frame


@pytest.mark.parametrize("index", range(HEADER_BYTES))
def test_a_header_with_one_wrong_byte_is_corrupt(index: int) -> None:
    raw = bytearray(encode(Frame(Kind.SHARED, 1, 2, 3, 4, 5, 6)))
    raw[index] ^= 0x10
    with pytest.raises(Corrupt):
        decode(raw)


def test_the_checksum_is_of_the_bytes_in_a_row() -> None:
    array = np.arange(100, dtype=np.uint8)
    assert checksum_of([array]) == checksum_of([array[:7], array[7:]]) != checksum_of([array[::-1].copy()])


@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool, ml_dtypes.bfloat16])
def test_arrays_in_a_row_are_one_stretch_of_bytes(dtype: type) -> None:
    arrays = [np.arange(number, dtype=np.uint8).astype(dtype) for number in (5, 0, 3)]
    whole = b"".join(array.tobytes() for array in arrays)
    spans = Spans(arrays)
    assert spans.num_bytes == len(whole)
    for start in range(len(whole) + 1):
        for stop in range(start, len(whole) + 1):
            assert b"".join(view.tobytes() for view in spans.cut(start, stop)) == whole[start:stop]


def test_spans_are_views() -> None:
    array = np.zeros((2, 3), np.int16)
    Spans(array).cut(4, 6)[0][:] = 255
    assert array.tolist() == [[0, 0, -1], [0, 0, 0]]
