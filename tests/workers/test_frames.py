"""Frames: what is encoded comes back however the bytes are cut, and a corrupt stream is noticed."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocabulary.errors import RuntimeFailure
from vocabulary.tensors import Tensor
from workers.frames import (
    MAX_FRAME_BYTES,
    Beat,
    Done,
    Frame,
    FrameReader,
    Hello,
    Run,
    Withdrawn,
    encode_frame,
    tensor_headers,
)

INPUT = (Tensor("a", "INT32", (2,), b"\x01\x00\x00\x00\x02\x00\x00\x00"), Tensor("b", "BOOL", (0,), b""))
RUN = Run(7, "bert", 1.25, 0.5, 9.75, tensor_headers(INPUT))
DONE = Done(7, "served", 1.5, 1.75, 4, "", tensor_headers(INPUT[:1]))
STREAM = [
    Frame(Hello("key", 0.125)),
    Frame(RUN, INPUT),
    Frame(Withdrawn(7)),
    Frame(DONE, INPUT[:1]),
    Frame(Beat(1, 2, 0, (0.5, 0.25))),
]


def encoded(*frames: Frame) -> bytes:
    return b"".join(b"".join(encode_frame(frame.header, frame.tensors)) for frame in frames)


def read(chunks: list[bytes]) -> list[Frame]:
    reader = FrameReader()
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def plain(frames: list[Frame]) -> list[object]:
    """Frames as comparable values: the raw bytes of tensors are views into different buffers."""
    return [
        (frame.header, [(t.name, t.datatype, t.shape, bytes(t.raw)) for t in frame.tensors])
        for frame in frames
    ]


def test_frames_of_every_kind_come_back_in_order():
    assert plain(read([encoded(*STREAM)])) == plain(STREAM)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, len(encoded(*STREAM))), max_size=8))
def test_where_the_bytes_are_cut_makes_no_difference(cuts: list[int]):
    whole = encoded(*STREAM)
    edges = [0, *sorted(cuts), len(whole)]
    assert plain(read([whole[a:b] for a, b in pairwise(edges)])) == plain(STREAM)


def test_one_byte_at_a_time_gives_the_same_frames():
    assert plain(read([bytes([byte]) for byte in encoded(*STREAM)])) == plain(STREAM)


def test_times_survive_to_the_last_bit():
    arrival_s = 0.1 + 0.2
    header = Run(1, "m", arrival_s, float("inf"), float("inf"), ())
    assert read([encoded(Frame(header))])[0].header == header


def test_a_large_tensor_is_not_copied_into_the_frame():
    raw = memoryview(bytes(1_000_000))
    tensor = Tensor("x", "UINT8", (1_000_000,), raw)
    assert encode_frame(Done(1, "served", 0.0, 0.0, 1, "", tensor_headers((tensor,))), (tensor,))[1] is raw


@pytest.mark.parametrize(
    "prefix",
    [
        struct.pack("<II", MAX_FRAME_BYTES + 1, 8),
        struct.pack("<II", 8, 5),
        struct.pack("<II", 0, 0),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["too long", "header longer than the frame", "empty", "another protocol"],
)
def test_a_prefix_that_cannot_be_right_is_refused_before_its_bytes_are_awaited(prefix: bytes):
    with pytest.raises(RuntimeFailure, match="link is corrupt"):
        read([prefix])


def test_a_header_that_does_not_decode_is_refused():
    with pytest.raises(RuntimeFailure, match="does not decode"):
        read([struct.pack("<II", 8, 4) + b"\xff\xff\xff\xff"])


def test_tensor_bytes_that_the_header_does_not_describe_are_refused():
    header_only = encode_frame(RUN)[0]
    with pytest.raises(RuntimeFailure, match="tensor bytes"):
        read([bytes(header_only)])
