"""The table of pages against a radix tree of runs: the same hits, the same evictions, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.eviction import EvictionOrder, LeastRecentlyUsed
from scheduling.eviction_by_cost import CheapestToLose
from scheduling.pages import PagePool
from scheduling.prefixes import PageKey, PrefixCache
from tests.scheduling.radix_oracle import RadixTree


@dataclass
class Running:
    """A sequence: pages for its whole prompt, the first `num_used` of them from the cache."""

    keys: list[PageKey]
    pages: list[int]
    num_used: int


def cost(index: int) -> float:
    # Quarters add up without rounding.
    return 1.0 + 0.25 * index


def orders(order: str) -> tuple[EvictionOrder, RadixTree]:
    if order == "lru":
        return LeastRecentlyUsed(), RadixTree()
    return CheapestToLose(cost), RadixTree(cost)


def chained(path: tuple[int, ...]) -> list[PageKey]:
    return [(hash(path[: end + 1]), end) for end in range(len(path))]


prompts = st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple)
# What happens in turn: a prompt comes, the prompt of some sequence is complete, some sequence leaves.
turns = st.tuples(prompts, st.integers(0, 3), st.integers(0, 5))


def admit(prompt: list[PageKey], pool: PagePool, cache: PrefixCache, tree: RadixTree) -> Running | None:
    """As the scheduler does it; None when there is no room."""
    hit = cache.match(prompt)
    assert len(hit) == tree.match(prompt) == cache.num_matched(prompt)
    lacking = len(prompt) - len(hit)
    if lacking > pool.num_free + cache.num_unused - cache.num_unused_of(hit):
        return None
    cache.use(hit)
    tree.use(prompt[: len(hit)])
    num_evicted = max(0, lacking - pool.num_free)
    cache.evict(num_evicted)
    tree.evict(num_evicted)
    return Running(prompt, hit + pool.take(lacking), len(hit))


@pytest.mark.parametrize("order", ["lru", "cost"])
@settings(max_examples=150, deadline=None)
@given(num_pages=st.integers(5, 10), happening=st.lists(turns, min_size=15, max_size=40))
def test_hits_and_evictions_are_those_of_a_radix_tree(order, num_pages, happening) -> None:
    unused, tree = orders(order)
    pool = PagePool(num_pages)
    cache = PrefixCache(pool, unused)
    running: list[Running] = []
    for prompt, completing, leaving in happening:
        if (admitted := admit(chained(prompt), pool, cache, tree)) is not None:
            running.append(admitted)
        if completing < len(running):
            one = running[completing]
            cache.insert(one.keys, one.pages, first=one.num_used)
            tree.insert(one.keys, one.num_used)
            one.num_used = len(one.keys)
        if leaving < len(running):
            one = running.pop(leaving)
            cache.give_back(one.pages)
            tree.leave(one.keys[: one.num_used])
        cache.check()
        assert tree.num_unused() == cache.num_unused
        assert len(tree.cached()) == cache.num_cached
        assert all(cache.num_matched([key]) for key in tree.cached())
        num_own = sum(len(one.pages) - one.num_used for one in running)
        assert pool.num_free + cache.num_cached + num_own == num_pages


@settings(max_examples=50, deadline=None)
@given(asked=st.lists(prompts, min_size=20, max_size=60))
def test_a_clock_set_back_changes_no_eviction(asked) -> None:
    """Costs in quarters add up without rounding, so a clock far away is as good as one set back."""
    rebased, plain = (
        PrefixCache(PagePool(8), CheapestToLose(cost, rebase_at=rebase_at)) for rebase_at in (3.0, 1e9)
    )
    for path in asked:
        prompt = chained(path)
        assert rebased.match(prompt) == plain.match(prompt)
        for cache in (rebased, plain):
            hit = cache.match(prompt)
            cache.use(hit)
            lacking = len(prompt) - len(hit)
            cache.evict(max(0, lacking - cache._pool.num_free))
            pages = hit + cache._pool.take(lacking)
            cache.insert(prompt, pages, first=len(hit))
            cache.give_back(pages)
            cache.check()
