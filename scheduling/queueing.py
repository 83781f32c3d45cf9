"""Waiting requests of a group in one order: first come first served, or earliest deadline first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import final

from vocabulary.request import Request

# Removed requests that a queue may hold beyond its members before it is made anew.
_SPARE_ENTRIES = 64
Key = tuple[float, float, int]


def first_come_first_served(request: Request) -> Key:
    return (0.0, request.arrival_s, request.id)


def earliest_deadline_first(request: Request) -> Key:
    return (request.due_s, request.arrival_s, request.id)


# By queue policy, of requests that are answered in one shot. What tenants had, and what the cache of prefixes
# has, is known of models that generate only (`scheduling.waiting_policies`).
ORDERS: dict[str, Callable[[Request], Key]] = {
    "fcfs": first_come_first_served,
    "edf": earliest_deadline_first,
    "vtc": first_come_first_served,
    "longest_prefix": first_come_first_served,
    "depth_first": first_come_first_served,
}


@final
class Queue:
    """Requests by `order`, smallest key first. Push, pop and remove are O(log n)."""

    __slots__ = ("_entries", "_members", "_order")

    def __init__(self, order: Callable[[Request], Key]) -> None:
        self._order = order
        self._entries: list[tuple[Key, Request]] = []
        # A removed request stays in the heap and is skipped when it surfaces.
        self._members: set[int] = set()

    def push(self, request: Request) -> None:
        assert request.id not in self._members, request
        self._members.add(request.id)
        heapq.heappush(self._entries, (self._order(request), request))

    def head(self) -> Request | None:
        """The request that should run next, None when nobody waits."""
        entries = self._entries
        while entries and entries[0][1].id not in self._members:
            heapq.heappop(entries)
        return entries[0][1] if entries else None

    def pop(self) -> Request:
        """Remove and return the head; the queue must not be empty."""
        request = self.head()
        assert request is not None, "pop from an empty queue"
        heapq.heappop(self._entries)
        self._members.remove(request.id)
        return request

    def remove(self, request_id: int) -> bool:
        """Forget a request; False if it is not here (any more)."""
        found = request_id in self._members
        self._members.discard(request_id)
        if len(self._entries) > 2 * len(self._members) + _SPARE_ENTRIES:
            self._entries = [entry for entry in self._entries if entry[1].id in self._members]
            heapq.heapify(self._entries)
        return found

    def members(self) -> Iterator[Request]:
        """All waiting requests, in no order; O(n)."""
        return (request for _, request in self._entries if request.id in self._members)

    def waiting(self) -> Iterator[Request]:
        """All waiting requests in order; the first k take O(k log k). The queue must not change meanwhile."""
        # The next in order is always a child, in the heap, of one that came before it.
        entries = self._entries
        frontier = [(entries[0][0], 0)] if entries else []
        while frontier:
            _, index = heapq.heappop(frontier)
            request = entries[index][1]
            if request.id in self._members:
                yield request
            for child in range(2 * index + 1, min(2 * index + 3, len(entries))):
                heapq.heappush(frontier, (entries[child][0], child))

    def __len__(self) -> int:
        return len(self._members)

    def served(self, request: Request, *, num_input: int, num_output: int, num_cached: int) -> None:
        """See `scheduling.waiting`: this order heeds no service."""

    def left(self, request: Request) -> None:
        """See `scheduling.waiting`."""
