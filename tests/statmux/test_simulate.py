"""`statmux simulate` as users and programs meet it."""

import csv
import re
from pathlib import Path

import pytest

from tests.placement import published
from tests.statmux.plan_files import Desk, desk

__all__ = ["desk"]

PLAN = """
kind: PlacementPlan
groups:
  - {id: left, devices: ["n-0:0"], tensor: 1, pipeline: 1, models: [a]}
"""


@pytest.fixture
def planned(desk: Desk) -> Desk:
    desk.write("plan.yaml", PLAN)
    return desk


def simulate(desk: Desk, trace: str, *words: str) -> dict:
    result = desk.statmux(
        "simulate", "deployment.yaml", "--plan", "plan.yaml", "--trace", trace, "-o", "json", *words
    )
    assert result.code == 0, result.err
    return result.document


def test_the_document_has_totals_models_by_name_and_reasons(planned: Desk) -> None:
    planned.write("few.csv", "timestamp_s,model\n0.0,a\n0.0,a\n0.0,a\n1.0,b\n")
    document = simulate(planned, "few.csv")
    assert document["slo_attainment"] == 0.5
    assert document["num_requests"] == 4
    assert document["goodput_rps"] == 2.0
    assert document["rejections"] == {"slo_infeasible": 1, "not_placed": 1}
    assert document["models"]["a"]["slo_attainment"] == pytest.approx(2 / 3)
    assert document["models"]["a"]["p50_s"] == pytest.approx(0.3)
    assert document["models"]["b"] == {
        "slo_attainment": 0.0, "num_requests": 1, "num_served": 0, "rate_rps": 1.0, "goodput_rps": 0.0,
        "p50_s": None, "p99_s": None, "mean_s": None, "estimated": True,
    }  # fmt: skip


def test_outcomes_have_one_row_a_request_in_arrival_order(planned: Desk) -> None:
    planned.write("few.csv", "timestamp_s,model\n0.0,a\n0.0,a\n0.0,a\n1.0,b\n")
    simulate(planned, "few.csv", "--outcomes", "outcomes.csv")
    with Path("outcomes.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["request_id", "model", "arrival_s", "group", "good", "finish_s", "reason"],
        ["0", "a", "0.0", "left", "1", "0.2", ""],
        ["1", "a", "0.0", "left", "1", "0.4", ""],
        ["2", "a", "0.0", "", "0", "", "slo_infeasible"],
        ["3", "b", "1.0", "", "0", "", "not_placed"],
    ]


def test_both_engines_say_the_same(planned: Desk) -> None:
    for engine in ("fast", "events"):
        words = ("--engine", engine, "--outcomes", f"{engine}.csv")
        simulate(planned, "trace.csv", *words)
    assert Path("fast.csv").read_bytes() == Path("events.csv").read_bytes()


def test_the_fast_engine_says_what_it_does_not_do(planned: Desk) -> None:
    words = ("--plan", "plan.yaml", "--trace", "trace.csv", "--set", "serving.policy.queue=edf")
    result = planned.statmux("simulate", "deployment.yaml", *words, "--engine", "fast")
    assert result.code == 2
    assert "--engine auto" in result.err
    assert planned.statmux("simulate", "deployment.yaml", *words).code == 0


def test_scales_change_slos_and_time(planned: Desk) -> None:
    planned.write("few.csv", "timestamp_s,model\n0.0,a\n0.2,a\n0.4,a\n0.6,a\n")
    assert simulate(planned, "few.csv")["slo_attainment"] == 1.0
    assert simulate(planned, "few.csv", "--slo-scale", "0.3")["slo_attainment"] == 0.0
    doubled = simulate(planned, "few.csv", "--rate-scale", "1000")
    assert doubled["slo_attainment"] == 0.5
    result = planned.statmux(
        "simulate", "deployment.yaml", "--plan", "plan.yaml", "--trace", "few.csv", "--rate-scale", "0"
    )
    assert result.code == 2


