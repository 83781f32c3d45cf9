"""Chat-like traffic: its marginals, its prefixes, and that a seed is a trace."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import kstest, lognorm

from simulator.traffic.chat import Chat, Conversations, LogNormal, converse
from simulator.traffic.workload import power_law
from tests.simulator.digests import digest
from vocabulary.popularity import power_law_exponent

RATES = {f"m{index}": rate for index, rate in enumerate(power_law(8, total_rps=40.0, exponent=1.1))}
TALK = converse(RATES, chat=Chat(), duration_s=3600.0, seed=1)


def first_turns(talk: Conversations) -> np.ndarray:
    """Rows of conversations that are in the trace from their first turn."""
    return np.flatnonzero(talk.turn == 0)


def blocks(talk: Conversations, row: int) -> np.ndarray:
    tokens = talk.trace.tokens
    assert tokens is not None
    assert tokens.prefix_offsets is not None
    assert tokens.prefix_hashes is not None
    return tokens.prefix_hashes[tokens.prefix_offsets[row] : tokens.prefix_offsets[row + 1]]


def ks_distance(values: np.ndarray, lengths: LogNormal) -> float:
    """Against the distribution of the rounded lengths, at whole numbers."""
    scale = lengths.mean * np.exp(-(lengths.sigma**2) / 2)
    whole = np.arange(1, values.max() + 1)
    observed = np.searchsorted(np.sort(values), whole, side="right") / len(values)
    return float(np.abs(observed - lognorm.cdf(whole + 0.5, lengths.sigma, scale=scale)).max())


def test_one_seed_gives_one_trace_on_any_machine() -> None:
    talk = converse({"a": 2.0, "b": 1.0}, chat=Chat(), duration_s=300.0, seed=7)
    assert digest(talk.trace) == "55444cb5fe0d77dd"


def test_lengths_have_the_distributions_asked_for() -> None:
    # What is cut at 8192 tokens are long conversations; a KS distance of 0.01 is one request in a hundred.
    tokens = TALK.trace.tokens
    assert tokens is not None
    assert ks_distance(TALK.message_tokens, Chat().prompt) < 0.01
    assert ks_distance(tokens.output_tokens, Chat().response) < 0.01
    assert TALK.message_tokens.mean() == pytest.approx(69.5, rel=0.03)
    assert tokens.output_tokens.mean() == pytest.approx(214.5, rel=0.02)


def test_turns_are_geometric_with_the_mean_asked_for() -> None:
    # Of conversations that began in the first half, whose later turns all lie within the trace.
    begun = first_turns(TALK)
    begun = begun[TALK.trace.arrival_s[begun] < 1800]
    turns = np.bincount(np.unique(TALK.conversation, return_inverse=True)[1])
    whole = turns[np.searchsorted(np.unique(TALK.conversation), TALK.conversation[begun])]
    assert whole.mean() == pytest.approx(2.0, rel=0.05)
    shares = np.bincount(whole, minlength=5)[1:5] / len(whole)
    np.testing.assert_allclose(shares, 0.5 ** np.arange(1, 5), atol=0.02)


def test_models_are_asked_for_by_their_rates() -> None:
    assert len(TALK.trace) / 3600 == pytest.approx(40, rel=0.15)
    exponent = power_law_exponent(TALK.trace.counts())
    assert exponent == pytest.approx(1.1, abs=0.2)


def test_conversations_go_on_from_before_the_trace() -> None:
    # Without them a trace would begin with first turns only, at half of its rate.
    early = TALK.turn[TALK.trace.arrival_s < 10]
    assert np.mean(early > 0) == pytest.approx(0.5, abs=0.15)


def test_a_prompt_extends_the_one_of_the_turn_before() -> None:
    order = np.lexsort((TALK.turn, TALK.conversation))[:4000]
    tokens = TALK.trace.tokens
    assert tokens is not None
    for before, after in pairwise(order):
        if TALK.conversation[before] != TALK.conversation[after]:
            continue
        assert TALK.trace.arrival_s[before] <= TALK.trace.arrival_s[after]
        added = tokens.output_tokens[before] + TALK.message_tokens[after]
        assert tokens.input_tokens[after] == tokens.input_tokens[before] + added
        np.testing.assert_array_equal(blocks(TALK, after)[: len(blocks(TALK, before))], blocks(TALK, before))


def test_every_full_block_of_a_prompt_has_a_hash_and_no_prompt_has_one_twice() -> None:
    tokens = TALK.trace.tokens
    assert tokens is not None
    assert tokens.prefix_offsets is not None
    np.testing.assert_array_equal(np.diff(tokens.prefix_offsets), tokens.input_tokens // 16)
    for row in range(0, len(TALK.trace), 997):
        assert len(np.unique(blocks(TALK, row))) == len(blocks(TALK, row))
        assert np.all(blocks(TALK, row) >= 0)


def test_conversations_share_their_system_prompts_and_nothing_else() -> None:
    chat = Chat(num_system_prompts=2, system_share=1.0, system=LogNormal(160.0, 0.0), mean_turns=1.0)
    talk = converse({"a": 5.0, "b": 5.0}, chat=chat, duration_s=600.0, seed=3)
    firsts = {int(blocks(talk, row)[0]) for row in range(len(talk.trace))}
    assert len(firsts) == 2
    tails = [int(block) for row in range(len(talk.trace)) for block in blocks(talk, row)[10:]]
    assert len(set(tails)) == len(tails)


def test_without_system_prompts_nothing_is_shared_between_conversations() -> None:
    talk = converse({"a": 5.0}, chat=Chat(system_share=0.0, mean_turns=1.0), duration_s=600.0, seed=3)
    assert talk.trace.tokens is not None
    assert talk.trace.tokens.prefix_hashes is not None
    hashes = talk.trace.tokens.prefix_hashes
    assert len(np.unique(hashes)) == len(hashes)


def test_a_model_more_changes_no_others_conversations() -> None:
    fewer = converse({"a": 2.0}, chat=Chat(), duration_s=600.0, seed=3)
    more = converse({"a": 2.0, "b": 9.0}, chat=Chat(), duration_s=600.0, seed=3)
    assert digest(more.trace.take(np.flatnonzero(more.trace.model_index == 0))) == digest(fewer.trace)


def test_prompts_that_are_too_long_end_their_conversation() -> None:
    talk = converse({"a": 5.0}, chat=Chat(mean_turns=8.0, max_input_tokens=1000), duration_s=2000.0, seed=3)
    assert talk.trace.tokens is not None
    assert talk.trace.tokens.input_tokens.max() <= 1000
    assert talk.turn.max() < 30


def test_a_model_without_traffic_keeps_its_place() -> None:
    talk = converse({"quiet": 0.0, "busy": 5.0}, chat=Chat(), duration_s=100.0, seed=3)
    assert talk.trace.models == ("quiet", "busy")
    assert talk.trace.counts()[0] == 0


def test_clients_that_rest_make_arrivals_bursty() -> None:
    steady = Chat(off_s=0.0, cv=1.0, mean_turns=1.0)
    resting = Chat(num_clients=2, mean_turns=1.0)
    gaps = [np.diff(converse({"a": 2.0}, chat=chat, duration_s=7200.0, seed=1).trace.arrival_s)
            for chat in (steady, resting)]  # fmt: skip
    assert kstest(gaps[0] * 2.0, "expon").statistic < 0.03
    assert gaps[1].std() / gaps[1].mean() > 2
