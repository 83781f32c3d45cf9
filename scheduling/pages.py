"""Pages of a key-value cache, counted by reference: each is free or has owners (PagedAttention §4.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final


@final
class PagePool:
    """Pages 0 to num_pages - 1. Free pages and pages with owners are always all of them."""

    __slots__ = ("_free", "_num_owners")

    def __init__(self, num_pages: int) -> None:
        # Taken from the end: low numbers first.
        self._free = list(range(num_pages - 1, -1, -1))
        self._num_owners = [0] * num_pages

    @property
    def num_pages(self) -> int:
        return len(self._num_owners)

    @property
    def num_free(self) -> int:
        return len(self._free)

    def num_owners(self, page: int) -> int:
        return self._num_owners[page]

    def take(self, num_pages: int) -> list[int]:
        """So many free pages, each with one owner now; there must be as many."""
        free = self._free
        assert 0 <= num_pages <= len(free), f"{num_pages} pages asked for, {len(free)} are free"
        num_left = len(free) - num_pages
        taken = free[num_left:]
        del free[num_left:]
        for page in taken:
            self._num_owners[page] = 1
        return taken

    def share(self, pages: Iterable[int]) -> None:
        """One more owner for each; a page shared is no longer written."""
        for page in pages:
            assert self._num_owners[page] > 0, f"page {page} is free"
            self._num_owners[page] += 1

    def give_back(self, pages: Iterable[int]) -> None:
        """One owner less for each; a page without owners is free."""
        for page in pages:
            assert self._num_owners[page] > 0, f"page {page} is free"
            self._num_owners[page] -= 1
            if not self._num_owners[page]:
                self._free.append(page)
