"""The few bytes of protobuf that the hot path reads and writes itself.

Measured inside a busy grpc.aio server, parsing a small request with protobuf costs 10 µs and reading its
fields another 8; `split` takes 4. So requests are split into what repeats (names, types, shapes, parameters:
the header), the id, and the raw tensors, and only a header not seen before goes through protobuf.
"""

from __future__ import annotations

_ID_TAG = 0x1A  # ModelInferRequest.id = 3, ModelInferResponse.id = 3
_RAW_INPUT_TAG = 0x3A  # ModelInferRequest.raw_input_contents = 7
_NOT_HEADER = (_ID_TAG, _RAW_INPUT_TAG)
_ONE_BYTE = tuple(bytes((number,)) for number in range(128))
# Beyond this a slice is a view: no copy, but it keeps the message alive.
_MAX_COPY_BYTES = 64 * 1024


def split(message: bytes) -> tuple[bytes, str, list[bytes | memoryview]] | None:
    """A ModelInferRequest as (all other fields, id, raw_input_contents); None: let protobuf judge it.

    The first part is a ModelInferRequest again. Knows only the top-level fields of our .proto: all are
    length-delimited and have tags of one byte.
    """
    header, request_id, raws = [], "", []
    start, end, header_start = 0, len(message), 0
    try:
        while start < end:
            tag, size, begin = message[start], message[start + 1], start + 2
            if size > 127:
                size, begin = _long_varint(message, start + 1)
            stop = begin + size
            if stop > end or tag & 7 != 2 or tag > _RAW_INPUT_TAG:
                return None
            if tag in _NOT_HEADER:
                header.append(message[header_start:start])
                header_start = stop
                if tag == _ID_TAG:
                    request_id = str(message[begin:stop], "utf-8")
                else:
                    raws.append((message if size < _MAX_COPY_BYTES else memoryview(message))[begin:stop])
            start = stop
    except (IndexError, UnicodeDecodeError):
        return None
    header.append(message[header_start:])
    return b"".join(header), request_id, raws


def varint(number: int) -> bytes:
    """A number >= 0 in base 128, low digits first."""
    if number < 128:
        return _ONE_BYTE[number]
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def delimited(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field."""
    return tag + varint(len(payload)) + payload


def _long_varint(message: bytes, start: int) -> tuple[int, int]:
    """The number at `start` and the position behind it. IndexError past the end."""
    number, shift = 0, 0
    while message[start] > 127:
        number |= (message[start] & 127) << shift
        shift += 7
        start += 1
    return number | message[start] << shift, start + 1
