"""What travels between the controller and the worker that leads a group, and how it is framed.

A frame is: u32 length of the header and all tensors, u32 length of the header, u32 CRC-32 of both and of the
header, the header (msgpack), the tensors' bytes one after another. Little-endian. Times are seconds on the
controller's clock. The sum guards what a wrong bit would turn into another request's fate; tensors are large,
and sockets have sums of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, final
from zlib import crc32

import msgspec

from vocabulary.errors import RuntimeFailure
from vocabulary.sampling import SampledToken, Sampling
from vocabulary.tensors import Tensor
from workers.work_times import WorkTimes

_LENGTHS = struct.Struct("<II")
_PREFIX = struct.Struct("<III")
# A frame holds one request or one reply; the endpoint refuses larger messages long before this.
MAX_FRAME_BYTES = 512 * 2**20
# A million tokens' hashes take half a megabyte.
MAX_HEADER_BYTES = 2**23
# Of who has not shown the fleet's key yet.
MAX_GREETING_BYTES = 2**12


class TensorHeader(msgspec.Struct, frozen=True, array_like=True):
    """All of a tensor but its bytes, which follow the header."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    num_bytes: Annotated[int, msgspec.Meta(ge=0)]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """First frame of a front end: the fleet's key proves that it may speak; `now_s` sets the clocks.

    front: which front end of the fleet; one that comes again takes the place of the one before. Each has a
    link of its own to every group, hears of its own requests only, and gets every beat.
    """

    key: str
    now_s: float
    front: int = 0


class GenerationAsk(msgspec.Struct, frozen=True, array_like=True):
    """What a request for an answer token by token says besides; its prompt is the tensor `input_ids`.

    The words are those of `vocabulary.request.Request`. first_hash, block_hashes: of no tokens and of each
    full page of the prompt (`vocabulary.prefix_hashes`); None and empty where nothing is to be shared.
    """

    output_tokens: int
    expected_tokens: int
    num_samples: int
    sampling: Sampling
    ttft_s: float
    tpot_s: float
    tenant: str
    first_hash: int | None
    block_hashes: tuple[int, ...]


class Run(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A request for the group, with its input tensors. is_timed: `Done` is to say when each stage worked."""

    request_id: int
    model: str
    arrival_s: float
    slo_s: float
    deadline_s: float
    tensors: tuple[TensorHeader, ...]
    generation: GenerationAsk | None = None
    is_timed: bool = False


