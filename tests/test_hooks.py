"""Hooks before a commit are tools of .venv, and look where the house looks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.test_floors import FLOORS

ROOT = Path(__file__).parents[1]


def hooks() -> dict[str, dict[str, str]]:
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    return {hook["id"]: hook for repository in document["repos"] for hook in repository["hooks"]}


def test_nothing_is_fetched():
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in document["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks().values()} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks().values())


def test_the_types_hook_runs_for_every_file_that_the_checker_reads():
    rooms = json.loads((ROOT / "pyrightconfig.json").read_text())["include"]
    assert {"vocabulary", "scheduling", "resharding", "simulator", "placement"} == set(rooms)
    assert all(re.search(hooks()["types"]["files"], f"{room}/x.py") for room in (*rooms, "typings"))


def test_the_floors_hook_runs_for_every_room():
    assert all(re.search(hooks()["floors"]["files"], f"{room}/a/b.py") for room in FLOORS)
    assert not re.search(hooks()["floors"]["files"], "docs/x.py")
