"""What the cluster believes of a group's cache: what it sent there, no more than there is room for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.sent_prefixes import SentPrefixes
from vocabulary.generation import GenerationLimits, Prefix
from vocabulary.request import Request

# Room for 8 blocks of 64 tokens.
LIMITS = GenerationLimits(num_pages=32, page_tokens=16, has_prefix_cache=True)


def prompt(*blocks: int, input_tokens: int | None = None, block_tokens: int = 64) -> Request:
    """Chained hashes of these blocks; a token more than they hold, unless told otherwise."""
    hashes = tuple(hash(blocks[: end + 1]) for end in range(len(blocks)))
    length = len(blocks) * block_tokens + 1 if input_tokens is None else input_tokens
    return Request(0, "m", 0.0, input_tokens=length, output_tokens=1, prefix=Prefix(hashes, block_tokens))


def test_a_prompt_that_goes_on_after_one_sent_before_finds_it() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(1, 2))
    assert sent.num_hit(prompt(1, 2, 3)) == 128
    assert sent.num_hit(prompt(1, 9)) == 64
    assert sent.num_hit(prompt(9)) == 0


def test_asking_changes_nothing() -> None:
    sent = SentPrefixes(LIMITS)
    sent.num_hit(prompt(1, 2))
    assert (len(sent), sent.num_hit(prompt(1, 2))) == (0, 0)


def test_at_least_a_token_is_computed_and_hits_are_whole_pages() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(1, 2))
    assert sent.num_hit(prompt(1, 2, input_tokens=128)) == 112
    assert sent.num_hit(prompt(1, 2, input_tokens=129)) == 128


def test_what_was_sent_longest_ago_is_forgotten_end_first() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(1, 2, 3, 4))
    sent.send(prompt(5, 6, 7, 8, 9, 10))
    assert len(sent) == 8
    assert sent.num_hit(prompt(1, 2, 3, 4)) == 128
    assert sent.num_hit(prompt(5, 6, 7, 8, 9, 10)) == 384


def test_what_is_sent_again_is_as_good_as_new() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(1, 2))
    sent.send(prompt(3, 4, 5, 6))
    sent.send(prompt(1, 2))
    sent.send(prompt(7, 8, 9, 10))
    assert (sent.num_hit(prompt(1, 2)), sent.num_hit(prompt(3, 4, 5, 6))) == (128, 128)


def test_a_prompt_longer_than_the_cache_is_remembered_by_its_beginning() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(*range(20)))
    assert sent.num_hit(prompt(*range(20))) == 512


def test_of_small_blocks_one_in_sixty_four_tokens_is_remembered() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(*range(10), block_tokens=16))
    assert (len(sent), sent.num_hit(prompt(*range(10), block_tokens=16))) == (2, 128)


def test_a_lost_group_has_nothing() -> None:
    sent = SentPrefixes(LIMITS)
    sent.send(prompt(1))
    sent.clear()
    assert sent.num_hit(prompt(1)) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=40))
def test_what_is_remembered_of_a_prompt_is_a_beginning_and_bounded(paths) -> None:
    """Halving finds what a walk from the front finds."""
    sent = SentPrefixes(LIMITS)
    for path in paths:
        sent.send(prompt(*path))
        assert len(sent) <= 8
        for asked in paths:
            known = [block in sent._hashes for block in prompt(*asked).prefix.block_hashes]
            assert known == sorted(known, reverse=True)
            assert sent.num_hit(prompt(*asked)) == 64 * sum(known)
