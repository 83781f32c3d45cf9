"""How a channel ends: once, for the first reason that there is, and everybody who waits hears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final

from resharding.transport.dialing import Call, Dialer
from resharding.transport.errors import TransferFailed
from resharding.transport.last_words import spread
from resharding.transport.links import GaveUp, Link, LinkLost
from resharding.transport.works import Pulse, Transfer

# Of memory of any kind.
Pending = Transfer[Any]


class Speaker(Protocol):
    """One end of a link on which this process speaks."""

    @property
    def link(self) -> Link: ...

    @property
    def is_answered(self) -> bool: ...

    def say_goodbye(self) -> None:
        """Raises LinkLost."""


@final
class Lifetime:
    """The links and the pending transfers of a channel, until it is closed or has failed. For any thread.

    pulse: what the channel's threads wait for; its lock guards all this.
    """

    def __init__(self, call: Call, *, dialer: Dialer, timeout_s: float) -> None:
        self.pulse = Pulse()
        self._call = call
        self._dialer = dialer
        self._timeout_s = timeout_s
        self._error: TransferFailed | None = None
        self._is_closed = False
        self._pending: dict[Pending, None] = {}
        self._links: list[tuple[int, Link]] = []

    @property
    def is_over(self) -> bool:
        return self.has_failed or self._is_closed

    @property
    def has_failed(self) -> bool:
        return self._error is not None

    def is_idle(self) -> bool:
        """Nothing is pending, and nothing has gone wrong."""
        with self.pulse.changed:
            return self._error is None and not self._pending

    def admit(self, work: Pending) -> None:
        """It is pending from now on. Raises what the channel has failed with."""
        with self.pulse.changed:
            assert not self._is_closed, "this channel is closed"
            if self._error is not None:
                raise self._error.again()
            self._pending[work] = None

    def settle(self, work: Pending) -> None:
        """It is done."""
        with self.pulse.changed:
            self._pending.pop(work, None)

    def join(self, place: int, link: Link) -> None:
        """To the member at `place`. A channel that is over takes no more links: LinkLost.

        If it has failed, the peer hears why: it may not have been there to hear it before.
        """
        with self.pulse.changed:
            if not self.is_over:
                self._links.append((place, link))
                return
            if self._error is not None:
                link.abort(self._error.message, epoch=self._call.epoch)
        link.close()
        raise LinkLost("this channel is closed")

    def leave(self, link: Link) -> None:
        """It serves other channels now."""
        with self.pulse.changed:
            self._links = [one for one in self._links if one[1] is not link]

    def close(self) -> None:
        with self.pulse.changed:
            self._is_closed = True
            self.pulse.end()

    def say_goodbye(self, speakers: Mapping[int, Speaker]) -> None:
        """On every link, by place; those that are answered are kept for the next channel."""
        for place, speaker in speakers.items():
            try:
                speaker.say_goodbye()
            except LinkLost:
                continue  # It has nothing more to say to us either.
            if speaker.is_answered:
                self.leave(speaker.link)
                self._dialer.give_back(self._call.group[place], speaker.link)

    def lose(self, lost: LinkLost, *, peer: int) -> bool:
        """As `end`: the link to `peer` is of no more use."""
        return self.end(str(lost), peer=peer, is_heard=isinstance(lost, GaveUp))

    def end(self, why: str, *, peer: int, work: Pending | None = None, is_heard: bool = False) -> bool:
        """The first reason counts: all that is pending fails with it, and the peers hear it.

        work: the transfer that it is about; is_heard: the peer says it, and to all others too. Whether it was
        the first.
        """
        with self.pulse.changed:
            if self.is_over:
                return False
            pending = list(self._pending)
            self._pending.clear()
            self._error = self._failure(why, peer, work or _first_with(peer, pending))
            reached = [place for place, _ in self._links]
            # First the links, then the works: whoever is told may write where a peer would still read.
            for _, link in self._links:
                link.abort(self._error.message, epoch=self._call.epoch)
            self._links = []
            for one in pending:
                one.fail(self._error)
            self.pulse.end()
        if not is_heard:
            spread(self._error.message, self._call, self._dialer, reached=[peer, *reached])
        return True

    def _failure(self, why: str, peer: int, work: Pending | None) -> TransferFailed:
        return TransferFailed(
            why,
            peer=f"member {peer} ({self._call.group[peer]})",
            tag=work.tag if work else None,
            done_bytes=work.done_bytes if work else 0,
            total_bytes=work.spans.num_bytes if work else 0,
            timeout_s=self._timeout_s,
        )


def _first_with(peer: int, pending: Sequence[Pending]) -> Pending | None:
    """What that peer fails, or at least what fails with it."""
    return next((one for one in pending if one.peer == peer), next(iter(pending), None))
