"""The page pool: every page is free or has owners."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.pages import PagePool


def test_a_taken_page_has_one_owner_and_is_free_again_when_given_back() -> None:
    pool = PagePool(3)
    pages = pool.take(2)
    assert (pool.num_free, [pool.num_owners(page) for page in pages]) == (1, [1, 1])
    pool.give_back(pages)
    assert pool.num_free == 3


def test_a_shared_page_is_free_only_when_its_last_owner_gives_it_back() -> None:
    pool = PagePool(1)
    pages = pool.take(1)
    pool.share(pages)
    pool.give_back(pages)
    assert pool.num_free == 0
    pool.give_back(pages)
    assert pool.num_free == 1


def test_more_pages_than_are_free_are_not_taken() -> None:
    with pytest.raises(AssertionError, match="3 pages asked for, 2 are free"):
        PagePool(2).take(3)


def test_a_free_page_is_neither_shared_nor_given_back() -> None:
    with pytest.raises(AssertionError, match="page 0 is free"):
        PagePool(1).share([0])
    with pytest.raises(AssertionError, match="page 0 is free"):
        PagePool(1).give_back([0])


@given(st.integers(0, 12), st.lists(st.tuples(st.sampled_from(["take", "share", "back"]), st.integers(0, 5))))
def test_free_pages_and_owned_ones_are_always_all(num_pages: int, actions: list[tuple[str, int]]) -> None:
    pool = PagePool(num_pages)
    tables: list[list[int]] = []
    for action, number in actions:
        if action == "take" and number <= pool.num_free:
            tables.append(pool.take(number))
        elif action == "share" and tables:
            tables.append(tables[number % len(tables)])
            pool.share(tables[-1])
        elif action == "back" and tables:
            pool.give_back(tables.pop(number % len(tables)))
        owners = Counter(page for table in tables for page in table)
        assert pool.num_free + len(owners) == num_pages
        assert all(pool.num_owners(page) == owners[page] for page in range(num_pages))
