"""How soon tokens came: statistics of outcomes, and the columns of outcome files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from statmux.summary import summary
from vocabulary.deployment import Slo
from vocabulary.errors import InvalidInput
from vocabulary.formats.outcomes import format_outcomes, parse_outcomes
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.request import Fate, Request
from vocabulary.token_outcomes import keeps_tpot, keeps_ttft, token_statistics
from vocabulary.trace import Tokens, Trace

PLACEMENT = Placement((Group("g0", ("n-0:0",), ParallelConfig(), ("a", "b")),))
FATES = (Fate.SERVED, Fate.SERVED, Fate.SERVED, Fate.SLO_INFEASIBLE, Fate.SERVED)
# Arrivals 0, 1, 2, 3, 4; the last request is one-shot.
FIVE = Outcomes(
    Trace(
        np.arange(5.0),
        np.array([0, 0, 1, 0, 1], np.int32),
        ("a", "b"),
        Tokens(np.array([5, 6, 7, 8, 9], np.int32), np.array([3, 1, 5, 4, 0], np.int32)),
    ),
    np.array([0, 0, 0, NO_GROUP, 0], np.int32),
    np.array([2.0 + 1 / 3, 1.5, 7.0, 0.0, 5.0]),
    np.array([FATE_CODE[fate] for fate in FATES], np.int8),
    np.array([True, True, False, False, True]),
    first_token_s=np.array([1 / 3, 1.5, 3.0, np.nan, np.nan]),
    slos=(Slo(ttft_s=0.4, tpot_s=1.0), Slo(tpot_s=0.5)),
    generation={"a": GenerationStatistics(num_steps=2, num_sequence_steps=3, num_held=10, num_stored=9)},
)


def test_tokens_are_timed_from_arrival_to_the_first_and_from_there_to_the_last() -> None:
    np.testing.assert_allclose(FIVE.ttft_s, [1 / 3, 0.5, 1.0, np.nan, np.nan])
    np.testing.assert_allclose(FIVE.tpot_s, [1.0, np.nan, 1.0, np.nan, np.nan])


def test_an_objective_is_kept_where_there_is_nothing_to_miss() -> None:
    assert keeps_ttft(FIVE).tolist() == [True, False, True, False, True]
    assert keeps_tpot(FIVE).tolist() == [True, True, False, False, True]


def test_attainment_counts_refused_requests_and_only_models_with_the_objective() -> None:
    every = token_statistics(FIVE, rows=slice(None))
    assert every.ttft.slo_attainment == pytest.approx(1 / 3)
    assert every.tpot.slo_attainment == pytest.approx(2 / 4)
    assert (every.num_input_tokens, every.num_output_tokens) == (26, 9)
    of_b = token_statistics(FIVE, rows=slice(None), model_index=1)
    assert of_b.ttft.slo_attainment is None
    assert of_b.ttft.p50_s == 1.0
    assert of_b.tpot.slo_attainment == 0.0


def test_where_none_was_served_there_is_nothing_to_time() -> None:
    nothing = token_statistics(FIVE, rows=slice(3, 4))
    assert (nothing.ttft.slo_attainment, nothing.ttft.p50_s, nothing.tpot.p99_s) == (0.0, None, None)


def test_the_summary_has_them_only_where_requests_asked_for_tokens() -> None:
    document = summary(FIVE)
    assert document["ttft"]["slo_attainment"] == pytest.approx(1 / 3)
    assert document["models"]["b"]["tpot"]["p99_s"] == 1.0
    assert document["generation"]["a"]["waste"] == pytest.approx(0.1)
    assert document["generation"]["a"]["mean_sequences"] == 1.5
    plain = summary(replace(FIVE, first_token_s=None, generation=None))
    assert "ttft" not in plain and "ttft" not in plain["models"]["a"] and "generation" not in plain


def test_outcome_files_have_columns_for_tokens_where_requests_asked_for_them() -> None:
    text = format_outcomes(FIVE, placement=PLACEMENT)
    lines = text.split("\n")
    assert lines[0].endswith("reason,input_tokens,output_tokens,first_token_s")
    assert lines[1].endswith(",5,3,0.3333333333333333")
    assert lines[4].endswith("slo_infeasible,8,4,")
    read = parse_outcomes(text, name="o.csv", placement=PLACEMENT)
    np.testing.assert_array_equal(read.ttft_s, FIVE.ttft_s)
    np.testing.assert_array_equal(read.tpot_s, FIVE.tpot_s)
    assert read.trace.tokens.input_tokens.tolist() == [5, 6, 7, 8, 9]
    without = format_outcomes(replace(FIVE, first_token_s=None), placement=PLACEMENT)
    assert without.startswith("request_id,model,arrival_s,group,good,finish_s,reason\n")


def test_a_wrong_token_column_names_the_line() -> None:
    text = format_outcomes(FIVE, placement=PLACEMENT)
    for wrong in ("8,x,", "8"):
        with pytest.raises(InvalidInput, match=r"o\.csv:5: "):
            parse_outcomes(text.replace("8,4,", wrong), name="o.csv", placement=PLACEMENT)


def test_a_request_keeps_pace_within_both_objectives() -> None:
    request = Request(0, "a", 1.0, output_tokens=3, ttft_s=0.5, tpot_s=0.25)
    assert request.keeps_pace(1.5, 2.0)
    assert not request.keeps_pace(1.6, 2.0)
    assert not request.keeps_pace(1.5, 2.1)
    assert Request(0, "a", 1.0, output_tokens=1, ttft_s=0.5, tpot_s=0.25).keeps_pace(1.5, 9.0)
    assert Request(0, "a", 1.0, slo_s=2.0, ttft_s=0.5).due_s == 1.5
