"""Eviction of cached pages by what losing them costs: how often they are asked for x computing them again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import final

from vocabulary.generation import GenerationLimits, StepTimes

# Tokens of context at which attention costs as much as all else of a token: 2 x 6.7e9 weights of a Llama 7B
# against 4 x 32 layers x 4096 for each token looked back on.
_EVEN_TOKENS = 25_600
# Uses that count: more of them would keep what nobody asks for any more through as many turns of the cache.
_MOST_USES = 4
# Above this the clock is set back to 0, so that floats keep seven digits after the point.
_REBASE_AT = 2.0**30
# Entries that a heap may hold beyond its members before it is made anew.
_SPARE_ENTRIES = 64


def recompute_cost(limits: GenerationLimits, times: Sequence[StepTimes] = ()) -> Callable[[int], float]:
    """What computing the page at a place of its chain costs, in units of the first page's.

    Of prompts in full steps: a later page looks back on more tokens. times: of each stage, where known.
    """
    constant_s = sum(one.constant_s for one in times) / limits.max_batched_tokens
    token_s = sum(one.token_s for one in times) + constant_s
    kv_token_s = sum(one.kv_token_s for one in times) / limits.max_batched_tokens
    even_tokens = token_s / kv_token_s if token_s > 0 and kv_token_s > 0 else _EVEN_TOKENS
    slope = limits.page_tokens / even_tokens
    return lambda index: 1.0 + slope * index


@final
class _Cached:
    """A cached page. worth, released: of an unused one, since its release; its number among all, else 0."""

    __slots__ = ("before", "cost", "num_after", "released", "uses", "worth")

    def __init__(self, cost: float, before: int | None) -> None:
        self.cost = cost
        self.before = before
        self.num_after = 0
        self.uses = 1
        self.worth = 0.0
        self.released = 0

    @property
    def is_used(self) -> bool:
        return self.released == 0


@final
class CheapestToLose:
    """GreedyDual-Size-Frequency (Cherkasova 1998) on the leaves of the radix tree; all pages are of one size.

    A page is worth the clock + its uses x what computing it again costs. The leaf worth least goes, and the
    clock becomes what it was worth: what is asked for no more loses, in time, to what is. Of leaves worth the
    same, the one released longest ago goes.
    """

    __slots__ = ("_cached", "_clock", "_cost", "_leaves", "_num_released", "_num_unused", "_rebase_at")

    def __init__(self, cost: Callable[[int], float], *, rebase_at: float = _REBASE_AT) -> None:
        """cost: of computing the page at a place of its chain again, when those before it are there."""
        self._cost = cost
        self._rebase_at = rebase_at
        self._clock = 0.0
        self._cached: dict[int, _Cached] = {}
        self._num_unused = 0
        self._num_released = 0
        # (worth, number of the release, page); those of pages used since are skipped when they surface.
        self._leaves: list[tuple[float, int, int]] = []

    def __len__(self) -> int:
        return self._num_unused

    def num_unused_of(self, pages: Sequence[int]) -> int:
        cached = self._cached
        return sum(page in cached and cached[page].released > 0 for page in pages)

    def learn(self, pages: Sequence[int], first: int, end: int) -> None:
        cached, cost = self._cached, self._cost
        before = pages[first - 1] if 0 < first < end else None
        if before is not None:
            cached[before].num_after += 1
        for index in range(first, end):
            page = pages[index]
            cached[page] = one = _Cached(cost(index), before)
            one.num_after = 1 if index + 1 < end else 0
            before = page

    def use(self, pages: Sequence[int]) -> None:
        cached = self._cached
        for page in pages:
            one = cached[page]
            if one.uses < _MOST_USES:
                one.uses += 1
            if one.released:
                one.released = 0
                self._num_unused -= 1

    def release(self, pages: Sequence[int]) -> None:
        cached, clock = self._cached, self._clock
        self._num_unused += len(pages)
        for released, page in enumerate(pages, self._num_released + 1):
            one = cached[page]
            one.released = released
            one.worth = clock + one.uses * one.cost
            if not one.num_after:
                self._offer(page, one)
        self._num_released += len(pages)

    def pop(self) -> int:
        page, one = self._least()
        self._clock = max(self._clock, one.worth)
        del self._cached[page]
        self._num_unused -= 1
        if one.before is not None:
            before = self._cached[one.before]
            before.num_after -= 1
            if not before.num_after and not before.is_used:
                self._offer(one.before, before)
        if self._clock > self._rebase_at:
            self._rebase()
        return page

    def check(self) -> None:
        cached = self._cached
        num_unused = sum(not one.is_used for one in cached.values())
        assert num_unused == self._num_unused, f"{num_unused} pages unused, {self._num_unused} counted"
        num_after = dict.fromkeys(cached, 0)
        for page, one in cached.items():
            if one.before is not None:
                assert one.before in cached, f"page {page} goes on after {one.before}, which is not cached"
                num_after[one.before] += 1
                before = cached[one.before]
                assert before.is_used or not one.is_used, (
                    f"page {page} is used, {one.before} before it is not"
                )
        assert num_after == {page: one.num_after for page, one in cached.items()}, "pages that go on"
        leaves = {page for page, one in cached.items() if not one.is_used and not one.num_after}
        offered = {
            page for _, number, page in self._leaves if page in cached and cached[page].released == number
        }
        assert offered == leaves, f"{len(offered)} leaves offered, there are {len(leaves)}"

    def _offer(self, page: int, one: _Cached) -> None:
        """It is an unused leaf now."""
        if len(self._leaves) > 2 * self._num_unused + _SPARE_ENTRIES:
            self._leaves = [entry for entry in self._leaves if self._is_valid(entry)]
            heapq.heapify(self._leaves)
        heapq.heappush(self._leaves, (one.worth, one.released, page))

    def _least(self) -> tuple[int, _Cached]:
        while True:
            entry = heapq.heappop(self._leaves)
            if self._is_valid(entry):
                return entry[2], self._cached[entry[2]]

    def _is_valid(self, entry: tuple[float, int, int]) -> bool:
        one = self._cached.get(entry[2])
        return one is not None and one.released == entry[1]

    def _rebase(self) -> None:
        """The clock starts again; who goes before whom stays."""
        for one in self._cached.values():
            one.worth -= self._clock
        self._leaves = [
            (self._cached[entry[2]].worth, entry[1], entry[2])
            for entry in self._leaves
            if self._is_valid(entry)
        ]
        heapq.heapify(self._leaves)
        self._clock = 0.0
