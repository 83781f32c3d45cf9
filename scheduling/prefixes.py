"""Which full pages of prompts are in the cache already, so that equal beginnings are computed once.

RadixAttention (SGLang §3) at the granularity of a page: a page is known by a key that stands for all tokens
up to its end (chained hashes), so a chain of keys is a path of the radix tree, and a table of pages is the
tree (docs/decisions/0030-prefix-cache.md). Which page makes room is for an `EvictionOrder` to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol, final

from scheduling.eviction import EVICTION, EvictionOrder, LeastRecentlyUsed
from scheduling.pages import PagePool
from vocabulary.generation import GenerationLimits, StepTimes

# (hash of the chain up to a block, index of the page): see `vocabulary.generation.Prefix`.
PageKey = tuple[int, int]


class AbstractPrefixes(Protocol):
    """What a scheduler of sequences needs. All pages go back through `give_back`, never to the pool."""

    @property
    def num_unused(self) -> int:
        """Cached pages that nobody uses: they can be evicted."""
        ...

    def match(self, keys: Sequence[PageKey]) -> list[int]:
        """Pages of the longest known beginning of `keys`; changes nothing."""
        ...

    def num_matched(self, keys: Sequence[PageKey]) -> int:
        """How many `match` would find, in O(log n): for orders of waiting requests."""
        ...

    def num_unused_of(self, pages: Sequence[int]) -> int:
        """How many of the pages nobody uses."""
        ...

    def use(self, pages: Sequence[int]) -> None:
        """A sequence starts to use matched pages, in their order from the first."""

    def insert(self, keys: Sequence[PageKey], pages: list[int], *, first: int = 0) -> None:
        """The first pages of a sequence hold what `keys` stand for, from now on for others too.

        Those before `first` are known already and used by it. Where another sequence came first, `pages`
        names its page afterwards, and the own one has gone back.
        """

    def give_back(self, pages: Sequence[int]) -> None:
        """A sequence is done with its pages, given in its order."""

    def evict(self, num_pages: int) -> None:
        """Free so many unused pages, in the order of eviction; there must be as many."""

    def check(self) -> None:
        """Raises AssertionError, with the numbers, where pages and their owners contradict each other."""


@final
class PrefixCache:
    """The cache is one more owner of every page that it knows.

    Whoever uses a page uses all before it, and no page is evicted before those that go on after it; so what
    is known of a chain is always a beginning of it.
    """

    __slots__ = ("_key_of", "_order", "_page_of", "_pool")

    def __init__(self, pool: PagePool, order: EvictionOrder | None = None) -> None:
        self._pool = pool
        self._page_of: dict[PageKey, int] = {}
        self._key_of: dict[int, PageKey] = {}
        self._order: EvictionOrder = LeastRecentlyUsed() if order is None else order

    @property
    def num_unused(self) -> int:
        return len(self._order)

    @property
    def num_cached(self) -> int:
        return len(self._page_of)

    def match(self, keys: Sequence[PageKey]) -> list[int]:
        page_of = self._page_of
        pages: list[int] = []
        for key in keys:
            page = page_of.get(key)
            if page is None:
                break
            pages.append(page)
        return pages

    def num_matched(self, keys: Sequence[PageKey]) -> int:
        page_of = self._page_of
        # What is known of a chain is a beginning of it.
        return bisect_left(keys, True, key=lambda key: key not in page_of)

    def num_unused_of(self, pages: Sequence[int]) -> int:
        return self._order.num_unused_of(pages)

    def use(self, pages: Sequence[int]) -> None:
        self._pool.share(pages)
        self._order.use(pages)

    def insert(self, keys: Sequence[PageKey], pages: list[int], *, first: int = 0) -> None:
        page_of = self._page_of
        while first < len(keys) and (known := page_of.get(keys[first])) is not None:
            own = pages[first]
            if known != own:
                self.use((known,))
                self._pool.give_back((own,))
                pages[first] = known
            first += 1
        # What is known is a beginning: the rest is new.
        new_keys, new_pages = keys[first:], pages[first : len(keys)]
        page_of.update(zip(new_keys, new_pages, strict=True))
        self._key_of.update(zip(new_pages, new_keys, strict=True))
        self._pool.share(new_pages)
        self._order.learn(pages, first, len(keys))

    def give_back(self, pages: Sequence[int]) -> None:
        backwards = pages[::-1]
        self._pool.give_back(backwards)
        key_of, num_owners = self._key_of, self._pool.num_owners
        if key_of:
            self._order.release([page for page in backwards if page in key_of and num_owners(page) == 1])

    def evict(self, num_pages: int) -> None:
        assert num_pages <= len(self._order), f"{num_pages} pages to evict, {len(self._order)} are unused"
        for _ in range(num_pages):
            page = self._order.pop()
            del self._page_of[self._key_of.pop(page)]
            self._pool.give_back((page,))

    def check(self) -> None:
        num_cached, order = len(self._page_of), self._order
        assert {page: key for key, page in self._page_of.items()} == self._key_of, f"{num_cached} keys"
        for page, key in self._key_of.items():
            num_owners = self._pool.num_owners(page)
            assert num_owners >= 1, f"page {page} of {key} is cached and free"
            is_unused = order.num_unused_of((page,))
            assert is_unused == (num_owners == 1), f"page {page}: {num_owners} owners, unused: {is_unused}"
        num_used = sum(self._pool.num_owners(page) > 1 for page in self._key_of)
        assert num_cached == num_used + len(order), f"{num_cached} cached, {num_used} used, {len(order)} not"
        order.check()


@final
class NoPrefixes:
    """Nothing is shared: every page that comes back is free."""

    __slots__ = ("_pool",)
    num_unused = 0

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool

    def match(self, keys: Sequence[PageKey]) -> list[int]:
        return []

    def num_matched(self, keys: Sequence[PageKey]) -> int:
        return 0

    def num_unused_of(self, pages: Sequence[int]) -> int:
        return 0

    def use(self, pages: Sequence[int]) -> None:
        assert not pages, pages

    def insert(self, keys: Sequence[PageKey], pages: list[int], *, first: int = 0) -> None:
        return

    def give_back(self, pages: Sequence[int]) -> None:
        self._pool.give_back(pages[::-1])

    def evict(self, num_pages: int) -> None:
        assert num_pages == 0, num_pages

    def check(self) -> None:
        """Nothing can contradict nothing."""


def prefixes_of(
    limits: GenerationLimits, pool: PagePool, *, times: Sequence[StepTimes] = ()
) -> AbstractPrefixes:
    """What the limits ask for. times: of a step on each stage, for what a page costs to compute again."""
    if not limits.has_prefix_cache:
        return NoPrefixes(pool)
    return PrefixCache(pool, EVICTION[limits.eviction](limits, times))
