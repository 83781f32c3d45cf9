"""`statmux apply` against a fleet that is a script: what is shown, what is asked, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from statmux.apply_view import preview_text, size
from tests.statmux.in_process import statmux
from tests.statmux.scripted_control import SILENCE, scripted_fleet
from vocabulary.errors import InvalidInput

ROOT = Path(__file__).parents[2]


def preview(**words: Any) -> dict[str, Any]:
    usual = {
        "ticket": "t1", "is_nothing": False, "why": "model n is new", "changes": ["model n is new"],
        "models_added": ["n"], "models_removed": [], "moves": ["n to g1 from store"], "num_bytes": 3 * 2**20,
        "steps": ["load n on g1", "open n on g1"], "interrupted": [], "warnings": ["no SLO for n"],
        "groups": [],
    }  # fmt: skip
    return usual | words


def progress(**words: Any) -> dict[str, Any]:
    return {"is_converged": True, "given_up": [], "groups": {"g0": "open", "g1": "open"}} | words


NOTHING = preview(is_nothing=True, changes=[], moves=[], steps=[], warnings=[])
SHOWN = """\
changes:
  model n is new
weights to bring, 3.0 MiB:
  n to g1 from store
steps:
  1. load n on g1
  2. open n on g1
no model is interrupted"""


def test_the_change_is_shown_carried_out_and_waited_for(desk):
    moving = progress(is_converged=False, groups={"g0": "open", "g1": "starting"})
    verbs = {"preview": preview(), "apply": {"why": "x"}, "progress": [moving, progress()]}
    with scripted_fleet(desk, verbs) as heard:
        done = statmux("apply", "new.yaml", "plan.yaml", "--set", "models.n.weight=2", folder=desk)
    assert done.returncode == 0
    assert done.stdout.startswith("it runs, after ")
    assert SHOWN in done.stderr
    assert "warning: no SLO for n\n" in done.stderr
    asked, applied, *_ = heard
    assert asked["files"] == [[str(desk / "new.yaml"), "new.yaml"], [str(desk / "plan.yaml"), "plan.yaml"]]
    assert asked["overrides"] == ["models.n.weight=2"]
    assert (applied["verb"], applied["ticket"], applied["may_interrupt"]) == ("apply", "t1", False)


def test_a_dry_run_changes_nothing(desk):
    with scripted_fleet(desk, {"preview": preview()}) as heard:
        done = statmux("apply", "new.yaml", "--dry-run", folder=desk)
        document = json.loads(statmux("apply", "new.yaml", "--dry-run", "-o", "json", folder=desk).stdout)
    assert (done.returncode, done.stdout) == (0, SHOWN + "\n")
    assert (document["is_applied"], document["steps"][0]) == (False, "load n on g1")
    assert "ticket" not in document
    assert [one["verb"] for one in heard] == ["preview", "preview"]


def test_what_changes_nothing_is_not_carried_out(desk):
    with scripted_fleet(desk, {"preview": NOTHING}) as heard:
        done = statmux("apply", "new.yaml", folder=desk)
    assert (done.returncode, done.stdout, len(heard)) == (0, "nothing changes\n", 1)


def test_json_is_one_document_with_the_outcome(desk):
    with scripted_fleet(desk, {"preview": preview(), "apply": {}, "progress": progress()}):
        document = json.loads(statmux("apply", "new.yaml", "-o", "json", "-q", folder=desk).stdout)
    assert (document["is_applied"], document["is_converged"]) == (True, True)
    assert document["seconds"] >= 0


def test_without_waiting_it_returns_at_once(desk):
    with scripted_fleet(desk, {"preview": preview(), "apply": {}}) as heard:
        done = statmux("apply", "new.yaml", "--no-wait", folder=desk)
    assert done.stdout.startswith("the fleet is on its way")
    assert [one["verb"] for one in heard] == ["preview", "apply"]


def test_an_interruption_needs_leave(desk):
    verbs = {"preview": preview(interrupted=["m"]), "apply": {}, "progress": progress()}
    with scripted_fleet(desk, verbs) as heard:
        refused = statmux("apply", "new.yaml", "--yes", folder=desk)
        allowed = statmux("apply", "new.yaml", "--interrupt", folder=desk)
    assert (refused.returncode, allowed.returncode) == (3, 0)
    assert "error: without a replica for a while: m; nothing was changed\n" in refused.stderr
    assert [one.get("may_interrupt") for one in heard if one["verb"] == "apply"] == [True]


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        (
            progress(given_up=[{"group": "g1", "why": "nobody else serves m", "models": ["m"]}]),
            3,
            "the change stopped half-way: group g1: nobody else serves m",
        ),
        (
            progress(given_up=[{"group": "g1", "why": "failed 5 times", "models": []}]),
            1,
            "not all of it runs: group g1: failed 5 times",
        ),
        (
            progress(is_converged=False, groups={"g1": "starting"}),
            5,
            "the fleet did not get there within 0.05 s (g1 starting)",
        ),
    ],
)
def test_what_does_not_come_to_run_is_told_with_its_code(desk, told, code, words):
    with scripted_fleet(desk, {"preview": preview(), "apply": {}, "progress": told}):
        done = statmux("apply", "new.yaml", "--timeout", "50ms", folder=desk)
    assert done.returncode == code
    assert f"error: {words}\n" in done.stderr


def test_what_is_wrong_with_the_file_is_the_fleets_to_say(desk):
    with scripted_fleet(desk, {"preview": InvalidInput("new.yaml: unknown key", hint="leave it out")}):
        done = statmux("apply", "new.yaml", folder=desk)
    assert done.returncode == 2
    assert done.stderr.endswith("error: new.yaml: unknown key\nhint: leave it out\n")


@pytest.mark.parametrize(("answer", "verbs"), [(b"n\n", ["preview"]), (b"y\n", ["preview", "apply"])])
def test_on_a_terminal_it_asks(desk, answer, verbs):
    with scripted_fleet(desk, {"preview": preview(), "apply": {}, "progress": SILENCE}) as heard:
        terminal, end = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "statmux.main", "apply", "new.yaml", "--no-wait"],
            cwd=desk,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=end,
        )
        os.close(end)
        shown = b""
        while b"apply this?" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, answer)
        process.communicate(timeout=60)
        os.close(terminal)
    assert [one["verb"] for one in heard] == verbs
    assert process.returncode == (1 if answer == b"n\n" else 0)


def test_long_lists_are_cut_for_people():
    text = preview_text(preview(steps=[f"open m{index} on g0" for index in range(100)]))
    assert "  20. open m19 on g0\n  and 80 more (-o json has all)\n" in text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(5, "5 B"), (2048, "2.0 KiB"), (3 * 2**30, "3.0 GiB"), (2**51, "2048.0 TiB")]
)
def test_bytes_are_told_in_units(num_bytes, text):
    assert size(num_bytes) == text
