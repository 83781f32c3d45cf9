"""Frames over a socket, for two threads: one reads, any may write; no call lasts longer than its time-out."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import final

from resharding.transport.arena import Place, map_segment
from resharding.transport.frames import HEADER_BYTES, Corrupt, Frame, Kind, checksum_of, decode, encode
from resharding.transport.spans import Bytes

# The kernel's limit of buffers in one call (IOV_MAX of Linux).
_MAX_BUFFERS = 1024
_DESCRIPTOR_BYTES = array.array("i").itemsize
# Checked while it is in a cache.
_CACHED_BYTES = 2**18
# What a frame may say in words or keys.
MAX_WORDS_BYTES = 4096


class LinkLost(Exception):
    """Why a link is of no more use."""


class GaveUp(LinkLost):
    """The peer has ended the channel and says so: to all others too."""

    def __init__(self, words: bytes) -> None:
        super().__init__(f"it gave up: {words.decode(errors='replace')}")


@final
class Link:
    """One connection. `is_local`: to a process of this host, and descriptors may travel on it.

    All methods raise LinkLost; the thread that reads closes it in the end.
    """

    def __init__(self, connected: socket.socket, *, timeout_s: float) -> None:
        connected.settimeout(timeout_s)
        self.is_local = connected.family == getattr(socket, "AF_UNIX", None)
        if not self.is_local:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        # Segments that the peer has been given, and those it gave.
        self.shared: set[int] = set()
        self._mapped: dict[int, Bytes] = {}
        self._socket = connected
        self._lock = threading.Lock()

    def send(self, frame: Frame, payload: Sequence[Bytes | bytes] = (), *, fds: Sequence[int] = ()) -> None:
        with self._lock:
            self._write([encode(frame), *payload], fds)

    def say(self, kind: Kind, *, epoch: int, words: bytes = b"", tag: int = 0) -> None:
        """A frame with a few words of payload."""
        words = words[:MAX_WORDS_BYTES]
        checksum = checksum_of([words])
        self.send(Frame(kind, epoch, tag, num_bytes=len(words), checksum=checksum), [words])

    def is_readable(self, *, within_s: float) -> bool:
        """Also where the peer is gone: reading tells."""
        return self._is_ready(select.POLLIN, within_s)

    def is_left(self) -> bool:
        """The peer takes back what it shared: it closed its end, or is gone, whatever still waits here."""
        return self._is_ready(select.POLLRDHUP, 0.0)

    def read_frame(self) -> Frame:
        """The next header; its payload must be read next."""
        header = bytearray(HEADER_BYTES)
        fds = self._fill(memoryview(header), takes_descriptors=self.is_local)
        try:
            frame = decode(header)
            if frame.kind is Kind.SEGMENT:
                self._map(frame, fds)
        except (Corrupt, ValueError) as error:
            raise LinkLost(str(error)) from error
        finally:
            for fd in fds:
                os.close(fd)
        return frame

    def read_payload(self, frame: Frame, views: Iterable[Bytes]) -> None:
        """Into these views, which are as long together."""
        checksum = 0
        for view in views:
            for start in range(0, view.nbytes, _CACHED_BYTES):
                piece = view[start : start + _CACHED_BYTES]
                self._fill(memoryview(piece))
                checksum = checksum_of([piece], after=checksum)
        if checksum != frame.checksum:
            raise LinkLost(f"{frame.num_bytes} bytes at {frame.offset} do not match their checksum")

    def read_words(self, frame: Frame) -> bytes:
        if frame.num_bytes > MAX_WORDS_BYTES:
            raise LinkLost(f"a frame of {frame.num_bytes} bytes where at most {MAX_WORDS_BYTES} may come")
        words = bytearray(frame.num_bytes)
        self._fill(memoryview(words))
        if checksum_of([words]) != frame.checksum:
            raise LinkLost("a frame's words do not match their checksum")
        return bytes(words)

    def mapped(self, place: Place) -> Bytes:
        """Memory that the peer shares."""
        segment = self._mapped.get(place.segment)
        if segment is None or place.offset + place.num_bytes > segment.nbytes:
            raise LinkLost(f"the peer speaks of {place}, which it has not shared")
        return segment[place.offset : place.offset + place.num_bytes]

    def abort(self, why: str, *, epoch: int) -> None:
        """Tell the peer why, if that takes no time, and wake every thread that waits here."""
        words = why.encode()[:MAX_WORDS_BYTES]
        frame = Frame(Kind.ABORT, epoch, num_bytes=len(words), checksum=checksum_of([words]))
        # Whoever holds the lock is in the middle of a frame: then the end of the stream has to do.
        if self._lock.acquire(blocking=False):
            try:
                if self._is_ready(select.POLLOUT, 0.0):
                    self._socket.send(encode(frame) + words)
            except (OSError, LinkLost):
                pass  # The peer is gone and needs no word.
            finally:
                self._lock.release()
        self.shut()

    def shut(self) -> None:
        # It may be shut already.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        with self._lock:
            self._socket.close()
        self._mapped.clear()

    def _write(self, buffers: Iterable[Bytes | bytes], fds: Sequence[int]) -> None:
        waiting = deque(view for buffer in buffers if (view := memoryview(buffer)).nbytes)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            while waiting:
                num_bytes = self._socket.sendmsg(list(islice(waiting, _MAX_BUFFERS)), rights)
                rights = []
                _drop_front(waiting, num_bytes)
        except TimeoutError:
            raise LinkLost("it takes no more bytes") from None
        except OSError as error:
            raise LinkLost(f"the connection is lost ({error.strerror or error})") from error

    def _fill(self, view: memoryview, *, takes_descriptors: bool = False) -> list[int]:
        fds: list[int] = []
        rest = view
        try:
            while rest:
                if takes_descriptors:
                    num_bytes, found = self._receive_descriptors(rest)
                    fds += found
                else:
                    num_bytes = self._socket.recv_into(rest)
                if num_bytes == 0:
                    raise LinkLost("the connection was closed by the peer")
                rest = rest[num_bytes:]
        except TimeoutError:
            raise LinkLost("no more bytes come") from None
        except OSError as error:
            raise LinkLost(f"the connection is lost ({error.strerror or error})") from error
        return fds

    def _receive_descriptors(self, view: memoryview) -> tuple[int, list[int]]:
        num_bytes, rights, _, _ = self._socket.recvmsg_into([view], socket.CMSG_SPACE(_DESCRIPTOR_BYTES))
        fds = array.array("i")
        for level, kind, raw in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(raw[: len(raw) - len(raw) % _DESCRIPTOR_BYTES])
        return num_bytes, list(fds)

    def _map(self, frame: Frame, fds: Sequence[int]) -> None:
        if len(fds) != 1:
            raise LinkLost(f"a segment came with {len(fds)} descriptors")
        try:
            self._mapped[frame.tag] = map_segment(fds[0], frame.total_bytes)
        except OSError as error:
            raise LinkLost(f"a segment of {frame.total_bytes} bytes cannot be mapped ({error})") from error

    def _is_ready(self, events: int, within_s: float) -> bool:
        poll = select.poll()
        try:
            poll.register(self._socket, events)
        except ValueError as error:
            raise LinkLost("the connection is closed") from error
        return bool(poll.poll(within_s * 1000))


def _drop_front(waiting: deque[memoryview], num_bytes: int) -> None:
    while num_bytes:
        if num_bytes >= waiting[0].nbytes:
            num_bytes -= waiting.popleft().nbytes
        else:
            waiting[0] = waiting[0][num_bytes:]
            num_bytes = 0
