"""A pipeline of processes that sleep instead of computing and really send: how schedules overlap. Emulated.

Each stage is a process with a transport of its own and a slow port (`EmulatedNic`). To the transport they are
on different hosts: what they send goes over TCP. A machine with two cores can run four of them: they sleep.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, final

from resharding.schedule_times import Span, StageTimes
from resharding.schedules import Rows, Task
from resharding.transport.endpoints import Endpoint
from resharding.transport.host import HostTransport
from resharding.transport.pacing import EmulatedNic
from vocabulary.errors import RuntimeFailure, StatmuxError
from workers.emulated_links import Order
from workers.emulated_payloads import unpipelined
from workers.emulated_stage import StageRecord, run_stage
from workers.precise_timers import ask_for_precise_timers

# A loaded machine starts a process within seconds.
_START_S = 60.0
# All stages have heard of a run by then.
_LEAD_S = 0.1
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Observed:
    """What a run did, all by one clock. makespan_s: from the common start to the end of the last task."""

    stages: tuple[StageRecord, ...]
    start_s: float
    makespan_s: float

    def spans(self) -> dict[tuple[int, Task], Span]:
        """When each task ran, from the start on."""
        found: dict[tuple[int, Task], Span] = {}
        for number, stage in enumerate(self.stages):
            started: dict[Task, float] = {}
            for entry in stage.entries:
                if entry.action == "starts":
                    started[entry.task] = entry.at_s - self.start_s
                elif entry.action == "ends":
                    found[number, entry.task] = Span(started[entry.task], entry.at_s - self.start_s)
        return found


@final
class EmulatedPipeline:
    """Starts its stages when entered, ends them when left.

    nic_bytes_per_s: of each stage's port; timeout_s: how long a transfer may stand still before all end.
    """

    def __init__(self, num_stages: int, *, nic_bytes_per_s: float, timeout_s: float = 30.0) -> None:
        self._num_stages = num_stages
        self._nic_bytes_per_s = nic_bytes_per_s
        self._timeout_s = timeout_s
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._order: Order | None = None
        self._next_tag = 1

    def __enter__(self) -> EmulatedPipeline:
        for stage in range(self._num_stages):
            pipe, theirs = _SPAWN.Pipe()
            arguments = (theirs, stage, self._nic_bytes_per_s, self._timeout_s)
            process = _SPAWN.Process(target=_live, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(pipe)
            self._processes.append(process)
        group = tuple(self._gather(_START_S))
        for pipe in self._pipes:
            pipe.send(group)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of the stages that live, in order."""
        return tuple(process.pid for process in self._processes if process.pid is not None)

    def run(self, rows: Rows, times: StageTimes) -> Observed:
        """One step; a payload is `times.transfer_s` on a port. Raises RuntimeFailure when a stage is lost."""
        self.start(rows, times)
        return self.finish()

    def start(self, rows: Rows, times: StageTimes) -> None:
        """All stages begin at once, and soon."""
        assert len(rows) == self._num_stages, (len(rows), self._num_stages)
        num_bytes = max(1, round(times.transfer_s * self._nic_bytes_per_s))
        start_s = time.monotonic() + _LEAD_S
        self._order = Order(rows, times, num_bytes, start_s, self._next_tag)
        self._next_tag += 2 * len(rows[0])
        for pipe in self._pipes:
            pipe.send(self._order)

    def finish(self) -> Observed:
        """Waits for all stages; checks every byte that travelled."""
        order = self._order
        assert order is not None, "nothing was started"
        busy_s = sum(order.times.task_s(task, is_split=False) for row in order.rows for task in row)
        stages = tuple(self._gather(busy_s + self._timeout_s + _START_S))
        kinds = [task.kind for task in order.rows[0]]
        wanted = unpipelined(self._num_stages, kinds.count("F"), order.num_bytes, has_backwards="B" in kinds)
        for number, (stage, checksums) in enumerate(zip(stages, wanted, strict=True)):
            assert stage.checksums == checksums, f"stage {number} has other bytes than the unpipelined step"
        last_s = max(entry.at_s for stage in stages for entry in stage.entries if entry.action == "ends")
        return Observed(stages, order.start_s, last_s - order.start_s)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.join()
            process.close()
            pipe.close()
        self._processes, self._pipes = [], []

    def _gather(self, patience_s: float) -> list[Any]:
        """One answer of every stage. When one is lost, the others have the time-out to say so."""
        answers: dict[int, Any] = {}
        ends_s = time.monotonic() + patience_s
        while len(answers) < self._num_stages:
            left = [number for number in range(self._num_stages) if number not in answers]
            ready = wait([self._pipes[number] for number in left], max(0.0, ends_s - time.monotonic()))
            if not ready:
                break
            for number in left:
                if self._pipes[number] in ready:
                    answers[number] = _answer(self._pipes[number])
            if not all(map(_is_well, answers.values())):
                ends_s = min(ends_s, time.monotonic() + self._timeout_s)
        lost = [number for number in range(self._num_stages) if not _is_well(answers.get(number))]
        if lost:
            self._fail(lost, answers)
        return [answers[number] for number in range(self._num_stages)]

    def _fail(self, lost: Sequence[int], answers: dict[int, Any]) -> None:
        """Whoever did not answer is the cause; the others know it from their transfers."""
        self.end()
        said = [
            f"stage {number}: {answers.get(number) or 'it is gone, or does not answer'}" for number in lost
        ]
        hint = "start the pipeline again; on a loaded machine give a larger timeout_s"
        raise RuntimeFailure(f"{len(lost)} of {self._num_stages} stages failed: {'; '.join(said)}", hint=hint)


def _answer(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        return None


def _is_well(answer: Any) -> bool:
    return answer is not None and not isinstance(answer, StatmuxError)


def _live(pipe: Connection, stage: int, nic_bytes_per_s: float, timeout_s: float) -> None:
    """A stage's process: runs orders until the pipe closes, or a transfer fails."""
    ask_for_precise_timers()
    # Stages share no memory, as if each had a host of its own.
    transport = HostTransport(host=f"stage-{stage}", timeout_s=timeout_s, nic=EmulatedNic(nic_bytes_per_s))
    pipe.send(transport.endpoint())
    try:
        group: tuple[Endpoint, ...] = pipe.recv()
        channel = transport.open(group, 1)
        while True:
            pipe.send(run_stage(pipe.recv(), stage=stage, channel=channel))
    except EOFError:
        return
    except StatmuxError as error:
        pipe.send(error)
    finally:
        transport.close()
