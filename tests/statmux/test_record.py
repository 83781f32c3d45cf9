"""Run records: what bench writes, the page draws, and what is no record is refused in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from statmux.reporting.layout import render
from statmux.reporting.page import record_layout
from statmux.reporting.record import MEASURED_FILE, RUN_FILE, SIMULATED_FILE, read_record, write_run
from vocabulary.errors import InvalidInput, RuntimeFailure

HEAD = "request_id,model,arrival_s,group,good,finish_s,reason\n"
SERVED, REFUSED = "0,m<0>,0.5,g0,1,0.75,\n", "1,m<0>,0.75,,0,,slo_infeasible\n"
ONE = {"num_requests": 2, "rate_rps": 4.0, "slo_attainment": 0.5, "p50_s": 0.25, "p99_s": None}
RUN = {
    "fleet": "tiny",
    "plan": {"groups": [{"id": "g0", "devices": ["n-0:0"], "tensor": 1, "pipeline": 1, "models": ["m<0>"]}]},
    "models": {"m<0>": {"slo_s": 0.3}},
    "measured": {**ONE, "models": {"m<0>": ONE}},
    "simulated": {**ONE, "slo_attainment": 1.0, "models": {"m<0>": {**ONE, "slo_attainment": 1.0}}},
    "assumptions": ["emulated: stages slept"],
}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_run(folder, RUN)
    (folder / MEASURED_FILE).write_text(HEAD + SERVED + REFUSED)
    return folder


def test_a_record_is_read_as_it_was_written(record: Path):
    read = read_record(record)
    assert read.run["kind"] == "RunRecord"
    assert read.measured.latency_s[0] == 0.25 and not read.measured.latency_s[1] > 0
    assert read.measured.reason.tolist() == ["", "slo_infeasible"]
    assert read.simulated is None


@pytest.mark.parametrize("has_simulated", [True, False])
def test_the_page_stands_alone_and_names_are_not_markup(record: Path, has_simulated: bool):
    if has_simulated:
        (record / SIMULATED_FILE).write_text(HEAD + SERVED + SERVED.replace("0,", "1,", 1))
    page = render(record_layout(read_record(record)))
    assert "m&lt;0&gt;" in page and "m<0>" not in page
    assert "50.0%" in page and "emulated: stages slept" in page and "slo_infeasible" in page
    assert ("+50.0 points" in page) is True
    assert set(re.findall(r"(?:https?:)?//[\w.]+[^\"'\s<)]*", page)) <= {"http://www.w3.org/2000/svg"}


def test_a_page_of_nothing_but_refusals_can_be_drawn(record: Path):
    (record / MEASURED_FILE).write_text(HEAD + REFUSED)
    assert "<svg" in render(record_layout(read_record(record)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "run.json is not JSON"),
        ("[]", "run.json is not of kind RunRecord"),
        (json.dumps({"kind": "Deployment"}), "run.json is not of kind RunRecord"),
        (json.dumps({"kind": "RunRecord", "fleet": "f"}), "with fleet, measured, models, plan"),
    ],
)
def test_what_is_no_record_is_refused(record: Path, content: str, words: str):
    (record / RUN_FILE).write_text(content)
    with pytest.raises(InvalidInput, match=re.escape(words)) as caught:
        read_record(record)
    assert caught.value.where == str(record) and caught.value.hint


def test_a_folder_without_a_record_and_a_file_are_refused(tmp_path: Path, record: Path):
    for place in (tmp_path, tmp_path / "nowhere", record / RUN_FILE):
        with pytest.raises(InvalidInput, match=r"not a run record: there is no (run.json|such folder)"):
            read_record(place)


@pytest.mark.parametrize("rows", ["0,m,early,g0,1,,\n", "0,m\n"])
def test_outcomes_that_cannot_be_read_are_named(record: Path, rows: str):
    (record / MEASURED_FILE).write_text(HEAD + rows)
    with pytest.raises(InvalidInput, match="not a file of outcomes") as caught:
        read_record(record)
    assert caught.value.where == str(record / MEASURED_FILE)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RuntimeFailure, match="cannot be written"):
        write_run(tmp_path / "file", RUN)
