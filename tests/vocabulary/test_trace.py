"""Traces: columns of arrivals."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.trace import Trace


def trace(arrivals_s: list[float], models: str, names: tuple[str, ...] = ("a", "b", "c")) -> Trace:
    index = np.array([names.index(name) for name in models], dtype=np.int32)
    return Trace(np.array(arrivals_s, dtype=float), index, names)


def test_arrivals_never_go_back_in_time() -> None:
    assert len(trace([0.0, 1.0, 1.0], "abc")) == 3
    with pytest.raises(AssertionError, match="back in time"):
        trace([0.0, 1.0, 0.5], "abc")


def test_every_arrival_has_a_model() -> None:
    with pytest.raises(AssertionError):
        trace([0.0, 1.0], "a")


def test_the_duration_is_from_first_to_last_arrival() -> None:
    assert trace([0.5, 1.0, 2.5], "aaa").duration_s == 2.0
    assert trace([], "").duration_s == 0.0


def test_models_that_nobody_asked_for_count_nought() -> None:
    assert trace([0.0, 1.0, 2.0], "acc").counts().tolist() == [1, 0, 2]
    assert trace([], "").counts().tolist() == [0, 0, 0]


def test_aligning_renumbers_models_and_keeps_requests() -> None:
    aligned = trace([0.0, 1.0, 2.0], "acb").aligned_to(("c", "x", "b", "a"))
    assert [aligned.models[index] for index in aligned.model_index] == ["a", "c", "b"]
    assert aligned.model_index.tolist() == [3, 0, 2]
    assert aligned.arrival_s.tolist() == [0.0, 1.0, 2.0]


def test_aligning_to_a_fleet_without_the_model_names_it() -> None:
    with pytest.raises(KeyError, match="c"):
        trace([0.0], "a").aligned_to(("a", "b"))


def test_an_empty_trace_aligns_to_any_fleet() -> None:
    empty = Trace(np.empty(0), np.empty(0, dtype=np.int32), ())
    assert len(empty.aligned_to(("a", "b"))) == 0
