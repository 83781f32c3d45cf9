"""A link carries frames both ways: over a socket, or in memory where both ends share a loop (tests)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, final

from vocabulary.errors import RuntimeFailure
from vocabulary.tensors import Tensor
from workers.frames import MAX_FRAME_BYTES, Frame, FrameReader, Header, encode_frame

# What a peer that does not read may leave unsent before it is cut off: some replies of the largest size.
MAX_UNSENT_BYTES = 2**30

Receive = Callable[[Frame], None]
Lost = Callable[[str], None]


class Link(Protocol):
    """One end. What it hears goes to the `receive` it was made with; `lost` is called once, with why."""

    def send(self, header: Header, tensors: tuple[Tensor, ...] = ()) -> None:
        """Queue a frame; frames arrive in order. Nothing happens on a link that is lost."""

    def flush(self) -> None:
        """Let what is queued go, in one write: shells flush once they have done what an instant asked for."""

    def close(self) -> None: ...


@final
class SocketLink(asyncio.Protocol):
    """Frames over a stream socket. A peer that leaves more than `max_unsent_bytes` unread is cut off."""

    def __init__(
        self,
        receive: Receive,
        lost: Lost,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_unsent_bytes: int = MAX_UNSENT_BYTES,
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._max_unsent_bytes = max_unsent_bytes
        self._reader = FrameReader(max_bytes=max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes | memoryview] = []
        self._why = ""

    def receive_with(self, receive: Receive, lost: Lost) -> None:
        """From the next frame on, `receive` hears them (after the greeting of a new connection), of any size
        that is one."""
        self._receive, self._lost = receive, lost
        self._reader.max_bytes = MAX_FRAME_BYTES

    def send(self, header: Header, tensors: tuple[Tensor, ...] = ()) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._unsent += encode_frame(header, tensors)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))
            num_unsent = self._transport.get_write_buffer_size()
            if num_unsent > self._max_unsent_bytes:
                self._why = f"the peer does not read: {num_unsent} bytes wait for it"
                self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self.flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] (uvloop has transports of its own)

    def data_received(self, data: bytes) -> None:
        if not self.is_open:
            return
        try:
            for frame in self._reader.feed(data):
                self._receive(frame)
        except RuntimeFailure as error:
            self._end(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        why = f"the peer closed the connection ({error})" if error else "the peer closed the connection"
        self._end(self._why or why)

    def _end(self, why: str) -> None:
        lost, self._lost = self._lost, _ignore
        if self._transport is not None:
            self._transport.close()
        lost(why)


@final
class MemoryLink:
    """An end whose peer lives on the same loop; frames arrive at once, in order."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.peer: MemoryLink | None = None

    def send(self, header: Header, tensors: tuple[Tensor, ...] = ()) -> None:
        if self.peer is not None:
            self.peer._receive(Frame(header, tensors))

    def flush(self) -> None:
        return None

    def close(self) -> None:
        self.peer = None


def memory_pair(first: Receive, second: Receive) -> tuple[MemoryLink, MemoryLink]:
    """Two ends: what the first sends, `second` receives, and the other way round."""
    one, other = MemoryLink(first), MemoryLink(second)
    one.peer, other.peer = other, one
    return one, other


def _ignore(why: str) -> None:
    return None
