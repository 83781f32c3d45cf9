"""Every kind of wrong file gives one clear message: where, what, the remedy. The cases are in `wrong/`."""

from __future__ import annotations

import pytest

from tests.vocabulary.wrong_files import WrongFile, assert_told, told, wrong_files
from vocabulary.formats import disk

PROFILE = """{"kind": "ModelProfile", "model": "m", "device_type": "cpu", "entries": [
  {"tensor": 1, "pipeline": 1, "weight_bytes": [1], "stage_latency_s": {"1": [0.1]}}]}"""
DEPLOYMENT = """\
metadata: {name: fleet}
cluster: {nodes: [{name: n, devices: {count: 4, memory: 1GiB}}]}
models:
- {name: a, profile: p.json}
"""


def cases(*collections: str):
    found = [case for collection in collections for case in wrong_files(collection)]
    return pytest.mark.parametrize("case", found, ids=lambda case: f"{case.collection}: {case.what}")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a good profile and a good deployment, where the user stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.json").write_text(PROFILE)
    (tmp_path / "good.yaml").write_text(DEPLOYMENT)
    return tmp_path


@cases("deployments")
def test_a_wrong_deployment_is_explained(case: WrongFile, folder):
    (folder / "deployment.yaml").write_bytes(case.raw)
    assert_told(case, told(lambda: disk.load_deployment("deployment.yaml", environment={})))


@cases("settings")
def test_a_wrong_setting_is_explained(case: WrongFile):
    setting = case.content.strip()
    assert_told(case, told(lambda: disk.load_deployment("good.yaml", overrides=[setting])))


@cases("profiles")
def test_a_wrong_profile_is_explained(case: WrongFile, folder):
    (folder / "q.json").write_bytes(case.raw)
    assert_told(case, told(lambda: disk.load_profile("q.json")))


@cases("plans")
def test_a_wrong_plan_is_explained(case: WrongFile, folder):
    (folder / "plan.yaml").write_bytes(case.raw)
    deployment = disk.load_deployment("good.yaml")
    assert_told(case, told(lambda: disk.load_plan("plan.yaml", deployment=deployment)))


@cases("traces-csv", "traces-csv-gz", "traces-jsonl", "traces-parquet", "traces-txt")
def test_a_wrong_trace_is_explained(case: WrongFile, folder):
    name = "t." + case.collection.removeprefix("traces-").replace("-", ".")
    (folder / name).write_bytes(case.raw)
    assert_told(case, told(lambda: disk.load_trace(name, models=("a", "b"))))


def test_a_profile_with_a_pickle_in_it_is_only_text(folder):
    (folder / "q.json").write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.")
    message = told(lambda: disk.load_profile("q.json"))
    assert message == "error: q.json: not UTF-8 text (byte 0)\nhint: is this the right file?"


def test_a_file_that_is_not_there_names_the_nearest():
    message = told(lambda: disk.load_deployment("godo.yaml"))
    assert message == "error: godo.yaml: there is no such file\nhint: did you mean good.yaml?"


def test_a_folder_is_no_file(folder):
    (folder / "d.yaml").mkdir()
    message = told(lambda: disk.load_deployment("d.yaml"))
    assert message == "error: d.yaml: this is a folder\nhint: name a file in it"


def test_a_wrong_profile_is_named_by_its_own_path(folder):
    (folder / "p.json").write_text("{}")
    message = told(lambda: disk.load_deployment("good.yaml"))
    assert message == "error: p.json:1: model: is missing (and 2 more after it)\nhint: add `model:`"
