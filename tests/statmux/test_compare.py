"""`statmux simulate --compare-to RUN`: the errors of a simulation beside what was measured."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from statmux.recording import Timings, read_timings
from tests.statmux.plan_files import DEPLOYMENT, PROFILE, Desk, desk
from tests.statmux.run_records import record
from vocabulary.catalog import LatencyModel
from vocabulary.formats.disk import load_deployment, load_plan, load_trace
from vocabulary.trace import Trace

__all__ = ["desk"]

PLAN = """
kind: PlacementPlan
groups:
  - {id: left, devices: ["n-0:0"], tensor: 1, pipeline: 1, models: [a]}
  - {id: right, devices: ["n-0:1"], tensor: 1, pipeline: 1, models: [b]}
"""


def starting_with_b(trace: Trace) -> Trace:
    """A record names models as they were first asked for: not in the deployment's order."""
    return trace.take(np.arange(2, len(trace)))


@pytest.fixture
def recorded(desk: Desk) -> Desk:
    """A run of a fleet that took 30 ms more for every request than its files say."""
    desk.write("plan.yaml", PLAN)
    believed = load_deployment("deployment.yaml")
    record(
        Path("run"),
        believed=believed,
        plan=load_plan("plan.yaml", deployment=believed),
        trace=starting_with_b(load_trace("trace.csv", models=believed.model_names)),
        real=replace(believed, latency=LatencyModel(fixed_overhead_s=0.03)),
    )
    return desk


def compare(desk: Desk, *words: str) -> dict:
    result = desk.statmux("simulate", "--compare-to", "run", "-o", "json", *words)
    assert result.code == 0, result.err
    return result.document


def test_a_record_is_simulated_on_its_own_fleet_wherever_it_is(recorded: Desk) -> None:
    for name in ("deployment.yaml", "plan.yaml", "any.json", "trace.csv"):
        Path(name).unlink()
    document = compare(recorded)
    assert document["fleet"] == "small" and document["all"]["num_requests"] == 198
    for pair in document["models"].values():
        assert pair["p50_s"]["difference"] == pytest.approx(-0.03, abs=1e-6)
    assert document["mean_absolute_p50_error_s"] == pytest.approx(0.03, abs=1e-6)


def test_differences_are_simulated_less_measured(recorded: Desk) -> None:
    document = compare(recorded)
    for pair in (document["all"], *document["models"].values()):
        attainment = pair["slo_attainment"]
        points = 100 * (attainment["simulated"] - attainment["measured"])
        assert attainment["difference_points"] == pytest.approx(points)
    errors = [abs(pair["slo_attainment"]["difference_points"]) for pair in document["models"].values()]
    assert document["mean_absolute_error_points"] == pytest.approx(sum(errors) / 2)
    assert document["max_absolute_error_points"] == max(errors)
    assert document["difference_points"] == document["all"]["slo_attainment"]["difference_points"]


def test_the_right_overhead_takes_the_errors_away(recorded: Desk) -> None:
    document = compare(recorded, "--set", "simulation.fixed_overhead_s=0.03")
    assert document["equal_decisions"] == 1.0
    assert document["max_absolute_error_points"] == 0.0
    assert document["mean_absolute_p99_error_s"] == pytest.approx(0.0, abs=1e-9)


def test_the_table_has_every_model_all_and_the_mean(recorded: Desk) -> None:
    out = recorded.statmux("simulate", "--compare-to", "run").out
    lines = out.splitlines()
    assert lines[0] == "small as recorded in run, emulated; fixed overhead 0 ms"
    assert [line.split()[0] for line in lines[3:6]] == ["a", "b", "all"]
    assert "~" in lines[3]  # any.json is an estimate
    assert lines[-1].startswith("mean absolute error ")


def test_the_objectives_of_the_run_hold_whatever_the_files_say(recorded: Desk) -> None:
    recorded.write("deployment.yaml", DEPLOYMENT.replace("latency_ms: 500", "latency_ms: 1"))
    own, given = compare(recorded), compare(recorded, "deployment.yaml")
    assert own["models"] == given["models"]


def test_another_plan_may_be_put_beside_the_run(recorded: Desk) -> None:
    recorded.write("one.yaml", "\n".join(PLAN.splitlines()[:-1]) + "\n")
    document = compare(recorded, "--plan", "one.yaml")
    assert document["simulated"]["rejections"]["not_placed"] == 66
    assert document["models"]["b"]["slo_attainment"]["simulated"] == 0
    assert (
        document["models"]["b"]["p50_s"]["measured"] > 0
        and document["models"]["b"]["p50_s"]["difference"] is None
    )


def test_the_record_of_another_fleet_is_refused_with_both_lists(recorded: Desk) -> None:
    recorded.write("other.yaml", DEPLOYMENT.replace("name: b", "name: c"))
    recorded.write("plan.yaml", PLAN.replace("[b]", "[c]"))
    result = recorded.statmux("simulate", "other.yaml", "--plan", "plan.yaml", "--compare-to", "run")
    assert result.code == 2
    assert "the record is of another fleet, 'small': model 'b' of the record" in result.err
    assert "the record's models: a, b; the deployment's: a, c" in result.err


