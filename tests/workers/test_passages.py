"""Who waits for whom between two stages: told by what happens before what, not by how long it takes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from workers.passages import NUM_BUFFERS, Passage, StageThread

# Bounds a test that hangs; nothing is measured by it.
PATIENCE_S = 60.0


class Line:
    """Two stages and the passage between them; every step waits until it is allowed, and tells its end."""

    def __init__(self, *, is_instant: bool = False) -> None:
        self.gates: dict[tuple[str, int], threading.Event] = {}
        self.events: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self.failures: queue.SimpleQueue[tuple[int, Exception]] = queue.SimpleQueue()
        self.second = StageThread(
            self._step("second", after=lambda: self.passage.free()),
            onward=lambda job: None,
            freed=lambda job: None,
            failed=self._fail,
            name="second",
        )
        carry = self._step("carry")
        self.passage = Passage(
            lambda job: self.second.enter(carry(job)),
            failed=self._fail,
            name="passage",
            is_instant=lambda job: is_instant,
        )
        self.first = StageThread(
            self._step("first"),
            onward=self.passage.give,
            freed=lambda job: self.events.put(("freed", job)),
            failed=self._fail,
            name="first",
        )

    def hold(self, step: str, job: int) -> threading.Event:
        return self.gates.setdefault((step, job), threading.Event())

    def next_events(self, count: int) -> list[tuple[str, int]]:
        return [self.events.get(timeout=PATIENCE_S) for _ in range(count)]

    def close(self) -> None:
        for gate in self.gates.values():
            gate.set()
        for one in (self.first, self.passage, self.second):
            one.close()
            one.join(PATIENCE_S)

    def _step(self, name: str, *, after: Callable[[], None] = lambda: None) -> Callable[[int], int]:
        def run(job: int) -> int:
            gate = self.gates.get((name, job))
            try:
                if gate is not None:
                    assert gate.wait(PATIENCE_S), f"{name} of {job} was never allowed"
                if job < 0:
                    raise ValueError(f"{name} of {job}")
                self.events.put((name, job))
            finally:
                after()
            return job

        return run

    def _fail(self, job: int, error: Exception) -> None:
        self.failures.put((job, error))


@pytest.fixture
def line():
    made = Line()
    yield made
    made.close()


def test_a_stage_computes_the_next_batch_while_the_last_one_is_on_its_way(line: Line):
    arrival = line.hold("carry", 0)
    line.first.enter(0)
    line.first.enter(1)
    # The first batch has not arrived, and cannot before we say so.
    assert line.next_events(3) == [("first", 0), ("freed", 0), ("first", 1)]
    arrival.set()
    assert ("second", 0) in line.next_events(5)


def test_a_batch_travels_while_the_next_stage_computes_the_one_before(line: Line):
    computed = line.hold("second", 0)
    for job in (0, 1):
        line.first.enter(job)
    seen = line.next_events(6)
    assert ("carry", 1) in seen
    assert ("second", 0) not in seen
    computed.set()
    assert line.next_events(2) == [("second", 0), ("second", 1)]


def test_a_stage_that_is_ahead_waits_for_a_buffer(line: Line):
    computed = line.hold("second", 0)
    for job in range(NUM_BUFFERS + 2):
        line.first.enter(job)
    ahead = line.next_events(3 * NUM_BUFFERS + 1)
    assert {job for name, job in ahead if name == "freed"} == set(range(NUM_BUFFERS))
    assert ("first", NUM_BUFFERS) in ahead
    assert ("first", NUM_BUFFERS + 1) not in ahead, "the stage computed on without a buffer for what it made"
    assert line.events.empty()
    computed.set()
    assert ("second", NUM_BUFFERS + 1) in line.next_events(4 * (NUM_BUFFERS + 2) - len(ahead))


def test_batches_arrive_in_their_order_whether_handed_over_or_carried():
    line = Line(is_instant=True)
    for job in range(20):
        line.first.enter(job)
    seen = line.next_events(80)
    assert [job for name, job in seen if name == "second"] == list(range(20))
    line.close()


def test_a_batch_that_cannot_be_computed_or_carried_holds_up_no_other(line: Line):
    for job in (-1, 0, -2, 1):
        line.first.enter(job)
    line.passage.give(-3)
    failed = {line.failures.get(timeout=PATIENCE_S)[0] for _ in range(3)}
    assert failed == {-1, -2, -3}
    line.first.enter(2)
    seen = line.next_events(14)
    assert [job for name, job in seen if name == "second"] == [0, 1, 2]


def test_closing_lets_go_of_who_waits(line: Line):
    line.hold("second", 0)
    for job in range(NUM_BUFFERS + 2):
        line.first.enter(job)
    line.next_events(3 * NUM_BUFFERS + 1)
    line.passage.close()
    line.first.close()
    line.first.join(PATIENCE_S)
    assert line.events.get(timeout=PATIENCE_S) == ("freed", NUM_BUFFERS)
