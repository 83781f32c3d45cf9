"""Taking what one peer sends on one channel: every chunk goes where the transfer's memory is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import final

import numpy as np

from resharding.transport.arena import Place
from resharding.transport.frames import Frame, Kind
from resharding.transport.links import GaveUp, Link, LinkLost
from resharding.transport.outlets import PLACE
from resharding.transport.spans import Bytes
from resharding.transport.works import Transfer


@final
class Inlet:
    """Runs in the thread of its link.

    awaited: the next transfer that this channel wants from the peer, once there is one; None: never.
    """

    def __init__(self, link: Link, *, epoch: int, awaited: Callable[[], Transfer | None]) -> None:
        self._link = link
        self._epoch = epoch
        self._awaited = awaited
        self._work: Transfer | None = None

    def run(self) -> None:
        """Until the peer says goodbye: then the link may serve another channel. Raises LinkLost."""
        while self._hear():
            pass
        self._link.say(Kind.GOODBYE, epoch=self._epoch)

    def _hear(self) -> bool:
        if not self._link.is_readable(within_s=self._link.timeout_s):
            if self._work is not None:
                raise LinkLost("no more bytes come")
            return True
        frame = self._link.read_frame()
        if frame.epoch != self._epoch:
            raise LinkLost(f"it speaks in epoch {frame.epoch}, this channel is of epoch {self._epoch}")
        match frame.kind:
            case Kind.CHUNK | Kind.SHARED:
                self._take(frame)
            case Kind.SEGMENT:
                pass  # The link has mapped it.
            case Kind.GOODBYE if self._work is None:
                self._link.read_words(frame)
                return False
            case Kind.ABORT:
                raise GaveUp(self._link.read_words(frame))
            case _:
                raise LinkLost(f"a frame of kind {frame.kind.name} makes no sense here")
        return True

    def _take(self, frame: Frame) -> None:
        work = self._work = self._expected(frame)
        with work.filling() as is_wanted:
            if not is_wanted:
                raise LinkLost("this channel is closed")
            if frame.kind is Kind.CHUNK:
                self._link.read_payload(frame, self._room(work, frame.num_bytes))
                num_bytes = frame.num_bytes
            else:
                num_bytes = self._copy_shared(work, frame)
        stop = frame.offset + num_bytes
        if frame.kind is Kind.CHUNK and work.is_passed_on:
            work.checksums[frame.offset, stop] = frame.checksum
        self._answer(work, stop)

    def _copy_shared(self, work: Transfer, frame: Frame) -> int:
        place = self._place(frame)
        _scatter(self._link.mapped(place), self._room(work, place.num_bytes))
        # It was whole only if the sender stands by it until it is copied: later it may write there again.
        if self._link.is_left():
            raise LinkLost("the connection was closed by the peer")
        return place.num_bytes

    def _expected(self, frame: Frame) -> Transfer:
        work = self._work
        if work is None:
            work = self._awaited()
            if work is None:
                raise LinkLost("this channel is closed")
            link, epoch, tag = self._link, self._epoch, work.tag
            work.on_alive = lambda: _answer(link, Frame(Kind.ALIVE, epoch, tag))
            work.on_done = lambda: _answer(link, Frame(Kind.DONE, epoch, tag))
        wanted = (work.tag, work.done_bytes, work.spans.num_bytes)
        if (frame.tag, frame.offset, frame.total_bytes) != wanted:
            raise LinkLost(
                f"it sends transfer {frame.tag} from byte {frame.offset} of {frame.total_bytes} on where "
                f"transfer {work.tag} from byte {work.done_bytes} of {work.spans.num_bytes} on is wanted: "
                "both ends must issue the same transfers (of the same plan) in one order"
            )
        return work

    def _room(self, work: Transfer, num_bytes: int) -> list[Bytes]:
        if work.done_bytes + num_bytes > work.spans.num_bytes:
            raise LinkLost(f"it sends more than the {work.spans.num_bytes} bytes of transfer {work.tag}")
        return work.spans.cut(work.done_bytes, work.done_bytes + num_bytes)

    def _place(self, frame: Frame) -> Place:
        words = self._link.read_words(frame)
        if len(words) != PLACE.size:
            raise LinkLost(f"a place in shared memory takes {PLACE.size} bytes, not {len(words)}")
        return Place(*PLACE.unpack(words))

    def _answer(self, work: Transfer, stop: int) -> None:
        is_whole = stop == work.spans.num_bytes
        self._work = None if is_whole else work
        is_done = is_whole and not work.is_passed_on
        self._link.send(Frame(Kind.LAST_TAKEN if is_done else Kind.TAKEN, self._epoch, work.tag, stop))
        work.advance(stop, is_done=is_done)


def _answer(link: Link, frame: Frame) -> None:
    # Whoever reads from this link finds out when it is lost, and says so.
    with contextlib.suppress(LinkLost):
        link.send(frame)


def _scatter(copy: Bytes, views: list[Bytes]) -> None:
    start = 0
    for view in views:
        np.copyto(view, copy[start : start + view.nbytes])
        start += view.nbytes
