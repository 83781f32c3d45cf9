"""Queues: the order of service, and forgetting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.queueing import ORDERS, Queue
from vocabulary.request import Request


def drain(queue: Queue) -> list[int]:
    return [queue.pop().id for _ in range(len(queue))]


def filled(order: str, *requests: Request) -> Queue:
    queue = Queue(ORDERS[order])
    for request in requests:
        queue.push(request)
    return queue


def test_first_come_is_first_served_and_the_lower_id_wins_a_tie() -> None:
    late, second, first = Request(0, "a", 2.0), Request(7, "a", 1.0), Request(3, "b", 1.0)
    assert drain(filled("fcfs", late, second, first)) == [3, 7, 0]


def test_the_earliest_deadline_is_first_then_arrival_then_id() -> None:
    requests = (
        Request(0, "a", 0.0, slo_s=9.0),
        Request(1, "a", 1.0, slo_s=1.0),
        Request(2, "a", 0.5, slo_s=1.5),
        Request(3, "a", 0.5, slo_s=1.5),
        Request(4, "a", 3.0, slo_s=9.0, deadline_s=1.5),
    )
    assert drain(filled("edf", *requests)) == [4, 2, 3, 1, 0]


def test_without_deadlines_the_earliest_deadline_first_is_first_come_first_served() -> None:
    assert drain(filled("edf", Request(2, "a", 1.0), Request(1, "a", 1.0), Request(0, "a", 2.0))) == [1, 2, 0]


def test_a_removed_request_never_comes_up() -> None:
    queue = filled("fcfs", *(Request(index, "a", 0.0) for index in range(4)))
    assert queue.remove(0)
    assert queue.remove(2)
    assert len(queue) == 2
    assert [request.id for request in queue.waiting()] == [1, 3]
    assert drain(queue) == [1, 3]


def test_removing_what_is_not_there_says_so() -> None:
    queue = filled("fcfs", Request(0, "a", 0.0))
    assert not queue.remove(1)
    assert queue.remove(0)
    assert not queue.remove(0)
    assert queue.head() is None


def test_looking_at_the_head_or_the_line_changes_nothing() -> None:
    queue = filled("fcfs", Request(1, "a", 0.0), Request(0, "a", 1.0))
    for _ in range(2):
        assert queue.head() == Request(1, "a", 0.0)
        assert [request.id for request in queue.waiting()] == [1, 0]
        assert len(queue) == 2


def test_a_request_waits_once() -> None:
    queue = filled("fcfs", Request(0, "a", 0.0))
    with pytest.raises(AssertionError):
        queue.push(Request(0, "a", 0.0))


def test_nobody_pops_an_empty_queue() -> None:
    with pytest.raises(AssertionError, match="empty"):
        Queue(ORDERS["fcfs"]).pop()


REQUESTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12).map(
    lambda times: [Request(i, "a", float(arrival), float(slo)) for i, (arrival, slo) in enumerate(times)]
)


@settings(deadline=None)
@given(st.sampled_from(sorted(ORDERS)), REQUESTS, st.data())
def test_any_mix_of_pushes_pops_and_removals_keeps_the_order(order: str, requests, data) -> None:
    queue = Queue(ORDERS[order])
    waiting: list[Request] = []
    coming = data.draw(st.permutations(requests))
    while coming or waiting:
        step = data.draw(st.sampled_from(("push", "pop", "remove")))
        if step == "push" and coming:
            request = coming.pop()
            queue.push(request)
            waiting.append(request)
        elif step == "pop" and waiting:
            head = min(waiting, key=ORDERS[order])
            assert queue.head() == queue.pop() == head
            waiting.remove(head)
        elif step == "remove" or not coming:
            request_id = data.draw(st.integers(0, len(requests)))
            assert queue.remove(request_id) == any(request.id == request_id for request in waiting)
            waiting = [request for request in waiting if request.id != request_id]
        assert len(queue) == len(waiting)
        assert list(queue.waiting()) == sorted(waiting, key=ORDERS[order])
