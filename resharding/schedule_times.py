"""How long a pipeline schedule takes when activations and gradients need time to travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resharding.schedules import Rows, Task, needs


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds of a forward, of a whole backward, and of one transfer between neighbours.

    weight_share: of a backward, what the weights' gradient takes when it is delayed. overlaps: a stage goes
    on while what it made travels; otherwise it sends first.
    """

    forward_s: float
    backward_s: float = 0.0
    transfer_s: float = 0.0
    weight_share: float = 0.5
    overlaps: bool = True

    def task_s(self, task: Task, *, is_split: bool) -> float:
        """Of one task. is_split: weights' gradients are tasks of their own."""
        match task.kind:
            case "F":
                return self.forward_s
            case "W":
                return self.backward_s * self.weight_share
            case _:
                return self.backward_s * (1.0 - self.weight_share * is_split)


@dataclass(frozen=True, slots=True)
class Span:
    start_s: float
    end_s: float


def timed_schedule(rows: Rows, times: StageTimes) -> Mapping[tuple[int, Task], Span]:
    """When each task runs: a stage works in its row's order, a link carries one transfer at a time."""
    clock = _Clock(rows, times)
    next_task = [0] * len(rows)
    while True:
        ready = [
            stage
            for stage, row in enumerate(rows)
            if next_task[stage] < len(row) and clock.is_ready(stage, row[next_task[stage]])
        ]
        if not ready:
            break
        for stage in ready:
            clock.run(stage, rows[stage][next_task[stage]])
            next_task[stage] += 1
    assert next_task == [len(row) for row in rows], "the schedule waits for itself"
    return clock.spans


def makespan_s(rows: Rows, times: StageTimes) -> float:
    return max(span.end_s for span in timed_schedule(rows, times).values())


class _Clock:
    def __init__(self, rows: Rows, times: StageTimes) -> None:
        self._num_stages = len(rows)
        self._times = times
        self._is_split = any(task.kind == "W" for row in rows for task in row)
        self._free_s = [0.0] * len(rows)
        self._link_free_s: dict[tuple[int, int], float] = {}
        self._arrived_s: dict[tuple[int, Task], float] = {}
        self.spans: dict[tuple[int, Task], Span] = {}

    def is_ready(self, stage: int, task: Task) -> bool:
        return all(one in self.spans for one in needs(stage, task, self._num_stages))

    def run(self, stage: int, task: Task) -> None:
        start_s = self._free_s[stage]
        for sender, needed in needs(stage, task, self._num_stages):
            here = self._arrived_s if sender != stage else None
            start_s = max(start_s, here[sender, needed] if here else self.spans[sender, needed].end_s)
        end_s = start_s + self._times.task_s(task, is_split=self._is_split)
        self.spans[stage, task] = Span(start_s, end_s)
        self._free_s[stage] = self._send(stage, task, end_s)

    def _send(self, stage: int, task: Task, now_s: float) -> float:
        """Send on what others wait for; returns when the stage is free again."""
        to_stage = stage + {"F": 1, "B": -1, "W": 0}[task.kind]
        if to_stage == stage or not 0 <= to_stage < self._num_stages:
            return now_s
        link = (stage, to_stage)
        arrived_s = max(now_s, self._link_free_s.get(link, 0.0)) + self._times.transfer_s
        self._link_free_s[link] = self._arrived_s[stage, task] = arrived_s
        return now_s if self._times.overlaps else arrived_s
