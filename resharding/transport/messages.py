"""The messages of a plan, as one of its hosts sends and receives them: in its order, whatever they move."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Protocol, final

from resharding.planner import TransferPlan
from resharding.sends import Send
from resharding.transport.errors import TransferFailed
from resharding.transport.interface import Channel, Work
from resharding.transport.plan_keys import message_tag, plan_key


class Bytes(Protocol):
    """What this host holds, or is to hold, of a class of the plan: byte by byte as `Segment` counts them."""

    def read(self, start: int, stop: int) -> list[Any]:
        """Memory of bytes [start, stop), with them in it: as buffers of the channel."""

    def room(self, start: int, stop: int) -> list[Any]:
        """Memory where bytes [start, stop) are to come."""

    def received(self, start: int, stop: int) -> None:
        """They are there."""


def exchange(
    plan: TransferPlan,
    *,
    host: int,
    channel: Channel,
    members: Mapping[int, int],
    first_tag: int,
    payload: Callable[[int], Bytes],
    meanwhile: Callable[[], None],
) -> None:
    """All messages of `host`; blocks until they have arrived.

    payload: of the class of this number, always the same one; meanwhile: work of this host alone, done while
    messages are under way. Raises TransferFailed, when nothing moves any more; any error ends the channel.
    """
    _Exchange(plan, host, channel, members, first_tag, payload).run(meanwhile)


@final
class _Exchange:
    def __init__(
        self,
        plan: TransferPlan,
        host: int,
        channel: Channel,
        members: Mapping[int, int],
        first_tag: int,
        payload: Callable[[int], Bytes],
    ) -> None:
        self._plan = plan
        self._host = host
        self._channel = channel
        self._members = members
        self._first_tag = first_tag
        self._payload = payload
        self._works: list[Work] = []
        self._arriving: dict[int, list[Work]] = defaultdict(list)

    def run(self, meanwhile: Callable[[], None]) -> None:
        is_done = False
        try:
            self._run(meanwhile)
            is_done = True
        finally:
            if not is_done:
                self._give_up()

    def _give_up(self) -> None:
        """Whatever went wrong: nobody waits for the rest, and no memory is in use afterwards."""
        self._channel.abort()
        for work in self._works:
            with contextlib.suppress(TransferFailed):
                work.wait()

    def _run(self, meanwhile: Callable[[], None]) -> None:
        """Room for all that comes first: nobody waits for us. Then what goes, and what is here already."""
        key = plan_key(self._plan)
        mine = [
            (message_tag(key, number), one.send)
            for number, one in enumerate(self._plan.sends, start=self._first_tag)
        ]
        taken = [(self._receive(tag, send), send) for tag, send in mine if send.to_host == self._host]
        sent = [self._send(tag, send) for tag, send in mine if send.from_host == self._host]
        meanwhile()
        for work, send in taken:
            work.wait()
            for segment in send.segments:
                self._payload(segment.transfer_class).received(segment.start, segment.stop)
        for work in sent:
            work.wait()

    def _receive(self, tag: int, send: Send) -> Work:
        room = [
            view
            for segment in send.segments
            for view in self._payload(segment.transfer_class).room(segment.start, segment.stop)
        ]
        work = self._channel.recv(room, frm=self._members[send.from_host], tag=tag)
        self._works.append(work)
        self._arriving[send.chunk].append(work)
        return work

    def _send(self, tag: int, send: Send) -> Work:
        views = []
        for segment in send.segments:
            payload = self._payload(segment.transfer_class)
            is_sender = self._host in self._plan.classes[segment.transfer_class].senders
            # What is passed on lies where it is received, and is not there yet.
            views += (payload.read if is_sender else payload.room)(segment.start, segment.stop)
        after = self._arriving.get(send.chunk, ())
        work = self._channel.send(views, to=self._members[send.to_host], tag=tag, after=after)
        self._works.append(work)
        return work
