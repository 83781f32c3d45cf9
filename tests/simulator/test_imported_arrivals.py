"""Arrivals drawn for counts, clients and conversations keep what the file says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.traffic.imported_arrivals import arrivals_in_windows, arrivals_of_conversations
from tests.vocabulary.importers.files import PUBLISHED
from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import Conversations, Windows
from vocabulary.trace import Tokens


def client_windows(counts, shapes, *, is_weibull=False) -> Windows:
    size = len(counts)
    return Windows(
        ("c",),
        np.zeros(size, np.int32),
        np.arange(size) * 600.0,
        np.full(size, 600.0),
        np.array(counts, np.int64),
        np.array(shapes, float),
        np.full(size, is_weibull),
    )


@pytest.mark.parametrize("is_weibull", [False, True])
def test_a_client_has_as_many_requests_in_each_window_as_published(is_weibull):
    counts = [1, 5, 4000, 2]
    trace = arrivals_in_windows(client_windows(counts, [0.3, 1e-9, 0.5, 1e3], is_weibull=is_weibull))
    assert np.histogram(trace.arrival_s, np.arange(5) * 600.0)[0].tolist() == counts


def test_gaps_are_as_bursty_as_their_shape():
    for shape in (0.25, 1.0, 16.0):
        trace = arrivals_in_windows(client_windows([20_000], [shape]), seed=3)
        gaps_s = np.diff(trace.arrival_s)
        # Sample CVs of 20,000 heavy gaps; measured over 20 seeds: within 3 %.
        assert gaps_s.std() / gaps_s.mean() == pytest.approx(shape**-0.5, rel=0.06)


def test_one_seed_gives_one_trace_and_a_client_does_not_depend_on_the_others():
    windows = import_files("servegen", PUBLISHED["servegen"])
    once, twice = (arrivals_in_windows(windows, seed=5) for _ in range(2))
    assert once.arrival_s.tobytes() == twice.arrival_s.tobytes()
    assert once.tokens.input_tokens.tolist() == twice.tokens.input_tokens.tolist()
    assert arrivals_in_windows(windows, seed=6).arrival_s.tolist() != once.arrival_s.tolist()


def test_a_client_does_not_depend_on_others_nor_on_the_part_of_the_time():
    alone = client_windows([5, 3, 9], [0.3, 0.5, 2.0])
    whole = arrivals_in_windows(alone, seed=5)
    beside = replace(alone, sources=("b", "c"), source_index=np.array([1, 0, 1], np.int32))
    drawn = arrivals_in_windows(beside, seed=5)
    expected = [one for one in whole.arrival_s if not 600 <= one < 1200]
    assert drawn.arrival_s[drawn.model_index == 1].tolist() == expected
    last = arrivals_in_windows(alone.take(alone.start_s >= 1200), seed=5)
    assert last.arrival_s.tolist() == [one for one in whole.arrival_s if one >= 1200]


def test_lengths_are_drawn_from_the_window_in_force():
    windows = import_files("servegen", PUBLISHED["servegen"])
    trace = arrivals_in_windows(replace(windows, num_requests=np.array([4000, 3])))
    assert set(trace.tokens.input_tokens.tolist()) == {10, 20}
    assert np.mean(trace.tokens.input_tokens == 20) == pytest.approx(0.75, abs=0.03)
    assert set(trace.tokens.output_tokens.tolist()) == {5}


def test_counts_of_minutes_are_rates():
    windows = import_files("azure-functions-2019", PUBLISHED["azure-functions-2019"])
    many = replace(windows, num_requests=windows.num_requests * 1000)
    trace = arrivals_in_windows(many, seed=1)
    assert trace.models == ("f1", "f2")
    counts = np.histogram(trace.arrival_s[trace.model_index == 0], [0, 60, 1439 * 60, 1440 * 60])[0]
    assert counts[1] == 0
    # Poisson: five standard deviations.
    assert counts[0] == pytest.approx(2000, abs=5 * 2000**0.5)
    assert counts[2] == pytest.approx(1000, abs=5 * 1000**0.5)


def test_days_late_in_a_trace_stay_there():
    windows = import_files("azure-functions-2019", PUBLISHED["azure-functions-2019"])
    late = replace(windows, start_s=windows.start_s + 13 * 86_400.0)
    shifted_s = arrivals_in_windows(late).arrival_s - 13 * 86_400.0
    # A microsecond: at 13 days a float is a nanosecond from the next.
    assert shifted_s == pytest.approx(arrivals_in_windows(windows).arrival_s, abs=1e-6)


def test_more_than_a_trace_can_hold_is_refused():
    with pytest.raises(InvalidInput, match="more than a trace can hold") as caught:
        arrivals_in_windows(client_windows([10**9], [1.0]))
    assert "--duration" in caught.value.hint


def test_turns_follow_each_other_at_the_rate_asked_for():
    turns = np.arange(4000) % 4
    talk = np.arange(4000) // 4
    tokens = Tokens(np.arange(4000, dtype=np.int32), np.ones(4000, np.int32))
    conversations = Conversations(("m",), np.zeros(4000, np.int32), talk, turns, tokens)
    trace = arrivals_of_conversations(conversations, rate_rps=10.0, think_s=5.0, seed=2)
    assert trace.arrival_s[0] == 0.0
    # 4,000 requests; the last conversations trail.
    assert trace.duration_s == pytest.approx(400.0, rel=0.15)
    in_file_order = np.argsort(trace.tokens.input_tokens)
    arrival_s = trace.arrival_s[in_file_order].reshape(1000, 4)
    assert np.all(np.diff(arrival_s, axis=1) >= 0)
    assert np.diff(arrival_s, axis=1).mean() == pytest.approx(5.0, rel=0.1)
