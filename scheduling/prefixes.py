"""Which full pages of prompts are in the cache already, so that equal beginnings are computed once.

After RadixAttention, at the granularity of a page: a page is known by a key that stands for the whole prompt
up to its end (chained hashes), so a chain of keys is a path of the tree and needs no nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol, final

from scheduling.pages import PagePool

# (hash of the chain up to a block, index of the page): see `vocabulary.generation.Prefix`.
PageKey = tuple[int, int]


class AbstractPrefixes(Protocol):
    """What a scheduler of sequences needs. All pages go back through `give_back`, never to the pool."""

    @property
    def num_unused(self) -> int:
        """Cached pages that nobody uses: they can be evicted."""

    def match(self, keys: Sequence[PageKey]) -> list[int]:
        """Pages of the longest known beginning of `keys`; changes nothing."""

    def num_unused_of(self, pages: Sequence[int]) -> int:
        """How many of the pages nobody uses."""

    def use(self, pages: Sequence[int]) -> None:
        """A sequence starts to use matched pages."""

    def insert(self, keys: Sequence[PageKey], pages: list[int]) -> None:
        """The first pages of a sequence hold what `keys` stand for, from now on for others too.

        Where another sequence came first, `pages` names its page afterwards, and the own one has gone back.
        """

    def give_back(self, pages: Sequence[int]) -> None:
        """A sequence is done with its pages, given in its order."""

    def evict(self, num_pages: int) -> None:
        """Free so many unused pages, those used longest ago first; there must be as many."""


@final
class PrefixCache:
    """The cache is one more owner of every page that it knows.

    Unused pages stand in the order in which their last user gave them back, the last page of a prompt before
    the one before it. Whoever uses a page uses all before it, so the first of that order is always a leaf.
    """

    __slots__ = ("_key_of", "_page_of", "_pool", "_unused")

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        self._page_of: dict[PageKey, int] = {}
        self._key_of: dict[int, PageKey] = {}
        self._unused: OrderedDict[int, None] = OrderedDict()

    @property
    def num_unused(self) -> int:
        return len(self._unused)

    @property
    def num_cached(self) -> int:
        return len(self._page_of)

    def match(self, keys: Sequence[PageKey]) -> list[int]:
        page_of = self._page_of
        pages = []
        for key in keys:
            page = page_of.get(key)
            if page is None:
                break
            pages.append(page)
        return pages

    def num_unused_of(self, pages: Sequence[int]) -> int:
        return sum(page in self._unused for page in pages)

    def use(self, pages: Sequence[int]) -> None:
        self._pool.share(pages)
        for page in pages:
            self._unused.pop(page, None)

    def insert(self, keys: Sequence[PageKey], pages: list[int]) -> None:
        pool, page_of = self._pool, self._page_of
        for index, key in enumerate(keys):
            own, known = pages[index], page_of.get(key)
            if known is None:
                page_of[key] = own
                self._key_of[own] = key
                pool.share((own,))
            elif known != own:
                self.use((known,))
                pool.give_back((own,))
                pages[index] = known

    def give_back(self, pages: Sequence[int]) -> None:
        backwards = pages[::-1]
        self._pool.give_back(backwards)
        if not self._key_of:
            return
        for page in backwards:
            if page in self._key_of and self._pool.num_owners(page) == 1:
                self._unused[page] = None

    def evict(self, num_pages: int) -> None:
        assert num_pages <= len(self._unused), f"{num_pages} pages to evict, {len(self._unused)} are unused"
        for _ in range(num_pages):
            page, _ = self._unused.popitem(last=False)
            del self._page_of[self._key_of.pop(page)]
            self._pool.give_back((page,))


@final
class NoPrefixes:
    """Nothing is shared: every page that comes back is free."""

    __slots__ = ("_pool",)
    num_unused = 0

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool

    def match(self, keys: Sequence[PageKey]) -> list[int]:
        return []

    def num_unused_of(self, pages: Sequence[int]) -> int:
        return 0

    def use(self, pages: Sequence[int]) -> None:
        assert not pages, pages

    def insert(self, keys: Sequence[PageKey], pages: list[int]) -> None:
        return

    def give_back(self, pages: Sequence[int]) -> None:
        self._pool.give_back(pages[::-1])

    def evict(self, num_pages: int) -> None:
        assert num_pages == 0, num_pages
