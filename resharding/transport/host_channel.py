"""A channel between hosts: what is sent and wanted by whom."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from numpy.typing import NDArray

from resharding.transport.arena import Arena
from resharding.transport.dialing import Call, Dialer
from resharding.transport.errors import TransferFailed
from resharding.transport.inlets import Inlet
from resharding.transport.lifetime import Lifetime
from resharding.transport.links import Link, LinkLost
from resharding.transport.outlets import Outlet, Parcel
from resharding.transport.pacing import EmulatedNic
from resharding.transport.spans import Spans
from resharding.transport.works import Transfer

# Nobody passes on what is only sent: the outlet's own limits hold.
_WHOLE_BYTES = 2**62


@dataclass(frozen=True, slots=True)
class Means:
    """What the channels of a transport share."""

    host: str
    dialer: Dialer
    arena: Arena
    nic: EmulatedNic | None
    timeout_s: float


@final
class HostChannel:
    """See `interface.Channel`. A port sends one transfer at a time, in order: one port to other hosts, one
    inside."""

    def __init__(self, call: Call, means: Means) -> None:
        self.call = call
        self._means = means
        self._life = Lifetime(call, dialer=means.dialer, timeout_s=means.timeout_s)
        self._pulse = self._life.pulse
        self._wanted: dict[int, deque[Transfer]] = defaultdict(deque)
        self._outlets: dict[int, Outlet] = {}
        self._threads: list[threading.Thread] = []
        self._ports: dict[bool, queue.SimpleQueue[Parcel | None]] = {}

    def send(
        self, buffer: NDArray | Sequence[NDArray], *, to: int, tag: int, after: Sequence[Transfer] = ()
    ) -> Transfer:
        work = self._work(buffer, to, tag, is_sent=True, upstream=tuple(after))
        self._post(Parcel(work, _WHOLE_BYTES, after=tuple(after)))
        return work

    def recv(self, buffer: NDArray | Sequence[NDArray], *, frm: int, tag: int) -> Transfer:
        return self._want(self._work(buffer, frm, tag))

    def multicast(
        self, buffer: NDArray | Sequence[NDArray], *, chain: Sequence[int], chunk_bytes: int, tag: int
    ) -> Transfer:
        """Down the chain: each passes on every chunk as soon as it is here."""
        assert chunk_bytes > 0, chunk_bytes
        index = chain.index(self.call.place)
        arriving = None
        if index > 0:
            is_relay = index + 1 < len(chain)
            arriving = self._want(self._work(buffer, chain[index - 1], tag, is_passed_on=is_relay))
        if index + 1 == len(chain):
            assert arriving is not None, chain
            return arriving
        upstream = (arriving,) if arriving is not None else ()
        leaving = self._work(buffer, chain[index + 1], tag, is_sent=True, upstream=upstream)
        self._post(Parcel(leaving, chunk_bytes, follows=arriving))
        return arriving or leaving

    def abort(self) -> None:
        self._end("it was aborted here", peer=self.call.place)

    def close(self) -> None:
        if self._life.is_idle():
            self._close()
        else:
            self._end("its channel was closed here", peer=self.call.place)
        for port in self._threads:
            port.join(self._means.timeout_s)

    def take(self, link: Link, place: int) -> None:
        """Serve a link on which the member at `place` sends, until it says goodbye. Raises LinkLost."""
        self._life.join(place, link)
        try:
            Inlet(link, epoch=self.call.epoch, awaited=lambda: self._next_wanted(place)).run()
        except LinkLost as lost:
            self._lose(lost, peer=place)
            link.abort(str(lost), epoch=self.call.epoch)
            raise
        self._life.leave(link)
        with self._pulse.changed:
            is_early = bool(self._wanted[place])
        if is_early:
            self._end("it has closed its channel and sends no more", peer=place)

    def _work(
        self,
        buffer: NDArray | Sequence[NDArray],
        peer: int,
        tag: int,
        *,
        is_sent: bool = False,
        is_passed_on: bool = False,
        upstream: tuple[Transfer, ...] = (),
    ) -> Transfer:
        assert 0 <= peer < len(self.call.group), (peer, len(self.call.group))
        assert peer != self.call.place, f"member {peer} has no need to send to itself"
        work = Transfer(
            tag=tag,
            peer=peer,
            spans=Spans(buffer),
            pulse=self._pulse,
            timeout_s=self._means.timeout_s,
            give_up=self._give_up,
            on_end=self._life.settle,
            upstream=upstream,
            is_sent=is_sent,
            is_passed_on=is_passed_on,
        )
        self._life.admit(work)
        return work

    def _want(self, work: Transfer) -> Transfer:
        assert work.spans.is_writeable, "what is received needs memory that can be written"
        with self._pulse.changed:
            self._wanted[work.peer].append(work)
            self._pulse.changed.notify_all()
        return work

    def _next_wanted(self, peer: int) -> Transfer | None:
        """Waits for it: with no limit of its own, as whoever sends has one."""
        with self._pulse.changed:
            while not self._wanted[peer]:
                if self._life.is_over:
                    return None
                self._pulse.changed.wait(self._means.timeout_s)
            return self._wanted[peer].popleft()

    def _post(self, parcel: Parcel) -> None:
        is_local = self.call.group[parcel.work.peer].host == self._means.host
        port = self._ports.get(is_local)
        if port is None:
            port = self._ports[is_local] = queue.SimpleQueue()
            self._threads.append(
                threading.Thread(target=self._serve, args=(port,), name="statmux-port", daemon=True)
            )
            self._threads[-1].start()
        port.put(parcel)

    def _serve(self, port: queue.SimpleQueue[Parcel | None]) -> None:
        while (parcel := self._next_parcel(port)) is not None:
            peer = parcel.work.peer
            try:
                for work in parcel.after:
                    work.wait()
                self._outlet(peer).write(parcel)
            except LinkLost as lost:
                self._end(self._better_reason(peer, lost), peer=peer)
                return
            except TransferFailed:
                return  # The channel has ended, and everybody who waits knows why.

    def _better_reason(self, peer: int, lost: LinkLost) -> str:
        """What the peer says last, if it says something, explains more than a connection that breaks."""
        if peer in self._outlets:
            self._outlets[peer].listen_out()
        return str(lost)

    def _next_parcel(self, port: queue.SimpleQueue[Parcel | None]) -> Parcel | None:
        while not self._life.is_over:
            try:
                return port.get(timeout=self._means.timeout_s)
            except queue.Empty:
                continue
        return None

    def _outlet(self, peer: int) -> Outlet:
        if peer not in self._outlets:
            link = self._means.dialer.dial(self.call.group[peer], self.call)
            self._life.join(peer, link)
            self._outlets[peer] = Outlet(
                link,
                epoch=self.call.epoch,
                arena=self._means.arena,
                nic=self._means.nic,
                pulse=self._pulse,
                lost=lambda lost: self._lose(lost, peer=peer),
            )
        return self._outlets[peer]

    def _close(self) -> None:
        self._life.say_goodbye(self._outlets)
        self._life.close()
        # Links on which others send stay until these say goodbye: then they serve again.
        self._stop_ports()

    def _give_up(self, work: Transfer) -> None:
        late = work.culprit()
        if not late.is_sent:
            why = "no more bytes come" if late.done_bytes else "nothing comes"
        elif late.peer in self._outlets:
            why = "it does not take what was sent"
        else:
            why = "it does not take the connection"
        self._end(why, peer=late.peer, work=late)

    def _lose(self, lost: LinkLost, *, peer: int) -> None:
        if self._life.lose(lost, peer=peer):
            self._stop_ports()

    def _end(self, why: str, *, peer: int, work: Transfer | None = None) -> None:
        if self._life.end(why, peer=peer, work=work):
            self._stop_ports()

    def _stop_ports(self) -> None:
        for port in self._ports.values():
            port.put(None)
