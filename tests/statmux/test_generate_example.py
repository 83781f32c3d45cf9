"""The example with a model that generates, planned and simulated as its comments say."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.statmux.plan_files import Desk, desk

__all__ = ["desk"]

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "generate" / "deployment.yaml"


@pytest.fixture
def planned(desk: Desk) -> Desk:
    """A plan of the example, and a minute of traffic: prompts of 1,000 tokens, answers of 200."""
    result = desk.statmux("plan", EXAMPLE, "--out", "plan.yaml")
    assert result.code == 0, result.err
    rng = np.random.default_rng(0)
    rows = [(time_s, "chat", 1000, 200) for time_s in rng.uniform(0, 60, 600)]
    rows += [(time_s, "search", 64, 0) for time_s in rng.uniform(0, 60, 300)]
    lines = [",".join(map(str, row)) for row in sorted(rows)]
    desk.write("trace.csv", "\n".join(["timestamp_s,model,input_tokens,output_tokens", *lines, ""]))
    return desk


def simulated(desk: Desk, *words: str) -> dict:
    files = ("--plan", "plan.yaml", "--trace", "trace.csv")
    result = desk.statmux("simulate", EXAMPLE, *files, "-o", "json", *words)
    assert result.code == 0, result.err
    return result.document


def test_the_document_says_how_soon_tokens_come(planned: Desk) -> None:
    document = simulated(planned)
    chat, search = document["models"]["chat"], document["models"]["search"]
    assert chat["slo_attainment"] > 0.95
    assert chat["ttft"]["slo_attainment"] > 0.95 and chat["tpot"]["slo_attainment"] > 0.95
    # A prompt of 1,000 tokens takes two steps of 512; a token at least what reading the weights takes.
    assert 0.05 < chat["ttft"]["p50_s"] < 1.0
    assert 0.003 < chat["tpot"]["p50_s"] < 0.06
    assert chat["num_output_tokens"] == 200 * chat["num_served"]
    assert search["ttft"] == {"slo_attainment": None, "p50_s": None, "p99_s": None}
    assert search["slo_attainment"] > 0.95
    assert document["generation"]["chat"]["waste"] < 0.04


def test_the_table_says_how_soon_tokens_come_and_what_it_took(planned: Desk) -> None:
    document = simulated(planned)
    result = planned.statmux("simulate", EXAMPLE, "--plan", "plan.yaml", "--trace", "trace.csv")
    assert result.code == 0, result.err
    headings, *rows = result.out.splitlines()
    assert headings.split()[-8:] == ["TTFT", "met", "p50", "p99", "TPOT", "met", "p50", "p99"]
    cells = {row.split()[0]: row.split("  ") for row in rows if row.strip()}
    chat, search = ([cell.strip() for cell in cells[name] if cell.strip()] for name in ("chat", "search"))
    ttft, tpot = document["models"]["chat"]["ttft"], document["models"]["chat"]["tpot"]
    assert chat[-6] == f"~{ttft['slo_attainment']:.2%}"
    assert chat[-5] == f"~{1e3 * ttft['p50_s']:.1f} ms"
    assert chat[-3] == f"~{tpot['slo_attainment']:.2%}"
    assert chat[-1] == f"~{1e3 * tpot['p99_s']:.1f} ms"
    assert search[-6:] == ["-"] * 6
    assert "goodput: ~" in result.out
    most = document["generation"]["chat"]["max_sequences"]
    assert f"(most {most}), 0 preempted" in result.out


def test_the_outcome_file_has_the_first_token_of_every_answer(planned: Desk) -> None:
    simulated(planned, "--outcomes", "outcomes.csv")
    with Path("outcomes.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["model"] == "chat" and row["finish_s"]:
            assert float(row["arrival_s"]) < float(row["first_token_s"]) < float(row["finish_s"])
        else:
            assert row["first_token_s"] == ""


def test_smaller_caches_preempt_and_the_document_says_so(planned: Desk) -> None:
    document = simulated(planned, "--set", "models.0.kv_cache.num_pages=200")
    assert document["generation"]["chat"]["num_preempted"] > 0
    assert document["models"]["chat"]["tpot"]["p99_s"] > simulated(planned)["models"]["chat"]["tpot"]["p99_s"]


def test_a_model_without_step_times_is_not_asked_for_tokens(planned: Desk) -> None:
    planned.write("trace.csv", "timestamp_s,model,input_tokens,output_tokens\n0,search,4,4\n")
    result = planned.statmux("simulate", EXAMPLE, "--plan", "plan.yaml", "--trace", "trace.csv")
    assert result.code == 2
    assert "search" in result.err and "step_times" in result.err


def test_a_cache_that_does_not_fit_is_refused(planned: Desk) -> None:
    words = ("--plan", "plan.yaml", "--trace", "trace.csv", "--set", "models.0.kv_cache.num_pages=1000000")
    result = planned.statmux("simulate", EXAMPLE, *words)
    assert result.code != 0
    assert "lower kv_cache.num_pages" in result.err


def test_a_trace_without_lengths_draws_no_tokens_and_says_so(planned: Desk) -> None:
    planned.write("bare.csv", "timestamp_s,model\n0.5,chat\n1.0,search\n")
    files = ("--plan", "plan.yaml", "--trace", "bare.csv")
    result = planned.statmux("simulate", EXAMPLE, *files)
    assert result.code == 0, result.err
    assert "warning: the trace has no token counts: requests of chat count as one-shot" in result.err


def test_validate_says_when_the_caches_of_a_plan_do_not_fit(planned: Desk) -> None:
    assert planned.statmux("validate", EXAMPLE, "--plan", "plan.yaml").code == 0
    too_many = ("--set", "models.0.kv_cache.num_pages=10000000")
    result = planned.statmux("validate", EXAMPLE, "--plan", "plan.yaml", *too_many)
    assert result.code == 3
    assert "key-value caches of stage 0 take" in result.err and "lower kv_cache.num_pages" in result.err
