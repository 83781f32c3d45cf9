"""`statmux plan` as users and programs meet it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.placement import published
from tests.statmux.plan_files import Desk, desk
from vocabulary.formats.disk import load_deployment, load_plan

__all__ = ["desk"]


def test_a_plan_is_printed_and_written(desk: Desk) -> None:
    words = ("--trace", "trace.csv", "--test-trace", "trace.csv", "--out", "plan.yaml")
    result = desk.statmux("plan", "deployment.yaml", *words, "-o", "json")
    assert result.code == 0
    document = result.document
    assert 0 < document["slo_attainment"] <= 1
    assert document["slo_attainment_test"] == document["slo_attainment"]
    assert document["search_seconds"] > 0
    assert document["models"]["a"]["rate_rps"] == pytest.approx(134 / 29.85)
    written = load_plan("plan.yaml", deployment=load_deployment("deployment.yaml"))
    assert [group.id for group in written.placement.groups] == [one["id"] for one in document["groups"]]
    assert written.predicted["slo_attainment"] == document["slo_attainment"]
    assert set(written.inputs) == {"deployment", "trace"}
    assert "next: statmux serve deployment.yaml --plan plan.yaml" in result.err


def test_the_table_shows_groups_models_and_what_binds(desk: Desk) -> None:
    result = desk.statmux("plan", "deployment.yaml", "--trace", "trace.csv", "--quiet")
    assert result.code == 0
    assert result.err == ""
    for heading in ("group", "mesh", "util", "replicas", "predicted attainment", "binding constraint:"):
        assert heading in result.out
    assert "~" in result.out  # the profile is an estimate


def test_without_a_trace_traffic_is_drawn_from_the_workloads(desk: Desk) -> None:
    first, second = (
        desk.statmux("plan", "deployment.yaml", "--algorithm", "sr-greedy", "-o", "json") for _ in range(2)
    )
    assert first.code == 0
    assert "drawn from `workload`" in first.err
    assert first.document["models"] == second.document["models"]
    assert first.document["models"]["a"]["rate_rps"] == pytest.approx(3, rel=0.1)


def test_without_a_trace_or_workloads_the_remedy_is_named(desk: Desk) -> None:
    text = Path("deployment.yaml").read_text()
    for workload in (", workload: {rate_rps: 3, cv: 2}", ", workload: {rate_rps: 1, cv: 1}"):
        text = text.replace(workload, "")
    desk.write("deployment.yaml", text)
    result = desk.statmux("plan", "deployment.yaml")
    assert result.code == 2
    assert "hint: pass --trace FILE" in result.err


def test_a_fleet_that_does_not_fit_exits_with_three_and_the_bytes(desk: Desk) -> None:
    words = ("--trace", "trace.csv", "--set", "cluster.nodes[0].devices.memory=20B")
    result = desk.statmux("plan", "deployment.yaml", *words, "--out", "plan.yaml")
    assert result.code == 3
    assert "needs 30 bytes" in result.err
    assert "devices have 20" in result.err
    assert not Path("plan.yaml").exists()


def test_a_trace_of_other_models_exits_with_two_and_the_line(desk: Desk) -> None:
    desk.write("other.csv", "timestamp_s,model\n0.0,a\n0.5,stranger\n")
    result = desk.statmux("plan", "deployment.yaml", "--trace", "other.csv")
    assert result.code == 2
    assert "other.csv:3" in result.err
    assert "stranger" in result.err


def test_a_model_below_the_attainment_asked_for_is_warned_of(desk: Desk) -> None:
    desk.write("burst.csv", "timestamp_s,model\n" + "0.0,a\n" * 30 + "1.0,b\n")
    result = desk.statmux("plan", "deployment.yaml", "--trace", "burst.csv")
    assert result.code == 0
    assert "99.00% is asked for" in result.err


def test_planning_and_simulating_import_neither_jax_nor_ray(desk: Desk) -> None:
    program = (
        "import sys; from statmux.main import run\n"
        "assert run(['plan', 'deployment.yaml', '--trace', 'trace.csv', '--out', 'plan.yaml']) == 0\n"
        "words = ['--plan', 'plan.yaml', '--trace', 'trace.csv', '--outcomes', 'o.csv']\n"
        "assert run(['simulate', 'deployment.yaml', *words]) == 0\n"
        "assert not {'jax', 'jaxlib', 'ray'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(root)})


@published.needed
def test_an_interrupted_plan_is_kept_and_exits_with_130(desk: Desk) -> None:
    folder = published.FOLDER / "w5-24gpu-42-bert"
    words = ["plan", folder / "deployment.yaml", "--trace", folder / "train.csv.gz", "--out", "plan.yaml"]
    root = Path(__file__).parents[2]
    ours, theirs = os.openpty()  # on a terminal, progress says what the best so far is
    process = subprocess.Popen(
        [sys.executable, "-m", "statmux.main", *map(str, words), "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(root)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        text=True,
    )
    os.close(theirs)  # so that reading ends with an error if the process does
    seen = b""
    while b", best " not in seen:
        seen += os.read(ours, 1000)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 130
    assert json.loads(out)["is_complete"] is False
    assert load_plan("plan.yaml").placement.num_replicas > 0
