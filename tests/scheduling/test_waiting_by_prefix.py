"""Orders of waiting requests by what they share with the cache of prefixes and with each other."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.waiting import AbstractWaiting
from scheduling.waiting_by_prefix import Ages, DepthFirst, LongestPrefixFirst
from vocabulary.generation import Prefix
from vocabulary.request import Request


def request(number: int, *hashes: int, arrival_s: float = 0.0) -> Request:
    return Request(number, "chat", arrival_s, prefix=Prefix(hashes, 16) if hashes else None)


def filled(waiting: AbstractWaiting, *requests: Request) -> AbstractWaiting:
    for one in requests:
        waiting.push(one)
    return waiting


def drain(waiting: AbstractWaiting) -> list[int]:
    return [waiting.pop().id for _ in range(len(waiting))]


def test_the_longest_prefix_is_first_and_the_oldest_of_equal_ones() -> None:
    matched = {0: 0, 1: 32, 2: 16, 3: 32}
    waiting = LongestPrefixFirst(lambda one: matched[one.id])
    assert drain(filled(waiting, *map(request, matched))) == [1, 3, 2, 0]


def test_the_order_follows_the_cache_when_a_prompt_is_served() -> None:
    matched = {0: 0, 1: 0}
    waiting = filled(LongestPrefixFirst(lambda one: matched[one.id]), request(0), request(1))
    assert waiting.head() == request(0)
    matched[1] = 16
    waiting.served(request(9), num_input=16, num_output=1, num_cached=0)
    assert waiting.head() == request(1)


def test_a_long_line_is_first_come_first_served() -> None:
    waiting = LongestPrefixFirst(lambda one: one.id, max_sorted=4)
    assert drain(filled(waiting, *map(request, range(7)))) == [0, 1, 2, 6, 5, 4, 3]


def test_nobody_is_overtaken_more_often_than_allowed() -> None:
    waiting = LongestPrefixFirst(lambda one: one.id, max_overtaken=3)
    assert drain(filled(waiting, *map(request, range(8)))) == [7, 6, 5, 0, 1, 2, 3, 4]
    deep = DepthFirst(max_overtaken=2)
    family = [request(number, 1, number) for number in (1, 2, 3, 4)]
    stranger = request(9, 7, arrival_s=0.5)
    late = [request(20 + number, 1, 50 + number, arrival_s=1.0) for number in range(4)]
    assert drain(filled(deep, *family, stranger, *late)).index(9) == 6


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_overtakings_are_those_of_the_oldest(seed: int) -> None:
    drawn, ages = random.Random(seed), Ages()
    overtaken: dict[int, int] = {}
    for number in range(60):
        ages.add(request(number))
        overtaken[number] = 0
        while overtaken and drawn.random() < 0.5:
            gone = drawn.choice(list(overtaken))
            del overtaken[gone]
            if drawn.random() < 0.3:
                ages.forget(gone)
                continue
            ages.take(request(gone))
            for older in overtaken:
                overtaken[older] += older < gone
        if overtaken:
            assert ages.oldest().id == min(overtaken)
            assert ages.num_overtakings == overtaken[min(overtaken)]


def test_the_tree_of_prompts_is_served_depth_first() -> None:
    waiting = filled(
        DepthFirst(),
        request(0, 1, 10, 100), request(1, 2, 20), request(2, 1, 11), request(3, 1, 10, 101),
        request(4, 2, 21), request(5, 1), request(6),
    )  # fmt: skip
    order = drain(waiting)
    assert order[0] == 0
    # The chain 1, 10 first, then what is left of 1, then 2, which is older than who shares nothing.
    assert order[1] == 3
    assert set(order[2:4]) == {2, 5}
    assert set(order[4:6]) == {1, 4}
    assert order[6] == 6


def test_requests_that_come_join_the_part_of_the_tree_that_is_being_served() -> None:
    waiting = filled(DepthFirst(), request(0, 1, 10), request(1, 2, 20))
    assert waiting.pop().id == 0
    waiting.push(request(2, 1, 10, 100, arrival_s=5.0))
    assert waiting.pop().id == 2


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_depth_first_computes_every_beginning_once(seed: int) -> None:
    """With a cache that holds the last prompt only, which is the least that can hold the longest."""
    drawn = random.Random(seed)
    chains = []
    for _ in range(40):
        parent = drawn.choice(chains) if chains and drawn.random() < 0.8 else ()
        cut = drawn.randrange(len(parent) + 1)
        chains.append((*parent[:cut], *(drawn.randrange(10**9) for _ in range(drawn.randrange(1, 4)))))
    waiting = filled(DepthFirst(), *(request(number, *chain) for number, chain in enumerate(chains)))
    cached: set[int] = set()
    num_computed = 0
    for number in drain(waiting):
        num_computed += len(set(chains[number]) - cached)
        cached = set(chains[number])
    assert num_computed == len({block for chain in chains for block in chain})


def test_forgotten_requests_are_not_served() -> None:
    for waiting in (DepthFirst(), LongestPrefixFirst(lambda one: 0)):
        filled(waiting, request(0, 1), request(1, 1), request(2, 2))
        assert waiting.remove(1) and not waiting.remove(1)
        assert sorted(one.id for one in waiting.members()) == [0, 2]
        assert sorted(drain(waiting)) == [0, 2]
        assert waiting.head() is None