def test_trimmed_ends_leave_the_statistics_but_not_the_outcomes(planned: Desk) -> None:
    document = simulate(planned, "trace.csv", "--trim-s", "10", "--outcomes", "outcomes.csv")
    dropped = int(10 / 29.85 * 200)
    assert document["num_requests"] == 200 - 2 * dropped
    assert len(Path("outcomes.csv").read_text().splitlines()) == 201


def test_a_plan_that_does_not_fit_exits_with_three(planned: Desk) -> None:
    words = ("--plan", "plan.yaml", "--trace", "trace.csv", "--set", "cluster.nodes[0].devices.memory=50B")
    result = planned.statmux("simulate", "deployment.yaml", *words)
    assert result.code == 3
    assert "60 bytes" in result.err


@published.needed
def test_the_published_goodput_comes_out_of_the_command_line(desk: Desk) -> None:
    folder = published.FOLDER / published.NAMES[2]
    words = [word for override in published.ARTIFACT for word in ("--set", override)]
    result = desk.statmux(
        "simulate", folder / "deployment.yaml", "--plan", folder / "plan.mp-search.yaml",
        "--trace", folder / "test.csv.gz", "--trim-s", "10", "-o", "json", *words,
    )  # fmt: skip
    goodput = published.figures(published.NAMES[2])["mp-search"]["goodput_test"]
    assert result.document["slo_attainment"] == goodput


def test_seeds_give_intervals_that_repeat(planned: Desk) -> None:
    words = ("--seeds", "200", "--set", "simulation.fixed_overhead_s=0.25")
    document = simulate(planned, "trace.csv", *words)
    assert document["num_resamples"] == 200
    for one in (document, document["models"]["a"]):
        low, high = one["confidence"]["slo_attainment"].values()
        assert 0 < low < one["slo_attainment"] < high < 1
        assert one["confidence"]["p99_s"]["low"] <= one["p99_s"] <= one["confidence"]["p99_s"]["high"]
    assert simulate(planned, "trace.csv", *words) == document


def test_the_table_shows_intervals_and_marks_estimates(planned: Desk) -> None:
    words = ("simulate", "deployment.yaml", "--plan", "plan.yaml", "--trace", "trace.csv")
    out = planned.statmux(*words, "--seeds", "20", "--set", "simulation.fixed_overhead_s=0.25").out
    assert re.search(r"^a .* ~\d+\.\d% \(\d+\.\d-\d+\.\d\)", out, re.MULTILINE)
    assert "~: rests on an estimated profile" in out
    planned.write("any.json", Path("any.json").read_text().replace('"estimated"', '"measured"'))
    result = planned.statmux(*words)
    assert "~" not in result.out and "%" in result.out
    assert not simulate(planned, "trace.csv")["estimated"]


def test_few_resamples_are_called_rough_and_one_is_refused(planned: Desk) -> None:
    words = ("simulate", "deployment.yaml", "--plan", "plan.yaml", "--trace", "trace.csv")
    assert "rough" in planned.statmux(*words, "--seeds", "5").err
    assert planned.statmux(*words, "--seeds", "1").code == 2


def test_after_a_change_of_plan_groups_open_when_their_weights_are_there(planned: Desk) -> None:
    planned.write("old.yaml", PLAN.replace("n-0:0", "n-0:1"))
    planned.write("few.csv", "timestamp_s,model\n0.0,a\n60.0,a\n")
    document = simulate(planned, "few.csv", "--moving-from", "old.yaml", "--store", "10B/s")
    assert 0 < document["opens_s"]["left"] < 60
    assert document["rejections"] == {"unavailable": 1}
    assert simulate(planned, "few.csv", "--moving-from", "plan.yaml")["opens_s"] == {"left": 0.0}


def test_a_record_is_not_compared_with_a_change_of_plan(planned: Desk) -> None:
    result = planned.statmux("simulate", "--compare-to", "run", "--moving-from", "plan.yaml")
    assert result.code == 2
    assert "--moving-from" in result.err
