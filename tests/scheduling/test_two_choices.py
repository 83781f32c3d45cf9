"""Two of several by a count: different, spread evenly, and not in step between front ends."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from scheduling.dispatch import Candidate, power_of_two
from scheduling.load import GroupLoad
from scheduling.two_choices import first_count, two_of


@pytest.mark.parametrize("num_choices", [2, 3, 7, 1000])
def test_the_two_are_different_and_in_order(num_choices: int) -> None:
    for count in range(2000):
        first, second = two_of(num_choices, count)
        assert 0 <= first < second < num_choices


def test_every_pair_comes_about_as_often() -> None:
    pairs = Counter(two_of(5, count) for count in range(10_000))
    assert set(pairs) == set(combinations(range(5), 2))
    # A tenth each; 4 standard deviations of a fair draw are 120.
    assert all(abs(number - 1000) < 120 for number in pairs.values()), pairs


def test_front_ends_start_at_counts_of_their_own() -> None:
    assert first_count(0) == 0
    assert len({first_count(front) for front in range(1000)}) == 1000
    firsts = [[two_of(8, first_count(front) + count) for count in range(50)] for front in range(4)]
    for one, other in combinations(firsts, 2):
        assert sum(map(tuple.__eq__, one, other)) < 10


def test_the_earlier_finish_of_the_two_wins_whatever_the_third_is() -> None:
    three = [Candidate(GroupLoad(index, 1), (1.0,)) for index in range(3)]
    three[0].group.take(0.0, (5.0,))
    count = next(count for count in range(100) if two_of(3, count) == (0, 1))
    assert power_of_two(three, 0.0, count) is three[1]
    three[1].group.take(0.0, (9.0,))
    assert power_of_two(three, 0.0, count) is three[0]
