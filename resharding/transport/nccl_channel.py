"""A channel between GPUs: one thread moves its lanes on; the first error ends it all."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

from resharding.transport.cuda_library import CudaFailure
from resharding.transport.device_buffers import DeviceBuffer, DeviceSpans
from resharding.transport.dialing import Call, Dialer
from resharding.transport.lifetime import Lifetime
from resharding.transport.links import Link, LinkLost
from resharding.transport.nccl_circuits import Circuits, Gpu
from resharding.transport.nccl_lanes import DeviceTransfer, Lane, LaneFailed
from resharding.transport.nccl_library import NcclFailure
from resharding.transport.nccl_words import Speaker, Word, listen
from resharding.transport.rendezvous import Rendezvous
from resharding.transport.works import Transfer

# How often the device is asked: often at first, then by a share of the time that it takes already.
_LEAST_LOOK_S, _MOST_LOOK_S, _LOOK_SHARE = 50e-6, 2e-3, 0.1
_LAST_WORDS_S = 0.2
_FAILURES = (LinkLost, LaneFailed, NcclFailure, CudaFailure)
Buffers = DeviceBuffer | Sequence[DeviceBuffer]


@dataclass(frozen=True, slots=True)
class NcclMeans:
    """What the channels of a transport share."""

    dialer: Dialer
    gpu: Gpu
    circuits: Circuits
    rendezvous: Rendezvous
    timeout_s: float
    slice_bytes: int


@final
class NcclChannel:
    """See `interface.Channel`. A transfer runs down the lane of its chain, beside those of other chains.

    What comes down a longer chain has no order with what comes from the same member to this one alone.
    """

    def __init__(self, call: Call, means: NcclMeans) -> None:
        self.call = call
        self._means = means
        self._life = Lifetime(call, dialer=means.dialer, timeout_s=means.timeout_s)
        self._pulse = self._life.pulse
        self._lanes: dict[tuple[int, ...], Lane] = {}
        self._speakers: dict[int, Speaker] = {}
        # For the thread, from any other: works to begin with and words that came.
        self._mail: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None

    def send(
        self, buffer: Buffers, *, to: int, tag: int, after: Sequence[DeviceTransfer] = ()
    ) -> DeviceTransfer:
        return self._post(buffer, (self.call.place, to), tag, upstream=tuple(after))

    def recv(self, buffer: Buffers, *, frm: int, tag: int) -> DeviceTransfer:
        return self._post(buffer, (frm, self.call.place), tag)

    def multicast(
        self, buffer: Buffers, *, chain: Sequence[int], chunk_bytes: int, tag: int
    ) -> DeviceTransfer:
        """NCCL's own broadcast, which has chunks of its own."""
        assert chunk_bytes > 0, chunk_bytes
        assert self.call.place in chain, (self.call.place, chain)
        return self._post(buffer, tuple(chain), tag)

    def abort(self) -> None:
        self._end("it was aborted here", peer=self.call.place)

    def close(self) -> None:
        if self._life.is_idle():
            self._close()
        else:
            self._end("its channel was closed here", peer=self.call.place)
        if self._thread is not None:
            self._thread.join(self._means.timeout_s + self._means.gpu.patience_s)

    def take(self, link: Link, place: int) -> None:
        """Hear what the member at `place` says on this link, until it says goodbye. Raises LinkLost."""
        self._life.join(place, link)
        try:
            listen(
                link, epoch=self.call.epoch, post=lambda word: self._mail_in(partial(self._hear, place, word))
            )
        except LinkLost as lost:
            self._lose(lost, peer=place)
            link.abort(str(lost), epoch=self.call.epoch)
            raise
        self._life.leave(link)
        self._mail_in(partial(self._hear_goodbye, place))

    def _post(
        self, buffer: Buffers, chain: tuple[int, ...], tag: int, *, upstream: tuple[DeviceTransfer, ...] = ()
    ) -> DeviceTransfer:
        size = len(self.call.group)
        assert len(set(chain)) == len(chain) > 1, f"chain {chain} names a member twice, or one alone"
        assert all(0 <= place < size for place in chain), (chain, size)
        is_sent = chain[0] == self.call.place
        work: DeviceTransfer = Transfer(
            tag=tag,
            peer=chain[1] if is_sent else chain[0],
            spans=DeviceSpans(buffer, device_ordinal=self._means.gpu.ordinal),
            pulse=self._pulse,
            timeout_s=self._means.timeout_s,
            give_up=self._give_up,
            on_end=self._life.settle,
            upstream=upstream,
            is_sent=is_sent,
        )
        with self._pulse.changed:
            self._life.admit(work)
            self._mail_in(lambda: self._lane(chain).push(work))
        return work

    def _mail_in(self, letter: Callable[[], None]) -> None:
        with self._pulse.changed:
            self._mail.append(letter)
            if self._thread is None and not self._life.is_over:
                self._thread = threading.Thread(target=self._run, name="statmux-nccl", daemon=True)
                self._thread.start()
            self._pulse.changed.notify_all()

    def _run(self) -> None:
        try:
            self._means.gpu.cuda.use(self._means.gpu.ordinal)
            self._work_on()
        except _FAILURES as failure:
            peer = failure.peer if isinstance(failure, LaneFailed) else self.call.place
            self._end(str(failure), peer=peer)
        except Exception as error:
            # The outermost loop of this thread: a rendezvous may raise anything.
            self._end(f"{type(error).__name__}: {error}", peer=self.call.place)
        finally:
            for lane in self._lanes.values():
                lane.end(is_clean=not self._life.has_failed)

    def _work_on(self) -> None:
        """Until the channel is over. Between two looks at the device it sleeps."""
        moved_s = time.monotonic()
        while not self._life.is_over:
            is_moved = self._read_mail()
            for lane in self._lanes.values():
                is_moved |= self._step(lane)
            now_s = time.monotonic()
            if is_moved:
                moved_s = now_s
            elif self._is_late(now_s):
                return
            else:
                self._rest(now_s - moved_s)

    def _step(self, lane: Lane) -> bool:
        try:
            return lane.step()
        except (NcclFailure, CudaFailure) as failure:
            raise LaneFailed(f"chain {lane.chain}: {failure}", peer=lane.peers[0]) from failure

    def _rest(self, since_s: float) -> None:
        is_moving = any(lane.current for lane in self._lanes.values())
        is_blocked = any(lane.is_blocked for lane in self._lanes.values())
        look_s = min(max(_LEAST_LOOK_S, since_s * _LOOK_SHARE), _MOST_LOOK_S)
        with self._pulse.changed:
            if not self._mail and not self._life.is_over:
                self._pulse.changed.wait(look_s if is_moving or is_blocked else self._means.timeout_s)

    def _is_late(self, now_s: float) -> bool:
        """Nobody may wait for it, but what the device is at has stood still for too long."""
        if now_s < self._pulse.last_s + self._means.timeout_s:
            return False
        late = next((lane.current for lane in self._lanes.values() if lane.current is not None), None)
        if late is not None:
            self._give_up(late)
        return late is not None

    def _read_mail(self) -> bool:
        letters = []
        with self._pulse.changed:
            while self._mail:
                letters.append(self._mail.popleft())
        for letter in letters:
            letter()
        return bool(letters)

    def _lane(self, chain: tuple[int, ...]) -> Lane:
        if chain not in self._lanes:
            means = self._means
            self._lanes[chain] = Lane(
                chain,
                place=self.call.place,
                gpu=means.gpu,
                endpoints=tuple(self.call.group[place] for place in chain),
                circuits=means.circuits,
                rendezvous=means.rendezvous,
                call=self._call,
                say=self._say,
                slice_bytes=means.slice_bytes,
            )
        return self._lanes[chain]

    def _hear(self, place: int, word: Word) -> None:
        size = len(self.call.group)
        if self.call.place not in word.chain or not all(one < size for one in word.chain):
            raise LaneFailed(f"it speaks of chain {word.chain} to member {self.call.place}", peer=place)
        self._pulse.beat()
        self._lane(word.chain).hear(place, word)

    def _hear_goodbye(self, place: int) -> None:
        for lane in self._lanes.values():
            lane.step()
            if lane.wants_more_of(place):
                raise LaneFailed("it has closed its channel and takes and sends no more", peer=place)

    def _call(self, place: int) -> None:
        try:
            self._speaker(place)
        except LinkLost as lost:
            raise LaneFailed(str(lost), peer=place) from lost

    def _say(self, place: int, word: Word) -> None:
        try:
            self._speaker(place).say(word)
        except LinkLost as lost:
            if place in self._speakers:
                # What the peer says last, if it says something, explains more than a broken connection.
                self._speakers[place].listen_out(within_s=min(_LAST_WORDS_S, self._means.timeout_s))
            raise LaneFailed(str(lost), peer=place) from lost

    def _speaker(self, place: int) -> Speaker:
        if place not in self._speakers:
            link = self._means.dialer.dial(self.call.group[place], self.call)
            self._life.join(place, link)
            lost = partial(self._lose, peer=place)
            self._speakers[place] = Speaker(link, epoch=self.call.epoch, lost=lost)
        return self._speakers[place]

    def _close(self) -> None:
        self._life.say_goodbye(self._speakers)
        self._life.close()

    def _give_up(self, work: DeviceTransfer) -> None:
        late = work.culprit()
        if late.peer not in self._speakers:
            why = "it does not take the connection"
        elif late.is_sent:
            why = "it does not take what was sent"
        else:
            why = "no more bytes come" if late.done_bytes else "nothing comes"
        self._end(why + self._down_chain(late), peer=late.peer, work=late)

    def _down_chain(self, late: DeviceTransfer) -> str:
        """A broadcast stands still for all when one member does, and none of them can tell which."""
        chain = next((lane.chain for lane in self._lanes.values() if lane.current is late), ())
        if len(chain) < 3:
            return ""
        return f" down chain {chain}, where any member may be what stands still"

    def _lose(self, lost: LinkLost, *, peer: int) -> None:
        self._life.lose(lost, peer=peer)

    def _end(self, why: str, *, peer: int, work: DeviceTransfer | None = None) -> None:
        """Whoever waits is told when the device has let go of the memory."""
        self._life.end(why, peer=peer, work=work)
