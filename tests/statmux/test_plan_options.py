"""What else `statmux plan` tells when asked: why, what moves, how far from the best, what is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.statmux.plan_files import PROFILE, Desk, desk
from vocabulary.formats.disk import load_deployment, load_plan

__all__ = ["desk"]

TRACE = ("--trace", "trace.csv")
# One group of one device each, without a search worth the name.
QUICK = (*TRACE, "--algorithm", "sr-greedy")
SMALL = ("--set", "cluster.nodes[0].devices.memory=70B")


def test_the_document_has_every_key_whether_it_was_asked_for_or_not(desk: Desk) -> None:
    keys = desk.statmux("plan", "deployment.yaml", *QUICK, "-o", "json").document
    assert {
        "bound", "bound_gap", "bound_seconds", "attainment_without_memory", "evaluations_per_second",
        "candidate_requests_per_second", "overfit_gap", "judged_value", "relaxations",
        "explanations", "difference", "replan",
        "minimised", "infeasible", "smallest_changes", "objective", "next", "plot",
    } <= set(keys)  # fmt: skip
    assert keys["bound"] is None
    assert keys["explanations"] is None
    assert keys["smallest_changes"] == []


def test_the_rates_are_those_of_the_search(desk: Desk) -> None:
    document = desk.statmux("plan", "deployment.yaml", *TRACE, "-o", "json").document
    assert document["evaluations_per_second"] == pytest.approx(
        document["num_evaluated"] / document["search_seconds"]
    )
    assert document["candidate_requests_per_second"] > document["evaluations_per_second"]


def test_a_bound_is_given_only_when_it_is_asked_for(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *QUICK, *SMALL)
    document = desk.statmux(*words, "--bound", "--bound-budget", "5s", "-o", "json").document
    assert document["slo_attainment"] <= document["bound"] <= 1.0
    assert document["bound_gap"] == pytest.approx(document["bound"] - document["slo_attainment"])
    assert document["bound_seconds"] > 0
    assert 0 < document["attainment_without_memory"] <= 1.0
    assert "upper bound" in desk.statmux(*words, "--bound").out
    assert "upper bound" not in desk.statmux(*words).out
    assert "without memory" in desk.statmux(*words).out


def test_an_explanation_adds_up_with_the_plan(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *QUICK, *SMALL, "--explain", "a", "--explain", "b", "-o", "json")
    document = desk.statmux(*words).document
    first, second = document["explanations"]
    assert (first["model"], second["model"]) == ("a", "b")
    assert [one["id"] for one in first["groups"] if one["is_held"]] == document["models"]["a"]["groups"]
    assert first["num_requests"] == document["models"]["a"]["num_requests"]
    assert first["num_good"] / first["num_requests"] == pytest.approx(
        document["models"]["a"]["slo_attainment"]
    )
    alone = [one for one in first["groups"] if one["is_held"]]
    if len(alone) == 1:
        assert alone[0]["drop"]["num_own"] == -first["num_good"]


def test_an_unknown_model_to_explain_is_told_before_searching(desk: Desk) -> None:
    result = desk.statmux("plan", "deployment.yaml", *QUICK, "--explain", "aa")
    assert result.code == 2
    assert "small has no model 'aa'" in result.err
    assert "did you mean a?" in result.err
    assert "searching" not in result.err


def test_the_same_plan_moves_nothing(desk: Desk) -> None:
    desk.statmux("plan", "deployment.yaml", *QUICK, "--out", "old.yaml")
    result = desk.statmux("plan", "deployment.yaml", *QUICK, "--diff", "old.yaml")
    assert result.code == 0
    assert "nothing moves: old.yaml is the same placement" in result.out


def test_groups_are_put_where_an_old_plan_has_them(desk: Desk) -> None:
    alone = ("plan", "deployment.yaml", *QUICK, *SMALL)
    desk.statmux(*alone, "--out", "old.yaml")
    text = Path("old.yaml").read_text()
    swapped = text.replace("n-0:0", "n-0:x").replace("n-0:1", "n-0:0").replace("n-0:x", "n-0:1")
    desk.write("old.yaml", swapped)
    result = desk.statmux(*alone, "--diff", "old.yaml", "--out", "new.yaml", "-o", "json")
    assert result.document["difference"]["moves"] == []
    read = load_deployment("deployment.yaml")
    old, new = (load_plan(name, deployment=read).placement for name in ("old.yaml", "new.yaml"))
    assert {(one.devices, one.models) for one in old.groups} == {
        (one.devices, one.models) for one in new.groups
    }


def test_a_move_says_its_bytes_and_seconds_and_where_they_come_from(desk: Desk) -> None:
    old = {
        "api_version": "v1alpha1",
        "kind": "PlacementPlan",
        "groups": [{"id": "g0", "devices": ["n-0:0"], "tensor": 1, "pipeline": 1, "models": ["a"]}],
    }
    desk.write("old.yaml", json.dumps(old))
    words = ("plan", "deployment.yaml", *QUICK, *SMALL, "--diff", "old.yaml", "--store", "6B/s")
    found = desk.statmux(*words, "-o", "json").document["difference"]
    by_model = {one["model"]: one for one in found["moves"]}
    assert by_model["b"]["origin"] == "store"
    assert by_model["b"]["num_bytes"] == 60
    assert by_model["b"]["seconds"] == pytest.approx(10.0)
    assert found["num_kept_replicas"] >= 1
    assert re.search(r"b +g\d +store +60 B +10\.00 s", desk.statmux(*words).out)


def test_an_old_plan_for_devices_and_models_that_are_gone_is_still_compared(desk: Desk) -> None:
    old = {
        "api_version": "v1alpha1",
        "kind": "PlacementPlan",
        "groups": [
            {"id": "g0", "devices": ["n-0:0"], "models": ["a", "retired"]},
            {"id": "g1", "devices": ["gone-0:0"], "models": ["b"]},
        ],
    }
    desk.write("old.yaml", json.dumps(old))
    result = desk.statmux("plan", "deployment.yaml", *QUICK, "--diff", "old.yaml")
    assert result.code == 0
    assert "old.yaml: g1 on devices that are not in the cluster count as gone" in result.err
    assert "old.yaml: retired unknown to the deployment" in result.err


def test_an_old_plan_that_cannot_be_read_is_told_before_searching(desk: Desk) -> None:
    desk.write("old.yaml", "kind: PlacementPlan\ngroups: 3\n")
    for name, told in (("nowhere.yaml", "there is no such file"), ("old.yaml", "groups")):
        for flag in ("--diff", "--current"):
            result = desk.statmux("plan", "deployment.yaml", *QUICK, flag, name)
            assert result.code == 2
            assert name in result.err
            assert told in result.err
            assert "searching" not in result.err


def test_a_plan_is_left_only_where_the_move_pays_within_the_horizon(desk: Desk) -> None:
    old = {
        "api_version": "v1alpha1",
        "kind": "PlacementPlan",
        "groups": [{"id": "g0", "devices": ["n-0:0"], "models": ["a"]}],
    }
    desk.write("old.yaml", json.dumps(old))
    words = ("plan", "deployment.yaml", *QUICK, "--current", "old.yaml", "--store", "1B/s")
    stays = desk.statmux(*words, "--horizon", "30s", "--out", "kept.yaml")
    assert "old.yaml is kept: no move pays within 30.00 s" in stays.out
    assert load_plan("kept.yaml").placement == load_plan("old.yaml").placement
    moves = desk.statmux(*words, "--horizon", "10m", "-o", "json").document
    assert moves["replan"]["is_move"]
    assert moves["replan"]["options"][0]["net"] > 0
    assert moves["difference"]["moves"]
    assert moves["slo_attainment"] > 0.67


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--horizon", "1h"], "name the plan that is served now"),
        (["--diff", "a.yaml", "--current", "b.yaml"], "leave --diff out"),
        (["--bound-budget", "3s"], "add --bound"),
        (["--time-budget", "soon"], "soon"),
        (["--time-budget", "0"], "has no length"),
        (["--algorithm", "mp-serch"], "did you mean mp-search?"),
        (["--trim-s", "1000"], "1000 s at both ends leave none of"),
        (["--store", "0B/s"], "moves nothing"),
        (["--objective", "best"], "best"),
        (["--plot", "plan.pdf"], "let the name end in .svg or .png"),
        (["--plot", "trace.csv/plan.svg"], "is no folder"),
        (["--plot", "."], "--plot"),
        (["--plot", f"{'x' * 300}.svg"], "cannot be written: file name too long"),
        (["--out", "trace.csv/plan.yaml"], "is no folder"),
        (["--within", "1..4"], "add --minimize"),
        (["--sweep", "devices=1..2", "--explain", "a"], "this is about one plan, a study has many"),
        (["--minimize", "devices", "--plot", "p.svg"], "this is about one plan, a study has many"),
    ],
)
def test_wrong_words_are_told_before_searching(desk: Desk, words: list[str], told: str) -> None:
    result = desk.statmux("plan", "deployment.yaml", *QUICK, *words)
    assert result.code == 2, result.err
    assert told in result.err
    assert "hint:" in result.err
    assert "searching" not in result.err


def test_a_placement_is_drawn_by_the_end_of_the_name(desk: Desk) -> None:
    for name in ("plan.svg", "plan.png"):
        document = desk.statmux("plan", "deployment.yaml", *QUICK, "--plot", name, "-o", "json").document
        assert document["plot"] == name
    svg = Path("plan.svg").read_text()
    assert svg.startswith("<?xml") or svg.startswith("<svg")
    for word in ("small by sr-greedy", "g0", "n-0:0", "busy"):
        assert word in svg
    assert Path("plan.png").read_bytes().startswith(b"\x89PNG")


def test_a_plan_is_shown_though_its_picture_cannot_be_written(desk: Desk) -> None:
    Path("drawn").symlink_to("nowhere")
    result = desk.statmux("plan", "deployment.yaml", *QUICK, "--plot", "drawn/plan.svg")
    assert result.code == 1
    assert "SLO attainment" in result.out
    assert "cannot be written" in result.err


def test_a_fleet_without_memory_says_how_much_would_be_enough(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *TRACE, "--set", "cluster.nodes[0].devices.memory=20B")
    result = desk.statmux(*words, "-o", "json")
    assert result.code == 3
    (change,) = result.document["smallest_changes"]
    # Split in two stages, a model takes 30 bytes of each of two devices.
    assert (change["kind"], change["before"], change["after"]) == ("memory_bytes", 20, 30)
    assert "enough would be 30 B a device instead of 20 B" in result.err
    enough = desk.statmux("plan", "deployment.yaml", *TRACE, "--set", "cluster.nodes[0].devices.memory=30B")
    assert enough.code == 0


def test_a_fleet_without_devices_says_how_many_would_be_enough(desk: Desk) -> None:
    profile = {**PROFILE, "entries": PROFILE["entries"][1:]}
    desk.write("any.json", json.dumps(profile))
    words = ("plan", "deployment.yaml", *TRACE, "--set", "cluster.nodes[0].devices.count=1", "-o", "json")
    result = desk.statmux(*words, "--set", "cluster.nodes[0].count=1")
    assert result.code == 3
    (change,) = result.document["smallest_changes"]
    assert (change["kind"], change["after"], change["what"]) == ("devices", 2, "n")


def test_an_slo_that_nothing_keeps_says_how_long_would_be_enough(desk: Desk) -> None:
    result = desk.statmux("plan", "deployment.yaml", *QUICK, "--set", "models[0].slo.latency_ms=160")
    assert result.code == 3
    assert "SLO of a (160.0 ms) is below its quickest latency, 200.0 ms" in result.err
    (scale,) = re.findall(r"enough would be SLOs (\S+) times as long", result.err)
    assert 1.25 <= float(scale) <= 1.252
    # What there is is still shown.
    assert "binding constraint: SLO of a" in result.out


def test_too_little_attained_says_what_would_be_enough(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *TRACE, "--set", "cluster.nodes[0].devices.count=1")
    result = desk.statmux(*words, "--require-attainment", "0.999", "-o", "json")
    assert result.code == 3
    assert "is required" in result.err
    kinds = {one["kind"]: one["after"] for one in result.document["smallest_changes"]}
    assert kinds["devices"] == 2
    assert desk.statmux("plan", "deployment.yaml", *TRACE, "--require-attainment", "0.999").code == 0


def test_a_study_is_asked_with_the_words_of_capacity(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *QUICK, "--sweep", "devices=1,2", "-o", "json")
    document = desk.statmux(*words).document
    (sweep,) = document["sweeps"]
    assert sweep["axis"] == "devices"
    smallest = desk.statmux("plan", "deployment.yaml", *QUICK, "--minimize", "devices", "-o", "json")
    assert smallest.document["minimized"][0]["is_met"] in (True, False)


def test_who_gives_a_budget_in_the_file_is_not_told_of_an_interruption(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *TRACE, "--objective", "min_devices", "-o", "json")
    result = desk.statmux(*words, "--set", "placement.search.time_budget_s=0.000001")
    assert (result.code, json.loads(result.out)["minimised"]["is_complete"]) == (0, False)
    assert "interrupted" not in result.err


def test_the_smallest_cluster_is_an_objective_too(desk: Desk) -> None:
    words = ("plan", "deployment.yaml", *TRACE, "--objective", "min_devices", "--time-budget", "2s")
    result = desk.statmux(*words, "--require-attainment", "0.6", "--out", "plan.yaml", "-o", "json")
    assert result.code == 0
    found = result.document["minimised"]
    assert (found["objective"], found["value"]) == ("min_devices", 1.0)
    assert result.document["num_devices"] == 1
    assert len(load_plan("plan.yaml").placement.groups) == 1
    table = desk.statmux(*words, "--require-attainment", "0.6").out
    assert "1 device is the fewest with 60.00% of all requests" in table


def test_a_time_budget_is_kept_and_gives_a_plan(desk: Desk) -> None:
    document = desk.statmux(
        "plan", "deployment.yaml", *TRACE, "--time-budget", "300ms", "-o", "json"
    ).document
    assert document["is_complete"]
    assert document["slo_attainment"] > 0.9


def test_a_current_plan_that_does_not_fit_any_more_cannot_stay(desk: Desk) -> None:
    old = {
        "api_version": "v1alpha1",
        "kind": "PlacementPlan",
        "groups": [{"id": "g0", "devices": ["n-0:0"], "models": ["a", "b"]}],
    }
    desk.write("old.yaml", json.dumps(old))
    words = ("plan", "deployment.yaml", *QUICK, *SMALL, "--current", "old.yaml", "--group-start", "2h")
    result = desk.statmux(*words)
    assert result.code == 0
    assert "old.yaml cannot stay: it does not fit any more" in result.out
