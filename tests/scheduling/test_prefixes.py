"""The cache of prefixes: what is found, what is shared, what is evicted first."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.pages import PagePool
from scheduling.prefixes import NoPrefixes, PageKey, PrefixCache
from vocabulary.generation import Prefix


def keys(*hashes: int) -> list[PageKey]:
    return [(block, index) for index, block in enumerate(hashes)]


def filled(num_pages: int, *prompts: list[PageKey]) -> tuple[PagePool, PrefixCache]:
    """A cache that knows the prompts, each given back by its sequence."""
    pool = PagePool(num_pages)
    cache = PrefixCache(pool)
    for prompt in prompts:
        pages = pool.take(len(prompt))
        cache.insert(prompt, pages)
        cache.give_back(pages)
    return pool, cache


def test_the_longest_known_beginning_is_found() -> None:
    _, cache = filled(4, keys(1, 2, 3))
    assert len(cache.match(keys(1, 2, 9))) == 2
    assert cache.match(keys(9, 2, 3)) == []


def test_matching_changes_nothing() -> None:
    pool, cache = filled(2, keys(1, 2))
    cache.match(keys(1, 2))
    assert (pool.num_free, cache.num_unused) == (0, 2)


def test_a_page_in_use_is_not_evictable() -> None:
    _, cache = filled(2, keys(1, 2))
    pages = cache.match(keys(1))
    cache.use(pages)
    assert cache.num_unused == 1
    cache.give_back(pages)
    assert cache.num_unused == 2


def test_the_end_of_a_prompt_is_evicted_before_its_beginning() -> None:
    _, cache = filled(3, keys(1, 2, 3))
    cache.evict(1)
    assert len(cache.match(keys(1, 2, 3))) == 2


def test_what_was_used_longest_ago_is_evicted_first() -> None:
    _, cache = filled(4, keys(1), keys(2), keys(3))
    pages = cache.match(keys(1))
    cache.use(pages)
    cache.give_back(pages)
    cache.evict(1)
    assert [len(cache.match(keys(block))) for block in (1, 2, 3)] == [1, 0, 1]


def test_a_prompt_computed_twice_is_kept_once() -> None:
    pool, cache = filled(4, keys(1, 2))
    pages = pool.take(2)
    cache.insert(keys(1, 2), pages)
    assert pages == cache.match(keys(1, 2))
    assert (pool.num_free, cache.num_unused) == (2, 0)


def test_an_evicted_page_is_free() -> None:
    pool, cache = filled(2, keys(1, 2))
    cache.evict(2)
    assert (pool.num_free, cache.num_cached) == (2, 0)


def test_without_a_cache_nothing_is_found_and_all_comes_back() -> None:
    pool = PagePool(2)
    none = NoPrefixes(pool)
    pages = pool.take(2)
    none.insert(keys(1, 2), pages)
    none.give_back(pages)
    assert (pool.num_free, none.match(keys(1)), none.num_unused) == (2, [], 0)


def test_pages_are_known_by_the_block_of_their_last_token() -> None:
    prefix = Prefix((7, 8), block_tokens=6)
    assert prefix.page_keys(100, 4) == [(7, 0), (8, 1), (8, 2)]
    assert prefix.page_keys(9, 4) == [(7, 0), (8, 1)]
    assert prefix.page_keys(100, 12) == [(8, 0)]
    assert prefix.page_keys(100, 16) == []


# A prompt is a path in a small tree; equal paths are equal prompts.
prompts = st.lists(st.integers(0, 1), min_size=1, max_size=4)


def chained(path: list[int]) -> list[PageKey]:
    return [(hash(tuple(path[: index + 1])), index) for index in range(len(path))]


@settings(max_examples=200)
@given(st.integers(4, 10), st.lists(st.tuples(prompts, st.integers(0, 3))))
def test_pages_are_conserved_and_a_cached_page_follows_a_cached_page(
    num_pages: int, steps: list[tuple[list[int], int]]
) -> None:
    pool = PagePool(num_pages)
    cache = PrefixCache(pool)
    running: list[list[int]] = []
    known: dict[tuple[int, ...], int] = {}
    for path, leaver in steps:
        prompt = chained(path)
        hit = cache.match(prompt)
        needed = len(prompt) - len(hit)
        if needed <= pool.num_free + cache.num_unused - cache.num_unused_of(hit):
            cache.use(hit)
            cache.evict(max(0, needed - pool.num_free))
            pages = hit + pool.take(needed)
            cache.insert(prompt, pages)
            running.append(pages)
            known.update({tuple(path[: end + 1]): page for end, page in enumerate(pages)})
        if leaver < len(running):
            cache.give_back(running.pop(leaver))
        # A beginning is cached with all that comes before it, or not at all.
        cached = {
            beginning for beginning in known if len(cache.match(chained(list(beginning)))) == len(beginning)
        }
        assert len(cached) == cache.num_cached
        owners = Counter(page for table in running for page in table)
        assert cache.num_unused == cache.num_cached - sum(
            cache.match(chained(list(beginning)))[-1] in owners for beginning in cached
        )
        assert pool.num_free + cache.num_unused + len(owners) == num_pages
