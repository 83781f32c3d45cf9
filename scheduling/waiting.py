"""What a scheduler of sequences asks of the requests that wait: the seam of queue policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from vocabulary.request import Request

# How many tokens at the front of a request's prompt the cache of prefixes has now. It changes when steps are
# made and end, so never between two of the calls below without a `served` or `left`.
Matched = Callable[[Request], int]


class AbstractWaiting(Protocol):
    """Waiting requests of one generating model on one group. `scheduling.queueing.Queue` is the plain one."""

    def push(self, request: Request) -> None:
        """A request comes. What else comes in the same instant may be pushed before or after it."""

    def head(self) -> Request | None:
        """Who is admitted next; the same until something is pushed, popped, removed, served or cached."""
        ...

    def pop(self) -> Request:
        """Remove and return the head."""
        ...

    def remove(self, request_id: int) -> bool:
        """Forget a request; False if it does not wait here."""
        ...

    def members(self) -> Iterator[Request]:
        """All that wait, in no order."""
        ...

    def __len__(self) -> int: ...

    def served(self, request: Request, *, num_input: int, num_output: int, num_cached: int) -> None:
        """Tokens of a popped request: of its prompt, computed for the first time; drawn; and those of its
        prompt that the cache of prefixes had. What a preemption makes it compute again is not told.

        Told when the step that computes them is made: those of a request that is admitted right after its
        pop, before the head is asked for again.
        """

    def left(self, request: Request) -> None:
        """The request, once popped, has ended: it runs no more."""


# How a scheduler of sequences, which has the cache of prefixes, gets its waiting requests.
MakeWaiting = Callable[[Matched], AbstractWaiting]
