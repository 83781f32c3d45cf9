"""`statmux init`: what it writes is valid, and nothing is overwritten by accident."""

from __future__ import annotations

import json

import pytest

from statmux.examples import Example
from tests.statmux.in_process import statmux


@pytest.mark.parametrize("example", list(Example))
def test_an_example_is_written_and_valid(example, tmp_path):
    assert statmux("init", "--example", example, folder=tmp_path).returncode == 0
    done = statmux("validate", "deployment.yaml", "-o", "json", folder=tmp_path)
    assert json.loads(done.stdout)["name"] == example


def test_a_first_file_has_the_devices_of_this_machine(tmp_path):
    done = statmux("init", folder=tmp_path)
    assert done.stdout == "wrote deployment.yaml\n"
    assert done.stderr == "hint: next: statmux validate deployment.yaml\n"
    document = json.loads(statmux("validate", "deployment.yaml", "-o", "json", folder=tmp_path).stdout)
    assert document["num_devices"] >= 1
    assert document["no_effect"] == []


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path):
    (tmp_path / "deployment.yaml").write_text("mine")
    done = statmux("init", folder=tmp_path)
    assert (done.returncode, (tmp_path / "deployment.yaml").read_text()) == (2, "mine")
    assert done.stderr == (
        "error: already there: deployment.yaml\n"
        "hint: name another file, or pass --force to replace what is there\n"
    )
    assert statmux("init", "--force", "--quiet", folder=tmp_path).returncode == 0
    assert (tmp_path / "deployment.yaml").read_text() != "mine"
