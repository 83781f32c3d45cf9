"""Lengths of requests that ask for tokens."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.traffic.lengths import with_lengths
from simulator.traffic.workload import generate
from vocabulary.deployment import ModelSpec, Workload

CHAT = ModelSpec("chat", workload=Workload(50.0, 1.0, input_tokens=300, output_tokens=80))
TRACE = generate({"embed": Workload(50.0), "chat": Workload(50.0)}, duration_s=200.0, seed=1)


def test_lengths_have_the_means_of_the_workload_and_others_ask_for_none():
    tokens = with_lengths(TRACE, {"chat": CHAT}, seed=1).tokens
    is_chat = TRACE.model_index == 1
    assert tokens.input_tokens[is_chat].mean() == pytest.approx(300, rel=0.05)
    assert tokens.output_tokens[is_chat].mean() == pytest.approx(80, rel=0.05)
    assert tokens.input_tokens[is_chat].std() > 100 and tokens.output_tokens[is_chat].min() >= 1
    assert not tokens.output_tokens[~is_chat].any()


def test_a_prompt_and_its_answer_fit_the_context():
    short = ModelSpec("chat", workload=CHAT.workload, max_model_len=256)
    tokens = with_lengths(TRACE, {"chat": short}, seed=1).tokens
    assert (tokens.input_tokens + tokens.output_tokens).max() <= 256


def test_one_seed_gives_one_draw():
    one, again, other = (with_lengths(TRACE, {"chat": CHAT}, seed=seed).tokens for seed in (1, 1, 2))
    assert np.array_equal(one.input_tokens, again.input_tokens)
    assert not np.array_equal(one.input_tokens, other.input_tokens)
