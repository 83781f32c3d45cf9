"""Frames: what is encoded comes back however the bytes are cut, and a corrupt stream is noticed."""

from __future__ import annotations

import struct
from itertools import pairwise
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocabulary.errors import RuntimeFailure
from vocabulary.tensors import Tensor
from workers.frames import (
    MAX_FRAME_BYTES,
    MAX_GREETING_BYTES,
    Beat,
    Done,
    Frame,
    FrameReader,
    Hello,
    Run,
    TensorHeader,
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
        struct.pack("<III", MAX_FRAME_BYTES + 1, 8, 0),
        struct.pack("<III", 4, 5, 0),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
    ],
    ids=["too long", "header longer than the frame", "another protocol", "TLS"],
)
def test_a_prefix_that_cannot_be_right_is_refused_before_its_bytes_are_awaited(prefix: bytes):
    with pytest.raises(RuntimeFailure, match="link is corrupt"):
        read([prefix])


def test_who_has_not_greeted_yet_may_not_send_much():
    reader = FrameReader(max_bytes=MAX_GREETING_BYTES)
    assert list(reader.feed(encoded(STREAM[0]))) == [STREAM[0]]
    with pytest.raises(RuntimeFailure, match="at most 4096 are taken"):
        list(reader.feed(struct.pack("<III", MAX_GREETING_BYTES + 1, 8, 0)))


def framed(header: bytes, tensors: bytes = b"") -> bytes:
    lengths = struct.pack("<II", len(header) + len(tensors), len(header))
    return lengths + struct.pack("<I", crc32(header, crc32(lengths))) + header + tensors


@pytest.mark.parametrize("header", [b"\xff\xff\xff\xff", b"", b"\x93\x01\x02\x03", b"\xc1" * 9])
def test_a_header_that_does_not_decode_is_refused(header: bytes):
    with pytest.raises(RuntimeFailure, match="does not decode"):
        read([framed(header)])


def test_a_tensor_of_less_than_no_bytes_is_refused():
    sizes = (TensorHeader("a", "UINT8", (1,), 12), TensorHeader("b", "UINT8", (1,), -8))
    lying = msgspec.msgpack.encode(Run(1, "m", 0.0, 1.0, 1.0, sizes))
    with pytest.raises(RuntimeFailure, match="does not decode"):
        read([framed(lying, bytes(4))])


def headers_alone() -> bytes:
    """Frames whose every byte is guarded: tensors have none."""
    return encoded(
        Frame(Hello("key", 0.125)), Frame(Run(7, "bert", 1.25, 0.5, 9.75, ())), Frame(Withdrawn(7))
    )


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(headers_alone()) - 1), st.integers(1, 255))
def test_no_wrong_byte_of_a_header_passes_for_another_header(place: int, change: int):
    whole = bytearray(headers_alone())
    expected = read([bytes(whole)])
    whole[place] ^= change
    found: list[Frame] = []
    reader = FrameReader()
    try:
        for frame in reader.feed(bytes(whole)):
            found.append(frame)
    except RuntimeFailure as error:
        assert "link is corrupt" in str(error)
    # What came before it is right; of the rest nothing comes.
    assert plain(found) == plain(expected[: len(found)])
    assert len(found) < len(expected)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_at_all_are_frames_or_a_corrupt_link(noise: bytes, cut: int):
    reader = FrameReader(max_bytes=300)
    whole = encoded(STREAM[0]) + noise
    try:
        for chunk in (whole[:cut], whole[cut:]):
            list(reader.feed(chunk))
    except RuntimeFailure as error:
        assert "link is corrupt" in str(error)


def test_tensor_bytes_that_the_header_does_not_describe_are_refused():
    header = msgspec.msgpack.encode(RUN)
    with pytest.raises(RuntimeFailure, match="tensor bytes"):
        read([framed(header, bytes(7))])
