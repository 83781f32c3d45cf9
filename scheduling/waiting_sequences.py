"""All that waits for a generating model: sequences that were preempted, then requests of a queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import final

from scheduling.generation_sequence import Sequence
from scheduling.prefixes import PageKey
from scheduling.waiting import AbstractWaiting
from vocabulary.messages import NO_MOVES, PageMoves
from vocabulary.request import Request


@final
class WaitingSequences:
    """Preempted sequences go before all requests that nothing has been computed of."""

    def __init__(self, queue: AbstractWaiting, *, keys: Callable[[Request], list[PageKey]]) -> None:
        """keys: of the full pages of a request's prompt, made when it is about to be admitted."""
        self._queue = queue
        self._keys = keys
        # Read only: changed by the methods below.
        self.preempted: deque[Sequence] = deque()
        # The head of the queue when it did not fit, so that its keys are made once.
        self._tried: Sequence | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self.preempted)

    def push(self, request: Request) -> None:
        self._queue.push(request)

    def put_back(self, sequence: Sequence) -> None:
        """A preempted sequence waits, before all others."""
        self.preempted.appendleft(sequence)

    def head(self) -> Request | None:
        """The request that would be admitted next."""
        return self.preempted[0].request if self.preempted else self._queue.head()

    def head_not_begun(self) -> Request | None:
        """The request that would be admitted next, if nothing of it has been computed."""
        return None if self.preempted else self._queue.head()

    def next(self) -> Sequence | None:
        """What would be admitted next; the same object until another is."""
        if self.preempted:
            return self.preempted[0]
        request = self._queue.head()
        if request is None:
            return None
        if self._tried is None or self._tried.request.id != request.id:
            self._tried = Sequence(request, self._keys(request))
        return self._tried

    def pop(self) -> None:
        """What is next waits no more."""
        if self.preempted:
            self.preempted.popleft()
        else:
            self._queue.pop()
            self._tried = None

    def remove(self, request_id: int) -> bool:
        """Forget a request that nothing has been computed of; False if it does not wait here."""
        return self._queue.remove(request_id)

    def remove_preempted(self, request_id: int) -> list[Sequence]:
        """All preempted sequences of a request, which wait no more."""
        found = [one for one in self.preempted if one.request.id == request_id]
        for sequence in found:
            self.preempted.remove(sequence)
        return found

    def went_with(self, moves: PageMoves) -> None:
        """All that waited to go to the host goes with these moves."""
        for sequence in self.preempted:
            if sequence.host_pages and sequence.moved_with is NO_MOVES:
                sequence.moved_with = moves
