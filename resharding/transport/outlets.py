"""Sending to one peer on one channel: chunks out, and word of what has arrived back."""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from resharding.transport.arena import Arena
from resharding.transport.frames import Frame, Kind, checksum_of
from resharding.transport.links import GaveUp, Link, LinkLost
from resharding.transport.pacing import EmulatedNic
from resharding.transport.spans import Bytes
from resharding.transport.works import Pulse, Transfer

PLACE = struct.Struct("<QQQ")
# Below this a copy through the socket costs less than word of where the bytes lie.
_MIN_SHARED_BYTES = 2**15
# Of one frame, whatever chunk is asked for: a checksum and a copy take turns with the network.
_MAX_CHUNK_BYTES = 2**19
# What a peer reads where it lies, and what is copied for it first: then both copy at once.
_MAX_SHARED_BYTES = 2**24
_SLOT_BYTES = 2**22
# Chunks that a peer may be behind: with two, both ends copy at once.
_NUM_SLOTS = 2
_LAST_WORDS_S = 0.2


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a port is to send: `work` in chunks, when all of `after` is here, or as `follows` arrives."""

    work: Transfer
    chunk_bytes: int
    after: tuple[Transfer, ...] = ()
    follows: Transfer | None = None


@final
class Outlet:
    """One thread writes (the port's), one of its own hears what comes back.

    lost: the channel ends because of this peer.
    """

    def __init__(
        self,
        link: Link,
        *,
        epoch: int,
        arena: Arena,
        nic: EmulatedNic | None,
        pulse: Pulse,
        lost: Callable[[LinkLost], None],
    ) -> None:
        self.link = link
        self.is_answered = False
        self._epoch = epoch
        self._arena = arena
        self._nic = nic
        self._pulse = pulse
        self._lost = lost
        # Of every chunk under way, in order: the copy of it that the peer reads, if one was made.
        self._under_way: deque[Bytes | None] = deque()
        self._slots: list[Bytes] = []
        self._unfinished: deque[Parcel] = deque()
        self._heard_s = time.monotonic()
        self._listener = threading.Thread(target=self._listen, name="statmux-outlet", daemon=True)
        self._listener.start()

    def write(self, parcel: Parcel) -> None:
        """All chunks, each when it may go. Raises LinkLost, or what a work failed with that it waits for."""
        with self._pulse.changed:
            if not self._unfinished:
                self._heard_s = time.monotonic()
            self._unfinished.append(parcel)
        num_bytes = parcel.work.spans.num_bytes
        chunk_bytes = self._chunk_bytes(parcel)
        for start in range(0, max(num_bytes, 1), chunk_bytes):
            stop = min(num_bytes, start + chunk_bytes)
            if parcel.follows is not None:
                parcel.follows.wait_for(stop)
            views = parcel.work.spans.cut(start, stop)
            if self.link.is_local and stop - start >= _MIN_SHARED_BYTES:
                self._share(parcel, start, views)
            else:
                self._write_chunk(parcel, start, stop, views)

    def say_goodbye(self) -> None:
        """Nothing more comes; the answer means that the link may serve again."""
        self.link.say(Kind.GOODBYE, epoch=self._epoch)
        self._listener.join(self.link.timeout_s)

    def _chunk_bytes(self, parcel: Parcel) -> int:
        """As large as it helps: what others pass on is small, what they only copy is large."""
        if not self.link.is_local:
            return min(parcel.chunk_bytes, _MAX_CHUNK_BYTES)
        views = parcel.work.spans.cut(0, parcel.work.spans.num_bytes)
        is_shared = len(views) == 1 and self._arena.find(views[0]) is not None
        return min(parcel.chunk_bytes, _MAX_SHARED_BYTES if is_shared else _SLOT_BYTES)

    def listen_out(self) -> None:
        """A moment for the last words of a peer whose connection broke."""
        self._listener.join(min(_LAST_WORDS_S, self.link.timeout_s))

    def _write_chunk(self, parcel: Parcel, start: int, stop: int, views: Sequence[Bytes]) -> None:
        known = parcel.follows.checksums if parcel.follows is not None else {}
        checksum = known.get((start, stop))
        checksum = checksum_of(views) if checksum is None else checksum
        if self._nic is not None and not self.link.is_local:
            self._nic.pass_through(stop - start)
        self._note(None)
        frame = self._frame(Kind.CHUNK, parcel, start, stop - start, checksum)
        self.link.send(frame, views)

    def _share(self, parcel: Parcel, start: int, views: Sequence[Bytes]) -> None:
        num_bytes = sum(view.nbytes for view in views)
        place = self._arena.find(views[0]) if len(views) == 1 else None
        copy = None
        if place is None:
            copy = self._slot()
            _gather(views, copy)
            place = self._arena.find(copy[:num_bytes])
            assert place is not None
        self._introduce(place.segment)
        words = PLACE.pack(place.segment, place.offset, place.num_bytes)
        self._note(copy)
        self.link.send(self._frame(Kind.SHARED, parcel, start, len(words), checksum_of([words])), [words])

    def _introduce(self, segment: int) -> None:
        if segment not in self.link.shared:
            fd, num_bytes = self._arena.segment(segment)
            self.link.send(Frame(Kind.SEGMENT, self._epoch, segment, total_bytes=num_bytes), fds=[fd])
            self.link.shared.add(segment)

    def _frame(self, kind: Kind, parcel: Parcel, start: int, num_bytes: int, checksum: int) -> Frame:
        work = parcel.work
        return Frame(kind, self._epoch, work.tag, start, num_bytes, work.spans.num_bytes, checksum)

    def _note(self, copy: Bytes | None) -> None:
        with self._pulse.changed:
            self._under_way.append(copy)

    def _slot(self) -> Bytes:
        """A place for a copy, free or new; waits for the peer when it is several chunks behind."""
        with self._pulse.changed:
            while not self._slots:
                if sum(copy is not None for copy in self._under_way) < _NUM_SLOTS:
                    return self._arena.empty((_SLOT_BYTES,), np.uint8)
                if not self._pulse.changed.wait(self.link.timeout_s):
                    raise LinkLost("it takes no more bytes")
                if self.is_answered:
                    raise LinkLost("the connection is lost")
            return self._slots.pop()

    def _listen(self) -> None:
        try:
            while self._hear():
                pass
        except LinkLost as lost:
            self.is_answered = True
            self._lost(lost)
            self.link.close()

    def _hear(self) -> bool:
        """One frame, or nothing for a while; False after the last."""
        if not self.link.is_readable(within_s=self._patience_s()):
            if self._patience_s() == 0:
                raise LinkLost("it does not take what was sent")
            return True
        frame = self.link.read_frame()
        words = self.link.read_words(frame)
        if frame.epoch != self._epoch:
            raise LinkLost(f"it speaks in epoch {frame.epoch}, this channel is of epoch {self._epoch}")
        match frame.kind:
            case Kind.TAKEN | Kind.ALIVE | Kind.DONE | Kind.LAST_TAKEN:
                self._arrived(frame)
            case Kind.ABORT:
                raise GaveUp(words)
            case Kind.GOODBYE:
                self.is_answered = True
                return False
            case _:
                raise LinkLost(f"a frame of kind {frame.kind.name} makes no sense here")
        return True

    def _patience_s(self) -> float:
        with self._pulse.changed:
            if not self._unfinished:
                return self.link.timeout_s
            return max(0.0, self._heard_s + self.link.timeout_s - time.monotonic())

    def _arrived(self, frame: Frame) -> None:
        with self._pulse.changed:
            self._heard_s = time.monotonic()
            if not self._unfinished:
                raise LinkLost(f"it answers to transfer {frame.tag}, which was not sent")
            parcel = self._of(frame.tag)
            if frame.kind in (Kind.TAKEN, Kind.LAST_TAKEN):
                self._taken()
            if frame.kind in (Kind.DONE, Kind.LAST_TAKEN):
                self._unfinished.remove(parcel)
        self._tell(parcel, frame)

    def _taken(self) -> None:
        if not self._under_way:
            raise LinkLost("it has taken more than was sent")
        copy = self._under_way.popleft()
        if copy is not None:
            self._slots.append(copy)

    def _of(self, tag: int) -> Parcel:
        found = next((parcel for parcel in self._unfinished if parcel.work.tag == tag), None)
        if found is None:
            raise LinkLost(f"it answers to transfer {tag}, which was not sent")
        return found

    def _tell(self, parcel: Parcel, frame: Frame) -> None:
        """The work, and if it passes on what somebody sends, that one too."""
        work, follows = parcel.work, parcel.follows
        if frame.kind in (Kind.DONE, Kind.LAST_TAKEN):
            work.advance(work.spans.num_bytes, is_done=True)
            if follows is not None:
                follows.on_done()
                follows.advance(follows.done_bytes, is_done=True)
            return
        work.advance(frame.offset if frame.kind is Kind.TAKEN else work.done_bytes)
        if follows is not None:
            follows.on_alive()


def _gather(views: Sequence[Bytes], copy: Bytes) -> None:
    start = 0
    for view in views:
        np.copyto(copy[start : start + view.nbytes], view)
        start += view.nbytes
