"""One stage of an emulated pipeline: it sleeps for its times, and really sends and receives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from resharding.schedules import Task, peak_in_flight
from resharding.transport.interface import Channel
from workers.emulated_links import Inlet, Order, Outlet
from workers.emulated_payloads import (
    Checksums,
    Payload,
    add_weight_gradient,
    backward,
    checksum,
    forward,
    micro_batch,
)

Action = Literal["takes", "starts", "ends", "sends", "has sent"]


@dataclass(frozen=True, slots=True)
class Entry:
    """takes: the stage has its input; starts, ends: it computes; has sent: it knows that all has arrived."""

    action: Action
    task: Task
    at_s: float


@dataclass(frozen=True, slots=True)
class StageRecord:
    """entries in the order in which they happened; peak_in_flight: activations held at once."""

    entries: tuple[Entry, ...]
    peak_in_flight: int
    checksums: Checksums


def run_stage(order: Order, *, stage: int, channel: Channel) -> StageRecord:
    """The stage's row. Stages are the members of the channel's group, in order. Raises TransferFailed."""
    return _Stage(order, stage, channel).run()


@final
class _Stage:
    """All memory is made before the start: activations as many as the schedule holds, two buffers a way."""

    def __init__(self, order: Order, stage: int, channel: Channel) -> None:
        self._order = order
        self._stage = stage
        self._row = order.rows[stage]
        self._is_split = any(task.kind == "W" for task in self._row)
        self._has_backwards = any(task.kind == "B" for task in self._row)
        self._is_last = stage + 1 == len(order.rows)
        size = order.num_bytes
        self._free = [np.empty(size, np.uint8) for _ in range(peak_in_flight(order.rows)[stage])]
        self._held: dict[int, Payload] = {}
        self._gradients: dict[int, Payload] = {}
        self._gradient_room = np.empty(size, np.uint8)
        self._weights = np.zeros(size, np.uint8)
        self._outputs: dict[int, int] = {}
        self._input_gradients: dict[int, int] = {}
        self._peak = 0
        self._entries: list[Entry] = []
        self._inlets = {
            kind: Inlet(channel, order, kind=kind, frm=frm)
            for kind, frm in (("F", stage - 1), ("B", stage + 1))
            if 0 <= frm < len(order.rows)
        }
        self._outlets = {
            kind: Outlet(channel, order, to=to)
            for kind, to in (("F", stage + 1), ("B", stage - 1))
            if 0 <= to < len(order.rows)
        }

    def run(self) -> StageRecord:
        _sleep_until(self._order.start_s)
        for task in self._row:
            self._perform(task)
        for outlet in self._outlets.values():
            for sent in outlet.finish():
                self._note("has sent", sent)
        made = (_in_order(self._outputs), _in_order(self._input_gradients), checksum(self._weights))
        return StageRecord(tuple(self._entries), self._peak, Checksums(*made))

    def _perform(self, task: Task) -> None:
        match task.kind:
            case "F":
                self._forward(task)
            case "B":
                self._backward(task)
            case "W":
                self._compute(task, lambda: self._finish(task.micro_batch))

    def _forward(self, task: Task) -> None:
        taken = self._free.pop()
        self._take(task, taken)
        self._held[task.micro_batch] = taken
        self._peak = max(self._peak, len(self._held))
        output = np.empty_like(taken) if self._is_last else self._room(task)

        def compute() -> None:
            forward(self._stage, taken, out=output)
            self._outputs[task.micro_batch] = checksum(output)

        self._compute(task, compute)
        if not self._is_last:
            self._send(task)
        elif self._has_backwards:
            self._gradients[task.micro_batch] = output
        if not self._has_backwards:
            self._free.append(self._held.pop(task.micro_batch))

    def _backward(self, task: Task) -> None:
        index = task.micro_batch
        if not self._is_last:
            self._gradients[index] = self._gradient_room
            self._take(task, self._gradient_room)
        passed = self._room(task) if self._stage else np.empty_like(self._gradient_room)

        def compute() -> None:
            backward(self._stage, self._held[index], self._gradients[index], out=passed)
            self._input_gradients[index] = checksum(passed)
            if not self._is_split:
                self._finish(index)

        self._compute(task, compute)
        if self._stage:
            self._send(task)

    def _finish(self, index: int) -> None:
        """The weights' gradient; nobody needs the activation any more."""
        taken = self._held.pop(index)
        add_weight_gradient(self._weights, taken, self._gradients.pop(index))
        self._free.append(taken)

    def _take(self, task: Task, room: Payload) -> None:
        if task.kind in self._inlets:
            self._inlets[task.kind].take(task, room)
        else:
            np.copyto(room, micro_batch(task.micro_batch, self._order.num_bytes))
        self._note("takes", task)

    def _compute(self, task: Task, work: Callable[[], None]) -> None:
        started_s = self._note("starts", task)
        work()
        _sleep_until(started_s + self._order.times.task_s(task, is_split=self._is_split))
        self._note("ends", task)

    def _room(self, task: Task) -> Payload:
        """Where the output goes; waits until what was sent from there two outputs ago has left."""
        room, sent = self._outlets[task.kind].room()
        if sent is not None:
            self._note("has sent", sent)
        return room

    def _send(self, task: Task) -> None:
        self._note("sends", task)
        self._outlets[task.kind].send(task)
        if not self._order.times.overlaps:
            for sent in self._outlets[task.kind].finish():
                self._note("has sent", sent)

    def _note(self, action: Action, task: Task) -> float:
        now_s = time.monotonic()
        self._entries.append(Entry(action, task, now_s))
        return now_s


def _in_order(checksums: dict[int, int]) -> tuple[int, ...]:
    return tuple(checksums[index] for index in sorted(checksums))


def _sleep_until(at_s: float) -> None:
    while (left_s := at_s - time.monotonic()) > 0:
        time.sleep(left_s)
