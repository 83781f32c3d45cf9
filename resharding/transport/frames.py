"""What travels on a link: a header of fixed size and a payload, each with a checksum. Little-endian."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from resharding.transport.spans import Bytes

_MAGIC = b"stx1"
# Magic, kind, epoch, tag, offset, payload bytes, bytes of the whole transfer, checksum of the payload; and of
# these fields.
_FIELDS = struct.Struct("<4sB3xQQQQQI")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size


class Kind(IntEnum):
    """CHUNK to GOODBYE go the way of the bytes, the others come back."""

    HELLO = 1  # tag: place of who calls in the group; payload: the keys
    CHUNK = 2  # payload: bytes of the transfer from `offset` on
    SHARED = 3  # payload: where these bytes lie in shared memory
    SEGMENT = 4  # a segment's descriptor comes with it; tag: which one, total_bytes: its size
    GOODBYE = 5  # the channel has no more to say: the link may serve another; answered alike
    ABORT = 6  # payload: why; both ways
    WELCOME = 7
    REFUSED = 8  # payload: why
    TAKEN = 9  # a CHUNK or SHARED is where it belongs, its memory free; offset: how many bytes are
    ALIVE = 10  # a relay has passed some of the transfer on
    DONE = 11  # the whole transfer has arrived, everywhere that it is passed on to
    LAST_TAKEN = 12  # TAKEN and DONE in one
    WANTED = 13  # of a transfer that goes another way than over links: there is room for it
    STARTS = 14  # it begins: whoever wanted it joins in
    ARRIVED = 15  # it is whole here; from who sends it: everywhere


class Corrupt(Exception):
    """Bytes that no peer of ours has sent."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A header; `num_bytes` of payload follow it."""

    kind: Kind
    epoch: int
    tag: int = 0
    offset: int = 0
    num_bytes: int = 0
    total_bytes: int = 0
    checksum: int = 0


def encode(frame: Frame) -> bytes:
    fields = _FIELDS.pack(
        _MAGIC,
        frame.kind,
        frame.epoch,
        frame.tag,
        frame.offset,
        frame.num_bytes,
        frame.total_bytes,
        frame.checksum,
    )
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def decode(raw: bytes | bytearray) -> Frame:
    """Raises Corrupt."""
    magic, kind, epoch, tag, offset, num_bytes, total_bytes, checksum = _FIELDS.unpack_from(raw)
    (of_fields,) = _CHECKSUM.unpack_from(raw, _FIELDS.size)
    if magic != _MAGIC or of_fields != zlib.crc32(raw[: _FIELDS.size]):
        raise Corrupt("a frame's header does not match its checksum")
    return Frame(Kind(kind), epoch, tag, offset, num_bytes, total_bytes, checksum)


def checksum_of(views: Iterable[Bytes | bytes], *, after: int = 0) -> int:
    """CRC-32 of the bytes in a row, behind those with the checksum `after`."""
    found = after
    for view in views:
        found = zlib.crc32(view, found)
    return found
