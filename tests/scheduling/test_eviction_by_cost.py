"""Eviction by cost: what is asked for often stays, later pages are dearer, nothing stays for good."""

from __future__ import annotations

import pytest

from scheduling.eviction_by_cost import CheapestToLose, recompute_cost
from scheduling.pages import PagePool
from scheduling.prefixes import NoPrefixes, PageKey, PrefixCache, prefixes_of
from vocabulary.generation import GenerationLimits, StepTimes

LIMITS = GenerationLimits(num_pages=8, page_tokens=16, max_batched_tokens=512, has_prefix_cache=True)


def keys(*hashes: int) -> list[PageKey]:
    return [(block, index) for index, block in enumerate(hashes)]


def by_cost(num_pages: int, *, slope: float = 0.0) -> tuple[PagePool, PrefixCache]:
    pool = PagePool(num_pages)
    return pool, PrefixCache(pool, CheapestToLose(lambda index: 1.0 + slope * index))


def serve(prompt: list[PageKey], pool: PagePool, cache: PrefixCache) -> int:
    """One sequence from its first page to its last; returns the pages that it found."""
    hit = cache.match(prompt)
    cache.use(hit)
    lacking = len(prompt) - len(hit)
    cache.evict(max(0, lacking - pool.num_free))
    pages = hit + pool.take(lacking)
    cache.insert(prompt, pages, first=len(hit))
    cache.give_back(pages)
    cache.check()
    return len(hit)


def test_a_template_asked_for_often_outlives_prompts_asked_for_once() -> None:
    pool, cache = by_cost(4)
    lru_pool = PagePool(4)
    lru = PrefixCache(lru_pool)
    for one in (cache, lru):
        for _ in range(3):
            serve(keys(1, 2), pool if one is cache else lru_pool, one)
    for block in range(10, 16):
        serve(keys(block), pool, cache)
        serve(keys(block), lru_pool, lru)
    assert (cache.num_matched(keys(1, 2)), lru.num_matched(keys(1, 2))) == (2, 0)


def test_of_two_asked_for_equally_often_the_one_that_looks_back_less_goes() -> None:
    pool, cache = by_cost(4, slope=0.1)
    serve(keys(1, 2, 3), pool, cache)
    serve(keys(9), pool, cache)
    cache.evict(1)
    assert (cache.num_matched(keys(1, 2, 3)), cache.num_matched(keys(9))) == (3, 0)


def test_a_beginning_goes_after_what_goes_on_after_it() -> None:
    pool, cache = by_cost(3, slope=0.1)
    serve(keys(1, 2, 3), pool, cache)
    for num_left in (2, 1, 0):
        cache.evict(1)
        cache.check()
        assert cache.num_matched(keys(1, 2, 3)) == num_left


def test_what_is_asked_for_no_more_goes_in_time() -> None:
    pool, cache = by_cost(4)
    for _ in range(1000):
        serve(keys(1), pool, cache)
    num_needed = 0
    while cache.num_matched(keys(1)):
        num_needed += 1
        assert num_needed < 20, "uses of long ago count for ever"
        serve(keys(1000 + num_needed), pool, cache)
    assert num_needed > 4


def test_a_page_in_use_is_not_evicted_however_cheap() -> None:
    pool, cache = by_cost(2)
    serve(keys(1), pool, cache)
    cache.use(cache.match(keys(1)))
    serve(keys(2), pool, cache)
    serve(keys(2), pool, cache)
    cache.evict(1)
    assert (cache.num_matched(keys(1)), cache.num_unused) == (1, 0)


def test_looking_back_costs_what_the_steps_say() -> None:
    # In full steps of 512 tokens: 5 x (1 + 3 / 512 + context / 512) milliseconds.
    times = (StepTimes(0.010, 0.004, 0.003), StepTimes(0.005, 0.001, 0.002))
    cost = recompute_cost(LIMITS, times)
    each_s = 0.005 + 0.015 / 512
    assert cost(0) == 1.0
    assert cost(100) == pytest.approx((each_s + 1600 * 0.005 / 512) / each_s)


def test_without_step_times_a_page_at_25600_tokens_costs_twice_the_first() -> None:
    assert recompute_cost(LIMITS)(25_600 // 16) == pytest.approx(2.0)


def test_the_limits_choose_the_cache() -> None:
    pool = PagePool(8)
    assert isinstance(prefixes_of(GenerationLimits(8), pool), NoPrefixes)
    for eviction, num_matched in (("lru", 0), ("cost", 1)):
        pool = PagePool(3)
        cache = prefixes_of(GenerationLimits(3, has_prefix_cache=True, eviction=eviction), pool)
        assert isinstance(cache, PrefixCache)
        serve(keys(1), pool, cache)
        serve(keys(1), pool, cache)
        for block in (7, 8, 9):
            serve(keys(block), pool, cache)
        assert cache.num_matched(keys(1)) == num_matched


def test_a_contradiction_is_told_with_its_numbers() -> None:
    pool, cache = by_cost(2)
    serve(keys(1, 2), pool, cache)
    pool.share(cache.match(keys(1)))
    with pytest.raises(AssertionError, match=": 2 owners, unused: 1"):
        cache.check()
