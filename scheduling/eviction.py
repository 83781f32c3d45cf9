"""Which cached page that nobody uses goes first: the one used longest ago, or the one cheapest to lose."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol, final

from scheduling.eviction_by_cost import CheapestToLose, recompute_cost
from vocabulary.generation import GenerationLimits, StepTimes


class EvictionOrder(Protocol):
    """The unused pages of a `scheduling.prefixes.PrefixCache`, and what it has to know of all cached ones."""

    def __len__(self) -> int:
        """Unused pages."""
        ...

    def num_unused_of(self, pages: Sequence[int]) -> int:
        """How many of the pages nobody uses."""
        ...

    def learn(self, pages: Sequence[int], first: int, end: int) -> None:
        """Of a chain of pages that a sequence uses, those from `first` to before `end` are cached now too."""

    def use(self, pages: Sequence[int]) -> None:
        """A sequence uses these cached pages."""

    def release(self, pages: Sequence[int]) -> None:
        """Nobody uses these any more; of a chain the last page comes first."""

    def pop(self) -> int:
        """The page that goes next, cached no more; there must be one. Never one that others go on after."""
        ...

    def check(self) -> None:
        """Raises AssertionError where the order contradicts itself."""


@final
class LeastRecentlyUsed:
    """In the order in which pages were released: the first is always a leaf."""

    __slots__ = ("_unused",)

    def __init__(self) -> None:
        self._unused: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._unused)

    def num_unused_of(self, pages: Sequence[int]) -> int:
        unused = self._unused
        return sum(page in unused for page in pages)

    def learn(self, pages: Sequence[int], first: int, end: int) -> None:
        """A place says nothing: who uses a page uses all before it."""

    def use(self, pages: Sequence[int]) -> None:
        unused = self._unused
        for page in pages:
            unused.pop(page, None)

    def release(self, pages: Sequence[int]) -> None:
        unused = self._unused
        for page in pages:
            unused[page] = None

    def pop(self) -> int:
        return self._unused.popitem(last=False)[0]

    def check(self) -> None:
        """A queue cannot contradict itself."""


# (limits, times of a step on each stage, none where unknown) -> the order in which pages go
EVICTION: dict[str, Callable[[GenerationLimits, Sequence[StepTimes]], EvictionOrder]] = {
    "lru": lambda limits, times: LeastRecentlyUsed(),
    "cost": lambda limits, times: CheapestToLose(recompute_cost(limits, times)),
}
