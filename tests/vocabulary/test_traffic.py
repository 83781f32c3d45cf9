"""Rates and burstiness of a trace, and dealing its models out to others."""

from __future__ import annotations

import numpy as np

from vocabulary.trace import Tokens, Trace
from vocabulary.traffic import (
    Traffic,
    dealt_by_name,
    dealt_in_stripes,
    dealt_round_robin,
    traffic,
    traffic_by_model,
)

TRACE = Trace(np.array([0.0, 1.0, 2.0, 4.0]), np.array([0, 1, 2, 3], np.int32), ("a", "b", "c", "d"))


def test_rates_count_the_time_from_first_to_last():
    assert traffic(TRACE) == Traffic(4, 1.0, float(np.std([1, 1, 2]) / np.mean([1, 1, 2])))
    assert traffic_by_model(TRACE)["a"] == Traffic(1, 0.25, None)


def test_one_instant_has_no_rate():
    once = Trace(np.array([3.0]), np.array([0], np.int32), ("a",))
    assert traffic(once) == Traffic(1, None, None)


def test_models_are_dealt_round_robin_or_in_stripes():
    assert dealt_round_robin(TRACE, ("x", "y", "z")).model_index.tolist() == [0, 1, 2, 0]
    assert dealt_in_stripes(TRACE, ("x", "y")).model_index.tolist() == [0, 0, 1, 1]
    one_model = Trace(TRACE.arrival_s, np.zeros(4, np.int32), ("a",))
    assert dealt_round_robin(one_model, ("x", "y")).model_index.tolist() == [0, 0, 0, 0]
    assert dealt_round_robin(one_model, ("x", "y"), by_request=True).model_index.tolist() == [0, 1, 0, 1]
    assert dealt_in_stripes(one_model, ("x", "y"), by_request=True).model_index.tolist() == [0, 0, 1, 1]


def test_models_are_mapped_by_name():
    mapped = dealt_by_name(TRACE, {"a": "x", "b": "y", "c": "x", "d": "y"})
    assert mapped.models == ("x", "y")
    assert mapped.model_index.tolist() == [0, 1, 0, 1]


def test_dealing_keeps_the_tokens():
    tokens = Tokens(np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32))
    trace = Trace(TRACE.arrival_s, TRACE.model_index, TRACE.models, tokens)
    for dealt in (
        dealt_round_robin(trace, ("x", "y")),
        dealt_in_stripes(trace, ("x", "y")),
        dealt_by_name(trace, dict.fromkeys("abcd", "x")),
    ):
        assert dealt.tokens is tokens
