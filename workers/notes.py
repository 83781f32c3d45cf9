"""What the processes of one group tell each other: small notes over one socket from the leader to each.

A note is u32 length, then msgpack. Activations do not come this way.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import final

import msgspec

from resharding.transport.endpoints import Endpoint
from vocabulary.errors import Infeasible, InvalidInput, RuntimeFailure, StatmuxError
from workers.device_memory import DeviceMemory
from workers.multicast import Multicast
from workers.work_times import StageTimes

_PREFIX = struct.Struct("<I")
_MAX_NOTE_BYTES = 2**24
_ENDED = "its process ended"
_ERRORS: tuple[type[StatmuxError], ...] = (InvalidInput, Infeasible, RuntimeFailure)


class ArrayNote(msgspec.Struct, frozen=True, array_like=True):
    """An array that comes: over which axes of the sender's mesh each dimension is split, and its devices."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    axes: tuple[tuple[str, int], ...]
    dims: tuple[tuple[str, ...], ...]
    devices: tuple[int, ...]


class PartNote(msgspec.Struct, frozen=True, array_like=True):
    """A padded batch."""

    batch_size: int
    sequence_length: int
    arrays: tuple[ArrayNote, ...]


class Join(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """First note of the leader: read the weights that are not `expected` from other groups.

    endpoints: of all processes, the leader's first. now_s: by the leader's clock.
    """

    key: str
    endpoints: tuple[Endpoint, ...]
    epoch: int
    expected: tuple[str, ...] = ()
    now_s: float = 0.0


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The follower has done what it was asked: read its weights, or compiled its stages."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """They are not, and why."""

    kind: str
    message: str
    where: str | None
    hint: str | None

    def error(self) -> StatmuxError:
        known = {one.__name__: one for one in _ERRORS}
        return known.get(self.kind, RuntimeFailure)(self.message, where=self.where, hint=self.hint)


def refusal(error: Exception) -> Refused:
    """What was raised, to be raised again elsewhere."""
    if isinstance(error, StatmuxError):
        return Refused(type(error).__name__, error.message, error.where, error.hint)
    return Refused("RuntimeFailure", repr(error), None, None)


class Coming(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A batch that process `to` is being sent, through the leader to a follower that follows another.

    times: of the stages so far, by the leader's clock; None: nobody asks.
    """

    to: int
    number: int
    model: str
    parts: tuple[PartNote, ...]
    times: StageTimes | None = None


class Taken(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A batch that process `to` sent has been used up: one more may be sent."""

    to: int


class Broken(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A batch failed on the follower."""

    number: int
    words: str


class Pulse(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The follower lives, how busy its stages have been, and what its devices hold."""

    stage_busy_s: tuple[float, ...]
    num_recompiles: int
    devices: tuple[DeviceMemory, ...] = ()


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Second note of the leader, and after each `More`: take part in these, then compile."""

    multicasts: tuple[Multicast, ...]


class Give(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """While it serves: give weights to new replicas."""

    multicasts: tuple[Multicast, ...]


class More(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """While it serves: read the weights of these models that are not `expected` from other groups.

    Their specs have come another way (`workers.actor.FollowerWorker.learn`). `Prepare` follows, or `Drop`.
    """

    models: tuple[str, ...]
    expected: tuple[str, ...]


class Drop(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """While it serves: forget these models, ready or not, of which nothing runs."""

    models: tuple[str, ...]


Note = Join | Ready | Refused | Coming | Taken | Broken | Pulse | Prepare | Give | More | Drop
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Note).decode


@final
class NoteLink:
    """One end of a socket. `serve` hears notes until it ends; `send` is for any thread, and never raises."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._lock = threading.Lock()

    def send(self, note: Note) -> None:
        """A peer that is gone hears nothing; `serve` will say so."""
        words = _encode(note)
        try:
            with self._lock:
                self._socket.sendall(_PREFIX.pack(len(words)) + words)
        except OSError:
            self.close()

    def serve(self, receive: Callable[[Note], None], *, silence_s: float | None = None) -> str:
        """Call `receive` for every note; returns why there are no more. silence_s: None waits for ever."""
        try:
            self._socket.settimeout(silence_s)
            while (note := self._next()) is not None:
                receive(note)
        except TimeoutError:
            return f"it has said nothing for {silence_s:g} s"
        except ConnectionError:
            return _ENDED
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            return str(error)
        return _ENDED

    def close(self) -> None:
        """From any thread; `serve` returns."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def next(self, *, within_s: float | None) -> Note | None:
        """The next note; None when the peer is gone. Raises OSError."""
        self._socket.settimeout(within_s)
        return self._next()

    def _next(self) -> Note | None:
        prefix = self._read(_PREFIX.size)
        if prefix is None:
            return None
        (length,) = _PREFIX.unpack(prefix)
        if length > _MAX_NOTE_BYTES:
            raise OSError(f"a note of {length} bytes: the link is corrupt")
        words = self._read(length)
        return None if words is None else _decode(words)

    def _read(self, num_bytes: int) -> bytes | None:
        found = bytearray()
        while len(found) < num_bytes:
            chunk = self._socket.recv(num_bytes - len(found))
            if not chunk:
                return None
            found += chunk
        return bytes(found)