class Withdrawn(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Nobody waits for the request any more."""

    request_id: int


class Done(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The group's answer: output tensors when `fate` is served, else `error` in words.

    Of a request that generates instead: why each answer ended, "stop" or "length", and how many tokens of the
    prompt the cache of prefixes had. times: only where the request asked for them.
    """

    request_id: int
    fate: str
    start_s: float
    finish_s: float
    batch_size: int
    error: str
    tensors: tuple[TensorHeader, ...]
    reasons: tuple[str, ...] = ()
    num_cached: int = 0
    times: WorkTimes | None = None


class ModelBeat(msgspec.Struct, frozen=True, array_like=True):
    """One model that generates: its queue and its pages now, and totals since the start, in tokens."""

    model: str
    num_waiting: int
    num_running: int
    num_pages: int
    num_free_pages: int
    num_hit: int
    num_prompt: int
    num_preempted: int


class ReplicaBeat(msgspec.Struct, frozen=True, array_like=True):
    """One model that is resident: how many requests of it the group holds, and of how many it has begun to
    work on them; of all front ends."""

    model: str
    num_held: int
    num_running: int = 0


class DeviceBeat(msgspec.Struct, frozen=True, array_like=True):
    """One device: bytes in use, bytes that we may take (0: unknown), and the share of time that it worked."""

    used_bytes: int
    total_bytes: int
    busy_ratio: float


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Sent at every interval: the group lives, and this is how busy it is, with requests of all front ends.

    backlog_s: by their profiles, how long the busiest stage needs for what it holds. devices: in the group's
    order; those of a host that has said nothing yet are left out, and all after them.
    """

    num_waiting: int
    num_running: int
    num_recompiles: int
    stage_busy_s: tuple[float, ...]
    models: tuple[ModelBeat, ...] = ()
    replicas: tuple[ReplicaBeat, ...] = ()
    backlog_s: float = 0.0
    devices: tuple[DeviceBeat, ...] = ()


class Gone(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Last frame of a worker whose group cannot go on, and why in words."""

    why: str


class Tokens(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """What a step drew, of all requests in it; sent before the `Done` of those that end with it."""

    tokens: tuple[SampledToken, ...]


class AtWork(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The group has begun to work on these requests."""

    request_ids: tuple[int, ...]


Header = Hello | Run | Withdrawn | Done | Beat | Gone | Tokens | AtWork

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode


@dataclass(frozen=True, slots=True)
class Frame:
    """A header and the tensors it describes."""

    header: Header
    tensors: tuple[Tensor, ...] = ()


def tensor_headers(tensors: tuple[Tensor, ...]) -> tuple[TensorHeader, ...]:
    return tuple(TensorHeader(t.name, t.datatype, t.shape, len(t.raw)) for t in tensors)


def encode_frame(header: Header, tensors: tuple[Tensor, ...] = ()) -> list[bytes | memoryview]:
    """The frame as buffers to write one after another; tensors are not copied."""
    encoded = _encode(header)
    num_tensor_bytes = sum(len(tensor.raw) for tensor in tensors)
    lengths = _LENGTHS.pack(len(encoded) + num_tensor_bytes, len(encoded))
    check = crc32(encoded, crc32(lengths)).to_bytes(4, "little")
    return [lengths + check + encoded, *(tensor.raw for tensor in tensors)]


@final
class FrameReader:
    """Bytes in, frames out (sans I/O). A frame that cannot be right raises RuntimeFailure: close the link.

    max_bytes: of a frame; it may be changed between two.
    """

    def __init__(self, *, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        self._buffer += chunk
        start = 0
        while (end := self._frame_end(start)) is not None:
            with memoryview(self._buffer) as buffer:
                frame = bytes(buffer[start:end])
            yield _parse(frame)
            start = end
        if start:
            del self._buffer[:start]

    def _frame_end(self, start: int) -> int | None:
        if len(self._buffer) - start < _PREFIX.size:
            return None
        length, header_length, _ = _PREFIX.unpack_from(self._buffer, start)
        if not header_length <= length <= self.max_bytes or header_length > MAX_HEADER_BYTES:
            raise RuntimeFailure(
                f"frame of {length} bytes with a header of {header_length} bytes, at most {self.max_bytes} "
                "are taken: link is corrupt"
            )
        end = start + _PREFIX.size + length
        return end if len(self._buffer) >= end else None


def _parse(frame: bytes) -> Frame:
    _, header_length, check = _PREFIX.unpack_from(frame)
    body = memoryview(frame)[_PREFIX.size :]
    if crc32(body[:header_length], crc32(frame[: _LENGTHS.size])) != check:
        raise RuntimeFailure("the header of a frame is not what was sent: link is corrupt")
    try:
        header = _decode(body[:header_length])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RuntimeFailure(f"frame header does not decode: {error}: link is corrupt") from error
    described = header.tensors if isinstance(header, Run | Done) else ()
    return Frame(header, _tensors(described, body[header_length:]))


def _tensors(described: tuple[TensorHeader, ...], body: memoryview) -> tuple[Tensor, ...]:
    if sum(tensor.num_bytes for tensor in described) != len(body):
        raise RuntimeFailure(
            f"frame holds {len(body)} tensor bytes, its header describes others: link is corrupt"
        )
    tensors = []
    offset = 0
    for tensor in described:
        raw = body[offset : offset + tensor.num_bytes]
        tensors.append(Tensor(tensor.name, tensor.datatype, tensor.shape, raw))
        offset += tensor.num_bytes
    return tuple(tensors)