def test_what_is_no_record_is_refused(recorded: Desk) -> None:
    for place in ("nowhere", "."):
        result = recorded.statmux("simulate", "--compare-to", place)
        assert result.code == 2 and "not a run record" in result.err
    Path("run/deployment.yaml").unlink()
    result = recorded.statmux("simulate", "--compare-to", "run")
    assert result.code == 2 and "the record has no deployment.yaml" in result.err
    assert recorded.statmux("simulate", "deployment.yaml", "--compare-to", "run").code == 0


@pytest.mark.parametrize("words", [("--trace", "trace.csv"), ("--slo-scale", "2"), ("--rate-scale", "2")])
def test_a_record_is_compared_as_it_was(recorded: Desk, words: tuple[str, str]) -> None:
    result = recorded.statmux("simulate", "--compare-to", "run", *words)
    assert result.code == 2 and "leave" in result.err


def test_without_a_record_the_three_files_are_asked_for(recorded: Desk) -> None:
    result = recorded.statmux("simulate", "deployment.yaml")
    assert result.code == 2
    assert "there is no --plan and --trace" in result.err and "--compare-to RUN" in result.err


def test_too_little_attainment_exits_with_three_after_the_result(recorded: Desk) -> None:
    words = ("simulate", "--compare-to", "run", "-o", "json", "--set", "simulation.fixed_overhead_s=0.25")
    attained = recorded.statmux(*words).document["slo_attainment"]
    assert 0 < attained < 1
    assert recorded.statmux(*words, "--require-attainment", str(attained)).code == 0
    result = recorded.statmux(*words, "--require-attainment", "1")
    assert result.code == 3
    assert result.document["slo_attainment"] == attained and "100.00% is required" in result.err


def test_a_record_holds_no_secrets_and_no_addresses(recorded: Desk) -> None:
    recorded.write("deployment.yaml", DEPLOYMENT + "endpoints: {grpc: {port: 9}}\n")
    believed = load_deployment("deployment.yaml")
    record(
        Path("second"),
        believed=believed,
        plan=load_plan("plan.yaml", deployment=believed),
        trace=load_trace("trace.csv", models=believed.model_names),
    )
    kept = load_deployment("second/deployment.yaml")
    assert "endpoints" not in kept.document and kept.document["cluster"] == believed.document["cluster"]
    assert json.loads(Path("second/profiles/a.json").read_text())["entries"] == PROFILE["entries"]
    assert not Path("second/profiles/b.json").exists()  # the same profile


def test_timings_are_read_as_they_were_written(recorded: Desk) -> None:
    found = read_timings(Path("run"), 198)
    assert isinstance(found, Timings) and len(found.queue_s) == 198


def test_scatter_is_written_by_the_end_of_its_name(recorded: Desk) -> None:
    for name in ("scatter.svg", "scatter.csv"):
        compare(recorded, "--plot", name)
    assert "<svg" in Path("scatter.svg").read_text()
    rows = list(csv.reader(Path("scatter.csv").read_text().splitlines()))
    assert rows[0] == ["series", "measured latency (s)", "simulated latency (s)"]
    points = [(float(x), float(y)) for series, x, y in rows[1:] if series in "ab"]
    assert len(points) == 2 * 99
    assert all(x - y == pytest.approx(0.03, abs=1e-6) for x, y in points)


def test_the_report_stands_alone_with_and_without_a_run_beside(recorded: Desk) -> None:
    compare(recorded, "--report", "beside.html", "--seeds", "20")
    words = ("--plan", "plan.yaml", "--trace", "trace.csv", "--report", "alone.html")
    assert recorded.statmux("simulate", "deployment.yaml", *words).code == 0
    beside, alone = Path("beside.html").read_text(), Path("alone.html").read_text()
    assert "Simulated against measured" in beside and "beside a live run" in beside
    assert alone.lower().startswith("<!doctype html>") and "beside a live run" not in alone


def test_models_that_nobody_asked_for_do_not_make_the_error_smaller(recorded: Desk) -> None:
    believed = load_deployment("deployment.yaml")
    trace = load_trace("trace.csv", models=believed.model_names)
    real = replace(believed, latency=LatencyModel(fixed_overhead_s=0.25))
    plan = load_plan("plan.yaml", deployment=believed)
    only_a = trace.take(trace.model_index == 0)
    record(Path("run"), believed=believed, plan=plan, trace=only_a, real=real)
    document = compare(recorded)
    error = abs(document["models"]["a"]["slo_attainment"]["difference_points"])
    assert document["mean_absolute_error_points"] == error > 0
    record(Path("run"), believed=believed, plan=plan, trace=trace.take(np.arange(0)))
    assert compare(recorded)["mean_absolute_error_points"] == 0
