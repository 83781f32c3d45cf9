"""`statmux capacity` as users and programs meet it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.placement import published
from tests.statmux.plan_files import Desk, Result, desk
from vocabulary.formats.disk import load_deployment, load_plan

__all__ = ["desk"]

COST = "cluster.nodes[0].cost_per_hour=6"


def capacity(desk: Desk, *words: str | Path) -> Result:
    return desk.statmux("capacity", "deployment.yaml", "--trace", "trace.csv", *words)


def timeless(value: Any) -> Any:
    """Without what may differ between two runs: seconds, and what was known before."""
    match value:
        case dict():
            left = {key: timeless(one) for key, one in value.items()}
            return {key: one for key, one in left.items() if key not in ("seconds", "num_resumed")}
        case list():
            return [timeless(one) for one in value]
        case _:
            return value


def test_without_a_sweep_it_says_whether_the_fleet_holds_and_with_how_much_room(desk: Desk) -> None:
    result = capacity(desk, "--algorithm", "sr-greedy", "-o", "json")
    assert result.code == 0, result.err
    document = result.document
    assert document["schema_version"] == 1
    assert document["settings"]["required_of_models"] == {"a": 0.99}
    (base,), (room,) = document["base"], document["head_room"]
    assert base["num_devices"] == 2
    assert base["slo_attainment"] == 1.0 and document["verdict"]["holds"]
    assert room["rate_scale"] > 1
    held = {one["rate_scale"]: one["holds"] for one in room["probes"]}
    assert held[room["rate_scale"]]
    assert not any(holds for scale, holds in held.items() if scale > room["rate_scale"])
    assert min(scale for scale, holds in held.items() if not holds) <= 1.02 * room["rate_scale"]


def test_every_sweep_is_a_curve_of_its_own_for_every_algorithm(desk: Desk) -> None:
    result = capacity(
        desk, "--sweep", "devices=1..4", "--sweep", "rate_scale=0.5..4", "--sweep", "slo_scale=0.5,1,2",
        "--algorithm", "sr-greedy", "--algorithm", "mp-round-robin", "-o", "json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "devices: every point is planned anew" in result.err
    devices, rates, slos = result.document["sweeps"]
    assert [sweep["axis"] for sweep in (devices, rates, slos)] == ["devices", "rate_scale", "slo_scale"]
    for sweep, num_points in ((devices, 3), (rates, 8), (slos, 3)):
        assert [one["curve"] for one in sweep["curves"]] == ["sr-greedy", "mp-round-robin"]
        assert all(len(one["points"]) == num_points for one in sweep["curves"])
    assert [point["value"] for point in devices["curves"][0]["points"]] == [1, 2, 4]
    attained = [point["slo_attainment"] for point in slos["curves"][0]["points"]]
    assert attained == sorted(attained)
    assert rates["curves"][0]["points"][-1]["rate_rps"] == pytest.approx(4 * 200 / 29.85, rel=0.01)


def test_the_table_has_a_sparkline_and_marks_estimates(desk: Desk) -> None:
    result = capacity(desk, "--sweep", "rate_scale=1..16", "--algorithm", "sr-greedy", "--quiet")
    assert result.code == 0
    assert result.err == ""
    assert "~100.00%" in result.out
    assert "head-room" in result.out and "busiest is" in result.out
    assert "█" in result.out and "▁" in result.out


def test_a_fleet_that_does_not_hold_exits_with_three_and_a_hint(desk: Desk) -> None:
    words = ("--algorithm", "sr-greedy", "--at", "rate_scale=20", "--require-attainment", "0.99")
    result = capacity(desk, *words)
    assert result.code == 3
    assert "verdict: does not hold" in result.out
    assert "--minimize devices" in result.err
    assert capacity(desk, *words[:-1], "0.01").code == 0


def test_a_verdict_within_the_interval_says_that_it_is_close(desk: Desk) -> None:
    words = ("--algorithm", "sr-greedy", "--at", "rate_scale=6", "-o", "json", "--require-attainment")
    (base,) = capacity(desk, *words, "0.01").document["base"]
    assert base["low"] < base["slo_attainment"] < 1
    close = capacity(desk, *words, str(base["slo_attainment"])).document["verdict"]["sentence"]
    assert "close: the interval is" in close
    assert "close" not in capacity(desk, *words, str(base["low"] / 2)).document["verdict"]["sentence"]


def test_the_smallest_fleet_comes_with_its_evidence_and_its_plan(desk: Desk) -> None:
    words = ("--at", "rate_scale=3", "--minimize", "devices", "--require-attainment", "0.97")
    result = capacity(desk, *words, "--algorithm", "sr-greedy", "--out", "study", "-o", "json")
    assert result.code == 0, result.err
    (smallest,) = result.document["minimized"]
    probes = {one["num_devices"]: one for one in smallest["probes"]}
    best = smallest["num_devices"]
    assert smallest["is_met"] and probes[best]["slo_attainment"] >= 0.97
    assert best > 2 and not probes[best - 2]["holds"]
    assert [one["order"] for one in smallest["probes"]] == list(range(1, len(probes) + 1))
    grown = load_deployment("deployment.yaml", overrides=[f"cluster.nodes[0].count={best // 2}"])
    load_plan("study/plan.sr-greedy.yaml", deployment=grown)
    with Path("study/minimized.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["num_devices"]) for row in rows] == list(probes)


def test_the_cheapest_fleet_needs_costs_and_tells_them(desk: Desk) -> None:
    words = ("--minimize", "cost", "--require-attainment", "0.97", "--algorithm", "sr-greedy")
    refused = capacity(desk, *words)
    assert refused.code == 2
    assert "cluster.nodes[0].cost_per_hour" in refused.err and "--set" in refused.err
    result = capacity(desk, *words, "--set", COST, "-o", "json")
    assert result.code == 0, result.err
    (smallest,) = result.document["minimized"]
    assert smallest["cost_per_hour"] == 6 * smallest["hosts"]["n"]


def test_a_heterogeneous_fleet_changes_in_one_class_and_is_mixed_by_cost(desk: Desk) -> None:
    text = Path("deployment.yaml").read_text()
    nodes = "nodes: [{name: n, count: 1, devices: {type: cpu, count: 2, memory: 100B}}]"
    mixed = (
        "nodes:\n"
        "  - {name: big, count: 1, cost_per_hour: 5, devices: {type: cpu, count: 4, memory: 200B}}\n"
        "  - {name: small, count: 1, cost_per_hour: 2, devices: {type: cpu, count: 1, memory: 100B}}"
    )
    desk.write("deployment.yaml", text.replace(nodes, mixed))
    words = ("--algorithm", "auto", "-o", "json")
    small = capacity(desk, "--sweep", "devices=4..6", *words).document["sweeps"][0]
    assert [point["num_devices"] for point in small["curves"][0]["points"]] == [4, 5, 6]
    assert [point["cost_per_hour"] for point in small["curves"][0]["points"]] == [5, 7, 9]
    assert "nodes of small come and go, the others stay" in small["note"]
    big = capacity(desk, "--sweep", "devices=5..9", "--node-class", "big", *words).document["sweeps"][0]
    assert [point["cost_per_hour"] for point in big["curves"][0]["points"]] == [7, 12]
    refused = capacity(desk, "--sweep", "devices=3..6", *words)
    assert refused.code == 2 and "the other node classes have 4 devices already" in refused.err
    words = ("--minimize", "cost", "--within", "1..6", "--require-attainment", "0.95", *words)
    result = capacity(desk, "--at", "rate_scale=0.5", *words)
    assert result.code == 0, result.err
    (cheapest,) = result.document["minimized"]
    assert cheapest["hosts"]["big"] == 0 and cheapest["cost_per_hour"] == 2 * cheapest["hosts"]["small"] < 5


def test_what_no_fleet_holds_exits_with_three_the_best_found_and_the_remedy(desk: Desk) -> None:
    words = ("--minimize", "devices", "--require-attainment", "0.99", "--within", "2..4")
    result = capacity(desk, *words, "--at", "slo_scale=0.1", "--algorithm", "sr-greedy", "-o", "json")
    assert result.code == 3
    (smallest,) = result.document["minimized"]
    assert not smallest["is_met"] and smallest["plan"] is None
    assert "no cluster in the range holds 99.00%" in smallest["sentence"]
    assert "--within" in result.err


def test_a_given_plan_is_studied_as_it_is(desk: Desk) -> None:
    planned = desk.statmux(
        "plan", "deployment.yaml", "--trace", "trace.csv", "--algorithm", "sr-greedy", "--out", "plan.yaml"
    )
    assert planned.code == 0
    result = capacity(desk, "--plan", "plan.yaml", "--sweep", "rate_scale=1,8", "-o", "json")
    assert result.code == 0, result.err
    document = result.document
    assert document["curves"] == [{"name": "plan.yaml", "algorithm": None}]
    groups = load_plan("plan.yaml").placement.groups
    assert [one["id"] for one in document["base"][0]["groups"]] == [group.id for group in groups]


def test_the_record_and_a_csv_for_every_sweep_are_written(desk: Desk) -> None:
    words = ("--sweep", "rate_scale=1,2,8", "--sweep", "devices=2,4", "--algorithm", "sr-greedy")
    result = capacity(desk, *words, "--out", "study", "--report", "page.html", "-o", "json")
    assert result.code == 0, result.err
    assert Path("page.html").read_text().lower().startswith("<!doctype html>")
    written = json.loads(Path("study/capacity.json").read_text())
    assert set(written.pop("evidence")) >= {"placement", "cdf", "timeline", "reasons"}
    assert written == result.document
    with Path("study/rate_scale.csv").open() as file:
        rows = list(csv.DictReader(file))
    points = result.document["sweeps"][0]["curves"][0]["points"]
    assert [float(row["slo_attainment"]) for row in rows] == [point["slo_attainment"] for point in points]
    assert {path.name for path in Path("study").iterdir()} == {
        "capacity.json", "rate_scale.csv", "devices.csv", "head_room.csv",
    }  # fmt: skip


def test_the_same_words_give_the_same_document_but_for_seconds(desk: Desk) -> None:
    words = (
        "--sweep",
        "cv_scale=0.5,2",
        "--seeds",
        "3",
        "--algorithm",
        "sr-greedy",
        "--replan",
        "-o",
        "json",
    )
    first = capacity(desk, *words)
    assert first.code == 0, first.err
    known = capacity(desk, *words)
    fresh = capacity(desk, *words, "--fresh")
    assert known.document["num_resumed"] == known.document["num_points"] > 0
    assert fresh.document["num_resumed"] == 0
    assert "--fresh forgets them" in known.err
    assert timeless(first.document) == timeless(known.document) == timeless(fresh.document)
    for point in first.document["sweeps"][0]["curves"][0]["points"]:
        assert len(point["draws"]) == 3
        assert point["low"] <= point["slo_attainment"] <= point["high"]


def test_a_longer_sweep_keeps_its_points_and_other_settings_do_not(desk: Desk) -> None:
    words = ("--algorithm", "sr-greedy", "-o", "json")
    first = capacity(desk, "--sweep", "devices=2,4", *words).document
    longer = capacity(desk, "--sweep", "devices=2,4,6", *words).document
    assert longer["run_id"] == first["run_id"]
    assert longer["num_points"] == first["num_points"] + 1 == longer["num_resumed"] + 1
    other = capacity(desk, "--sweep", "devices=2,4", "--set", "models[0].slo.latency_ms=400", *words).document
    assert other["run_id"] != first["run_id"] and other["num_resumed"] == 0


def test_plans_that_see_the_traffic_they_are_judged_by_are_told_apart(desk: Desk) -> None:
    words = ("--algorithm", "sr-greedy", "-o", "json")
    seen = capacity(desk, *words)
    assert "which flatters them; plan on other traffic with --train-trace" in seen.err
    assert seen.document["settings"]["plans_on_what_it_serves"]
    for more in (("--train-trace", "trace.csv"), ("--resample",)):
        unseen = capacity(desk, *words, *more)
        assert "flatters" not in unseen.err
        assert not unseen.document["settings"]["plans_on_what_it_serves"]


def test_models_that_cannot_be_late_are_told(desk: Desk) -> None:
    text = Path("deployment.yaml").read_text()
    words = ("--algorithm", "sr-greedy")
    assert "an SLO (models[].slo)" not in capacity(desk, *words).err
    desk.write("deployment.yaml", text.replace("slo: {latency_ms: 500}, ", ""))
    assert "b does not have an SLO (models[].slo): what is served there" in capacity(desk, *words).err
    desk.write(
        "deployment.yaml", text.replace("latency_ms: 500, ", "").replace("slo: {latency_ms: 500}, ", "")
    )
    assert "no model has an SLO (models[].slo): what is served there" in capacity(desk, *words).err


def test_a_study_that_cannot_be_kept_is_told_so(desk: Desk) -> None:
    desk.write(".statmux", "a file")
    result = capacity(desk, "--algorithm", "sr-greedy")
    assert result.code == 1
    assert (
        "cannot be written: not a directory" in result.err or "cannot be written: file exists" in result.err
    )


def test_a_point_that_was_half_written_is_computed_again(desk: Desk) -> None:
    words = ("--sweep", "devices=2,4", "--algorithm", "sr-greedy", "-o", "json")
    first = capacity(desk, *words).document
    points = sorted(Path(".statmux/runs", first["run_id"], "points").iterdir())
    points[0].write_bytes(points[0].read_bytes()[:20])
    again = capacity(desk, *words).document
    assert again["num_resumed"] == first["num_points"] - 1
    assert timeless(again) == timeless(first)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sweep", "speed=1..2"], "there is no axis 'speed'"),
        (["--sweep", "devices=8..4"], "8 is above 4"),
        (["--sweep", "devices=2", "--sweep", "devices=4"], "swept twice"),
        (["--at", "devices"], "no place on an axis"),
        (["--algorithm", "best"], "no placement algorithm 'best'"),
        (["--require-attainment", "99"], "99 is no share"),
        (["--require-attainment", "nan"], "nan is no share"),
        (["--within", "2..4"], "only a search for the smallest"),
        (["--minimize", "devices", "--within", "3..3"], "no cluster of whole nodes"),
        (["--minimize", "money"], "money"),
        (["--node-class", "gpu"], "no node class 'gpu'"),
        (["--plan", "nothing.yaml"], "no such file"),
        (["--plan", "plan.yaml", "--replan"], "not planned anew"),
        (["--plan", "plan.yaml", "--sweep", "devices=2..4"], "has its own devices"),
        (["--plan", "plan.yaml", "--minimize", "devices"], "has its own devices"),
        (["--seeds", "0"], "seeds"),
        (["--trim-s", "20"], "leave none of 29.85 s"),
        (["--window", "0"], "has no length"),
        (["--address", "local"], "no Ray cluster to join"),
        (["--trace", "empty.csv"], "empty.csv"),
    ],
)
def test_wrong_words_are_one_clear_error(desk: Desk, words: list[str], says: str) -> None:
    desk.write("plan.yaml", "kind: PlacementPlan\ngroups:\n  - {id: g, devices: ['n-0:0'], models: [a]}\n")
    desk.write("empty.csv", "timestamp_s,model\n")
    result = capacity(desk, *words)
    assert result.code == 2, result.err
    assert says in result.err
    assert result.out == ""
    assert "hint:" in result.err
    assert not Path(".statmux").exists()


def test_a_model_that_generates_says_how_soon_its_tokens_come(desk: Desk) -> None:
    example = Path(__file__).parents[2] / "deploy" / "examples" / "generate" / "deployment.yaml"
    rows = [f"{number / 2},chat,300,20" for number in range(20)] + ["10,search,64,0"]
    desk.write("tokens.csv", "\n".join(["timestamp_s,model,input_tokens,output_tokens", *rows, ""]))
    words = ("capacity", example, "--trace", "tokens.csv", "--sweep", "rate_scale=1,200")
    result = desk.statmux(*words, "--algorithm", "sr-greedy", "-o", "json")
    assert result.code == 0, result.err
    (base,) = result.document["base"]
    assert base["models"]["chat"]["tokens"]["num_output_tokens"] == 400
    assert 0 < base["tokens"]["tpot"]["p99_s"] < base["tokens"]["ttft"]["p99_s"] < base["p99_s"]
    assert base["models"]["search"]["tokens"] is None
    calm, rush = result.document["sweeps"][0]["curves"][0]["points"]
    assert rush["tokens"]["ttft"]["p99_s"] > calm["tokens"]["ttft"]["p99_s"]


@published.needed
def test_more_devices_and_looser_objectives_attain_more_on_a_published_workload(desk: Desk) -> None:
    folder = published.FOLDER / published.NAMES[2]
    result = desk.statmux(
        "capacity", folder / "deployment.yaml", "--trace", folder / "test.csv.gz", "--algorithm", "mp-search",
        "--sweep", "devices=8..24", "--sweep", "slo_scale=0.5..2", "--minimize", "devices",
        "--require-attainment", "0.99", "-o", "json",
    )  # fmt: skip
    assert result.code == 0, result.err
    for sweep in result.document["sweeps"]:
        attained = [point["slo_attainment"] for point in sweep["curves"][0]["points"]]
        assert attained == sorted(attained)
    (smallest,) = result.document["minimized"]
    assert smallest["num_devices"] == 24
