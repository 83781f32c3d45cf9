"""What a scheduler of sequences asks of the requests that wait: the seam of queue policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from vocabulary.request import Request


class AbstractWaiting(Protocol):
    """Waiting requests of one generating model on one group. `scheduling.queueing.Queue` is the plain one."""

    def push(self, request: Request) -> None: ...

    def head(self) -> Request | None:
        """Who is admitted next; the same until something is pushed, popped, removed, served or cached."""

    def pop(self) -> Request:
        """Remove and return the head."""

    def remove(self, request_id: int) -> bool:
        """Forget a request; False if it does not wait here."""

    def members(self) -> Iterator[Request]:
        """All that wait, in no order."""

    def __len__(self) -> int: ...

    def served(self, request: Request, *, num_input: int, num_output: int, num_cached: int) -> None:
        """Tokens of the request that a step computes: of its prompt for the first time, drawn, and those of
        the prompt that the cache of prefixes had. What a preemption makes it compute again is not told."""

    def left(self, request: Request) -> None:
        """The request, once popped, has ended: it runs no more."""
