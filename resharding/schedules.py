"""Pipeline schedules as tables: what each stage does in which order (MLSys 2023 section 4; GPipe; PipeDream).

A schedule of n stages and m micro-batches is a row of tasks for each stage. F is a forward, B a backward;
with delayed weight gradients B stops at the input's gradient, which the stage before waits for, and W makes
the weights' gradient while that travels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["F", "B", "W"]


@dataclass(frozen=True, slots=True, order=True)
class Task:
    kind: Kind
    micro_batch: int

    def __str__(self) -> str:
        return f"{self.kind}{self.micro_batch}"


Rows = tuple[tuple[Task, ...], ...]


def gpipe(num_stages: int, num_micro_batches: int) -> Rows:
    """All forwards, then all backwards, the last micro-batch first."""
    forwards = _all("F", num_micro_batches)
    backwards = tuple(reversed(_all("B", num_micro_batches)))
    return (forwards + backwards,) * num_stages


def one_f_one_b(num_stages: int, num_micro_batches: int) -> Rows:
    """n - i forwards at stage i before its first backward, then one of each (PipeDream-flush)."""
    return _alternating(num_stages, num_micro_batches, lambda stage: num_stages - stage)


def eager_one_f_one_b(num_stages: int, num_micro_batches: int) -> Rows:
    """2 (n - i) - 1 forwards before the first backward: a slot for every activation to travel in."""
    return _alternating(num_stages, num_micro_batches, lambda stage: 2 * (num_stages - stage) - 1)


def inference(num_stages: int, num_micro_batches: int) -> Rows:
    return (_all("F", num_micro_batches),) * num_stages


SCHEDULES: dict[str, Callable[[int, int], Rows]] = {
    "gpipe": gpipe,
    "1f1b": one_f_one_b,
    "eager_1f1b": eager_one_f_one_b,
    "inference": inference,
}


def with_delayed_weights(rows: Rows) -> Rows:
    """Every backward is followed by its weights' gradient as a task of its own."""
    return tuple(
        tuple(
            each
            for task in row
            for each in ((task, Task("W", task.micro_batch)) if task.kind == "B" else (task,))
        )
        for row in rows
    )


def table(rows: Rows) -> Mapping[tuple[int, int], Task]:
    """(stage, clock) -> task when every task takes one clock and travel takes none."""
    next_task = [0] * len(rows)
    done: dict[tuple[int, Task], int] = {}
    found: dict[tuple[int, int], Task] = {}
    clock = 0
    while any(position < len(row) for position, row in zip(next_task, rows, strict=True)):
        started = [
            (stage, row[next_task[stage]])
            for stage, row in enumerate(rows)
            if next_task[stage] < len(row)
            and _may_start(stage, row[next_task[stage]], len(rows), done, clock)
        ]
        assert started, "the schedule waits for itself"
        for stage, task in started:
            found[stage, clock] = task
            done[stage, task] = clock
            next_task[stage] += 1
        clock += 1
    return found


def peak_in_flight(rows: Rows) -> tuple[int, ...]:
    """Of each stage: the most micro-batches that it holds, from their forward to their backward.

    Where nothing goes backwards, one is held while it is computed with.
    """
    return tuple(_peak(row) for row in rows)


def needs(stage: int, task: Task, num_stages: int) -> tuple[tuple[int, Task], ...]:
    """What must have ended before: (stage, task), on the same stage or on the one that sends."""
    before: list[tuple[int, Task]] = []
    match task.kind:
        case "F" if stage > 0:
            before.append((stage - 1, task))
        case "B":
            before.append((stage, Task("F", task.micro_batch)))
            if stage + 1 < num_stages:
                before.append((stage + 1, task))
        case "W":
            before.append((stage, Task("B", task.micro_batch)))
        case _:
            pass  # the first stage takes what comes from outside
    return tuple(before)


def _may_start(
    stage: int, task: Task, num_stages: int, done: Mapping[tuple[int, Task], int], clock: int
) -> bool:
    return all(done.get(one, clock) < clock for one in needs(stage, task, num_stages))


def _alternating(num_stages: int, num_micro_batches: int, warm_up: Callable[[int], int]) -> Rows:
    rows: list[tuple[Task, ...]] = []
    for stage in range(num_stages):
        first = min(warm_up(stage), num_micro_batches)
        row = list(_all("F", first))
        for index in range(num_micro_batches):
            row.append(Task("B", index))
            if first + index < num_micro_batches:
                row.append(Task("F", first + index))
        rows.append(tuple(row))
    return tuple(rows)


def _all(kind: Kind, number: int) -> tuple[Task, ...]:
    return tuple(Task(kind, index) for index in range(number))


def _peak(row: tuple[Task, ...]) -> int:
    held = most = 0
    for task in row:
        held += {"F": 1, "B": -1, "W": 0}[task.kind]
        most = max(most, held)
    return most if any(task.kind == "B" for task in row) else min(most, 1)
