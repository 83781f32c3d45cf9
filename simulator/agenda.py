"""What happens when, on a virtual clock: events by time, all of one instant together."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar, final

from vocabulary.units import NEVER_S

Event = TypeVar("Event")


@final
class Agenda(Generic[Event]):
    """A priority queue of events. Within an instant they come in the order in which they were added."""

    __slots__ = ("_entries", "_num_added")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Event]] = []
        self._num_added = 0

    def add(self, time_s: float, event: Event) -> None:
        heapq.heappush(self._entries, (time_s, self._num_added, event))
        self._num_added += 1

    @property
    def next_s(self) -> float:
        """Time of the next event; NEVER_S when there is none."""
        return self._entries[0][0] if self._entries else NEVER_S

    def pop_instant(self, time_s: float) -> list[Event]:
        """Remove all events at `time_s`."""
        entries = self._entries
        events: list[Event] = []
        while entries and entries[0][0] == time_s:
            events.append(heapq.heappop(entries)[2])
        return events

    def __len__(self) -> int:
        return len(self._entries)
