"""What stages of an emulated pipeline send each other, in buffers that are made once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from resharding.schedule_times import StageTimes
from resharding.schedules import Kind, Rows, Task
from resharding.transport.interface import Channel, Work
from workers.emulated_payloads import Payload

# Of what travels one way: while one is sent or taken, the next is made or arrives.
NUM_BUFFERS = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What stages are to run, from `start_s` of the monotonic clock on.

    num_bytes: of a payload; first_tag: transfers of this run have tags from here on.
    """

    rows: Rows
    times: StageTimes
    num_bytes: int
    start_s: float
    first_tag: int


@final
class Inlet:
    """What comes from a neighbour, in the order in which that makes it: every buffer waits to be filled."""

    def __init__(self, channel: Channel, order: Order, *, kind: Kind, frm: int) -> None:
        self._channel = channel
        self._order = order
        self._from = frm
        self._coming = deque(task for task in order.rows[frm] if task.kind == kind)
        self._waiting: deque[tuple[Task, Payload, Work]] = deque()
        for _ in range(NUM_BUFFERS):
            self._post(np.empty(order.num_bytes, np.uint8))

    def take(self, task: Task, room: Payload) -> None:
        """Waits for it, and offers its buffer to the one after next."""
        coming, buffer, work = self._waiting.popleft()
        assert coming == task, (coming, task)
        work.wait()
        np.copyto(room, buffer)
        self._post(buffer)

    def _post(self, buffer: Payload) -> None:
        if self._coming:
            task = self._coming.popleft()
            work = self._channel.recv(buffer, frm=self._from, tag=_tag(self._order, task))
            self._waiting.append((task, buffer, work))


@final
class Outlet:
    """What goes to a neighbour."""

    def __init__(self, channel: Channel, order: Order, *, to: int) -> None:
        self._channel = channel
        self._order = order
        self._to = to
        self._buffers = deque(np.empty(order.num_bytes, np.uint8) for _ in range(NUM_BUFFERS))
        self._leaving: deque[tuple[Task, Work]] = deque()

    def room(self) -> tuple[Payload, Task | None]:
        """The next buffer, and what had to arrive before, if its sender was not known to be done."""
        sent = None
        if len(self._leaving) == NUM_BUFFERS:
            sent, work = self._leaving.popleft()
            work.wait()
        return self._buffers[0], sent

    def send(self, task: Task) -> None:
        """What was written in the room, at once."""
        buffer = self._buffers[0]
        self._buffers.rotate(-1)
        work = self._channel.send(buffer, to=self._to, tag=_tag(self._order, task))
        self._leaving.append((task, work))

    def finish(self) -> Sequence[Task]:
        """Waits for all that leaves; in order."""
        tasks = []
        while self._leaving:
            task, work = self._leaving.popleft()
            work.wait()
            tasks.append(task)
        return tasks


def _tag(order: Order, task: Task) -> int:
    return order.first_tag + 2 * task.micro_batch + (task.kind == "B")
