"""Orders of waiting requests that use the cache of prefixes better (RadixAttention, SGLang §3).

Neither starves anybody: who came first is next once `max_overtaken` younger ones were taken before it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import final

from scheduling.waiting import Matched
from vocabulary.request import Request

# Above so many, matching all takes longer than it saves: SGLang's bound as well.
MAX_SORTED = 128
MAX_OVERTAKEN = 1000
Age = tuple[float, int]
# The chained hashes of a prompt, then its age: in this order, prompts that begin alike stand together.
Place = tuple[tuple[int, ...], Age]


@final
class Ages:
    """Who waits, oldest first, and how many younger ones were taken before the oldest."""

    __slots__ = ("_by_age", "_overtakings", "_requests", "num_overtakings")

    def __init__(self) -> None:
        self._by_age: list[Age] = []
        self._requests: dict[int, Request] = {}
        # At an id: how often it was overtaken together with all older ones. The sum is that of the oldest.
        self._overtakings: dict[int, int] = {}
        self.num_overtakings = 0

    def __len__(self) -> int:
        return len(self._by_age)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._requests

    def members(self) -> Iterator[Request]:
        """In no order."""
        return iter(self._requests.values())

    def request(self, request_id: int) -> Request:
        return self._requests[request_id]

    def add(self, request: Request) -> None:
        assert request.id not in self._requests, request
        insort(self._by_age, age_of(request))
        self._requests[request.id] = request
        self._overtakings[request.id] = 0

    def oldest(self) -> Request:
        return self._requests[self._by_age[0][1]]

    def take(self, request: Request) -> None:
        """It is served now: older ones are overtaken."""
        self._remove(request.id, num_more=1)

    def forget(self, request_id: int) -> Request:
        """It goes without being served."""
        return self._remove(request_id, num_more=0)

    def _remove(self, request_id: int, *, num_more: int) -> Request:
        request = self._requests.pop(request_id)
        index = bisect_left(self._by_age, age_of(request))
        del self._by_age[index]
        overtakings = self._overtakings.pop(request_id)
        if index:
            self._overtakings[self._by_age[index - 1][1]] += overtakings + num_more
            self.num_overtakings += num_more
        else:
            self.num_overtakings -= overtakings
        return request


@final
class LongestPrefixFirst:
    """Who has most of its prompt in the cache is next; first come, first served above `max_sorted`."""

    __slots__ = ("_ages", "_head", "_matched", "_max_overtaken", "_max_sorted")

    def __init__(
        self, matched: Matched, *, max_sorted: int = MAX_SORTED, max_overtaken: int = MAX_OVERTAKEN
    ) -> None:
        self._matched = matched
        self._max_sorted = max_sorted
        self._max_overtaken = max_overtaken
        self._ages = Ages()
        # Until something changes: every head costs a look at the cache for each that waits.
        self._head: Request | None = None

    def push(self, request: Request) -> None:
        self._ages.add(request)
        self._head = None

    def head(self) -> Request | None:
        if self._head is None and len(self._ages):
            self._head = self._first()
        return self._head

    def pop(self) -> Request:
        request = self.head()
        assert request is not None, "pop from an empty line"
        self._ages.take(request)
        self._head = None
        return request

    def remove(self, request_id: int) -> bool:
        if request_id not in self._ages:
            return False
        self._ages.forget(request_id)
        self._head = None
        return True

    def members(self) -> Iterator[Request]:
        return self._ages.members()

    def __len__(self) -> int:
        return len(self._ages)

    def served(self, request: Request, *, num_input: int, num_output: int, num_cached: int) -> None:
        # Prompts become known, and cached pages go for those that are admitted.
        if num_input:
            self._head = None

    def left(self, request: Request) -> None:
        self._head = None

    def _first(self) -> Request:
        ages = self._ages
        if len(ages) > self._max_sorted or ages.num_overtakings >= self._max_overtaken:
            return ages.oldest()
        return min(ages.members(), key=lambda request: (-self._matched(request), age_of(request)))


@final
class DepthFirst:
    """The tree of waiting prompts, depth first: who shares most with the one taken last is next.

    Every beginning is computed once while the cache holds the longest prompt. What is left when nobody
    shares anything with the last one is taken up at the oldest.
    """

    __slots__ = ("_ages", "_last", "_max_overtaken", "_places")

    def __init__(self, *, max_overtaken: int = MAX_OVERTAKEN) -> None:
        self._max_overtaken = max_overtaken
        self._ages = Ages()
        self._places: list[Place] = []
        self._last: Place | None = None

    def push(self, request: Request) -> None:
        self._ages.add(request)
        insort(self._places, _place(request))

    def head(self) -> Request | None:
        if not self._places:
            return None
        if self._last is None or self._ages.num_overtakings >= self._max_overtaken:
            return self._ages.oldest()
        return self._nearest(self._last) or self._ages.oldest()

    def pop(self) -> Request:
        request = self.head()
        assert request is not None, "pop from an empty line"
        self._ages.take(request)
        self._last = _place(request)
        self._drop(self._last)
        return request

    def remove(self, request_id: int) -> bool:
        if request_id not in self._ages:
            return False
        self._drop(_place(self._ages.forget(request_id)))
        return True

    def members(self) -> Iterator[Request]:
        return self._ages.members()

    def __len__(self) -> int:
        return len(self._ages)

    def served(self, request: Request, *, num_input: int, num_output: int, num_cached: int) -> None:
        """The order heeds the tree of those who wait only."""

    def left(self, request: Request) -> None:
        """The same."""

    def _nearest(self, last: Place) -> Request | None:
        """Who begins as the last one did, for as long as any; None when nobody shares a block with it."""
        index = bisect_left(self._places, last)
        beside = self._places[max(0, index - 1) : index + 1]
        # Of two that share as much, the one behind: the one before is of a part that is done.
        nearest = max(beside, key=lambda place: (_num_shared(place[0], last[0]), place))
        return self._ages.request(nearest[1][1]) if _num_shared(nearest[0], last[0]) else None

    def _drop(self, place: Place) -> None:
        del self._places[bisect_left(self._places, place)]


def age_of(request: Request) -> Age:
    return (request.arrival_s, request.id)


def _place(request: Request) -> Place:
    return (() if request.prefix is None else request.prefix.block_hashes, age_of(request))


def _num_shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Blocks at the front that are equal; hashes are chained, so before two equal ones all are."""
    most = range(min(len(one), len(other)))
    return bisect_left(most, True, key=lambda index: one[index] != other[index])
