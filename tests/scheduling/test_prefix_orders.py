"""How much of a batch is found in the cache by each order: RadixAttention's claims, on the real scheduler."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.prefix_orders import EVICTIONS, longest_pages, serve
from simulator.traffic.shared_prompts import SharedPrompts, few_shot, multi_turn, tree_of_thought

SEEDS = (0, 1)


def batches(seed: int) -> list[SharedPrompts]:
    return [
        few_shot(seed=seed, num_tasks=8, num_questions=12),
        multi_turn(seed=seed, num_chats=12, num_turns=6),
        tree_of_thought(seed=seed, num_questions=4, num_branches=2, depth=4),
    ]


def capacities(prompts: SharedPrompts) -> list[int]:
    """As many pages as the longest prompt, a tenth of all different ones and three tenths."""
    shares = [round(share * prompts.num_unique_pages) for share in (0.1, 0.3)]
    return [max(longest_pages(prompts), num_pages) for num_pages in (0, *shares)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("eviction", EVICTIONS)
def test_depth_first_computes_every_page_once_when_the_cache_holds_the_longest_prompt(seed, eviction) -> None:
    """Whatever is evicted: the page that the next prompt begins with is one of the last prompt's."""
    for prompts in batches(seed):
        for num_pages in capacities(prompts):
            found = serve(prompts, queue="depth_first", num_pages=num_pages, eviction=eviction)
            assert found.hit_tokens == prompts.best_hit_tokens, (prompts.name, num_pages)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("eviction", EVICTIONS)
def test_longest_prefix_first_finds_no_less_than_first_come_first_served(seed, eviction) -> None:
    for prompts in batches(seed):
        for num_pages in capacities(prompts):
            settings = {"num_pages": num_pages, "eviction": eviction}
            fcfs, longest = (
                serve(prompts, queue=queue, **settings) for queue in ("fcfs", "longest_prefix_of_all")
            )
            assert fcfs.hit_tokens <= longest.hit_tokens <= prompts.best_hit_tokens, (prompts.name, num_pages)


def test_a_cache_that_holds_everything_finds_the_best_in_any_order() -> None:
    for prompts in batches(0):
        for queue in ("fcfs", "longest_prefix", "depth_first"):
            num_pages = prompts.num_unique_pages + longest_pages(prompts)
            assert serve(prompts, queue=queue, num_pages=num_pages).hit_tokens == prompts.best_hit_tokens


def test_prompts_with_equal_hashes_are_equal_as_far_as_they_go() -> None:
    """The lengths of paths say what is shared: a prompt and one that goes on after it share all its pages."""
    prompts = multi_turn(seed=0, num_chats=1, num_turns=3)
    tokens = prompts.tokens
    assert tokens.prefix_offsets is not None
    assert tokens.prefix_hashes is not None
    chains = sorted(
        (tokens.prefix_hashes[start:stop].tolist() for start, stop in pairwise(tokens.prefix_offsets)),
        key=len,
    )
    for shorter, longer in pairwise(chains):
        assert longer[: len(shorter)] == shorter
    assert prompts.num_unique_pages == len(chains[-1])
