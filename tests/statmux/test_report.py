"""`statmux report` and the pages it draws: nothing is left out without a word, nothing is fetched."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from statmux.reporting.capacity_page import capacity_layout, capacity_page
from statmux.reporting.record import RUN_FILE
from statmux.reporting.simulation_page import simulation_page
from statmux.reporting.study import STUDY_FILE, read_study
from statmux.simulating import Question, compared, simulated
from tests.statmux.plan_files import Desk, desk
from tests.statmux.run_records import record
from vocabulary.formats.disk import load_deployment, load_plan, load_trace

__all__ = ["desk"]

SWEEPS = ("devices=1..4", "rate_scale=0.5,1,4", "slo_scale=0.5,1,2", "cv_scale=1,4")
PLAN = """
kind: PlacementPlan
groups:
  - {id: left, devices: ["n-0:0"], tensor: 1, pipeline: 1, models: [a]}
"""
TITLES = (
    "Placement of", "Attainment against devices", "Attainment against rate", "Attainment against the SLO",
    "Attainment against burstiness", "Latency of every model", "Load over time", "Why requests were missed",
    "Simulated against measured", "Cost against attainment", "Assumptions, seeds, versions and provenance",
)  # fmt: skip


def make_study(desk: Desk, *words: str) -> Path:
    sweeps = [word for sweep in SWEEPS for word in ("--sweep", sweep)]
    ran = desk.statmux(
        "capacity", "deployment.yaml", "--trace", "trace.csv", "--set", "cluster.nodes[0].cost_per_hour=6",
        "--algorithm", "sr-greedy", "--algorithm", "mp-round-robin", *sweeps, "--minimize", "cost",
        "--processes", "1", "--out", "study", *words,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return desk.folder / "study"


def make_record(desk: Desk) -> Path:
    deployment = load_deployment(desk.folder / "deployment.yaml")
    plan = load_plan(desk.write("plan.yaml", PLAN), deployment=deployment)
    trace = load_trace(desk.folder / "trace.csv", models=deployment.model_names)
    return record(desk.folder / "run", believed=deployment, plan=plan, trace=trace)


def addresses(page: str) -> set[str]:
    return set(re.findall(r"(?:https?:)?//[\w.]+[^\"'\s<)]*", page))


def test_a_study_becomes_a_page_with_every_section_and_nothing_fetched(desk: Desk):
    folder = make_study(desk)
    ran = desk.statmux("report", folder)
    assert (ran.code, ran.out.strip()) == (0, str(folder / "report.html")), ran.err
    page = (folder / "report.html").read_text()
    numbered = re.findall(r'<h2><span class="number">(\d+)</span>([^<]*)</h2>', page)
    assert [int(number) for number, _ in numbered] == list(range(2, 13))
    assert all(found.startswith(title) for (_, found), title in zip(numbered, TITLES, strict=True))
    assert addresses(page) == set() and "<script" not in page
    assert "~100.00%" in page and "estimated" in page
    for title in ("SLO attainment against cost", "SLO attainment against burstiness", "Latency of a"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert "No live run is beside this" in page


def test_a_run_beside_a_study_fills_the_section_on_fidelity(desk: Desk):
    folder, run = make_study(desk), make_record(desk)
    ran = desk.statmux("report", folder, run, "--out", "both.html")
    assert ran.code == 0, ran.err
    page = (desk.folder / "both.html").read_text()
    assert "No live run" not in page and "SLO attainment of every model" in page


def test_a_bare_study_says_what_is_absent_and_why(desk: Desk):
    document = dict(read_study(make_study(desk)))
    document |= {"sweeps": [], "head_room": [], "minimized": None, "evidence": None}
    sections = {section.title: section for section in capacity_layout(document).sections}
    absent = {title for title, section in sections.items() if section.absent}
    assert absent == {title for title in sections if not title.startswith(("Placement", "Assumptions"))}
    assert "--sweep rate_scale=" in sections["Attainment against rate"].absent
    page = capacity_page(document)
    assert all(section.absent in html.unescape(page) for section in sections.values())


def test_figures_are_written_as_files_of_their_own(desk: Desk):
    ran = desk.statmux("report", make_record(desk), "--figures", "figures", "-o", "json")
    assert ran.code == 0, ran.err
    assert ran.document["figures"] == "figures"
    names = {path.name for path in (desk.folder / "figures").iterdir()}
    assert {"latency-of-a.svg", "latency-of-a.png", "latency-of-a.csv", "arrivals-of-b.csv"} <= names


def test_several_runs_are_compared(desk: Desk):
    run = make_record(desk)
    ran = desk.statmux("report", run, run, "--out", "runs.html")
    assert ran.code == 0, ran.err
    page = (desk.folder / "runs.html").read_text()
    assert "2 runs" in page and "SLO attainment of every run" in page
    assert addresses(page) == set()


def test_a_simulation_alone_and_beside_a_run_is_a_page(desk: Desk):
    run = make_record(desk)
    question = Question((), "events", 0.0, 1.0, 1.0, 5)
    alone = simulated(
        question, *(desk.folder / name for name in ("deployment.yaml", "plan.yaml", "trace.csv"))
    )
    page = simulation_page(alone.document, alone.outcomes, alone.placement, alone.deployment)
    assert "not placed" in page and "--sweep devices=" in page and "Simulated" in page
    beside = compared(question, run, None, None)
    assert beside.recorded is not None
    page = simulation_page(
        beside.document,
        beside.outcomes,
        beside.placement,
        beside.deployment,
        measured=beside.recorded.measured,
    )
    assert "SLO attainment of every model" in page and addresses(page) == set()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not of kind CapacityRecord"),
        (
            '{"kind": "CapacityRecord", "schema_version": 99}',
            "schema_version is 99, and this statmux reads 1",
        ),
        ('{"kind": "CapacityRecord"}', "there is no base"),
    ],
)
def test_a_broken_study_is_refused_in_words(desk: Desk, content: str, words: str):
    (desk.folder / STUDY_FILE).write_text(content)
    ran = desk.statmux("report", desk.folder)
    assert ran.code == 2
    assert words in ran.err and "capacity --out" in ran.err


@pytest.mark.parametrize("key", ["measured", "models", "plan"])
def test_a_run_with_a_wrong_value_is_the_records_fault_not_a_bug(desk: Desk, key: str):
    folder = make_record(desk)
    run = json.loads((folder / RUN_FILE).read_text())
    (folder / RUN_FILE).write_text(json.dumps({**run, key: 7}))
    ran = desk.statmux("report", folder)
    assert ran.code == 2
    assert "cannot be drawn" in ran.err and "make it again" in ran.err and "bug" not in ran.err


def test_two_studies_make_no_page(desk: Desk):
    for name in ("one", "two"):
        (desk.folder / name).mkdir()
        (desk.folder / name / STUDY_FILE).write_text(json.dumps({}))
    ran = desk.statmux("report", desk.folder / "one", desk.folder / "two")
    assert ran.code == 2 and "2 studies" in ran.err
